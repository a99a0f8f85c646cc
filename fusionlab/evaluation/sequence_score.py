"""Score a fused sequence, frame by frame and over time: what `fusionlab score` does with videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.frame_scorer import FrameScorer
from fusionlab.evaluation.gray_levels import ScoreColor
from fusionlab.evaluation.sequence_scores import SequenceScores
from fusionlab.evaluation.temporal_metric import choose_sequence_metrics
from fusionlab.imaging.given import given_array
from fusionlab.imaging.reading import MAX_PIXELS, LoadedImage
from fusionlab.imaging.scale import Scale
from fusionlab.metrics.optical_flow import FlowFunction
from fusionlab.plugins.host import installed
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.image_sets import pair_images
from fusionlab.sequences.contract import FrameSequence, FrameSet, FrameSets
from fusionlab.sequences.items import Items
from fusionlab.sequences.opening import open_sequence
from fusionlab.sequences.synchronize import synchronize

Given = str | os.PathLike[str] | Iterable[Any]
"""A sequence: a path, or its frames."""


def score_sequence(
    fused: Given,
    sources: Sequence[Given],
    metrics: str | Sequence[str] | None = None,
    *,
    preset: str | None = None,
    scale: str | Scale | Sequence[str | Scale] = "auto",
    score_color: ScoreColor = "luma",
    sync: str | None = None,
    offsets: Sequence[float] = (),
    rate: float | None = None,
    device: str | torch.device = "cpu",
    flow: FlowFunction | None = None,
    plugins: Plugins | None = None,
) -> SequenceScores:
    """Score a fused sequence against its sources, frame by frame and over time.

        scores = fusionlab.score_sequence("fused.mkv", ["ir.mkv", "vis.mkv"], "SSIM,flicker")
        scores.summary("flicker").mean

    Read in one pass; only the frames that a metric compares are in memory, three at most for those
    that ship. Metrics of images are computed for each frame as `score` does.

    Args:
        fused: the result: the path of a video, of a folder of images or of a file of several pages;
            or an iterable of images, such as a list of arrays or a generator.
        sources: those that it was fused from, each likewise: all paths, or all iterables, which end
            with the shortest of them.
        metrics: names of metrics, `NAME[@CONVENTION]`, also separated by commas, or `"all"`; None
            uses those of the preset, or else one metric of each family, and `flicker`.
        preset: name of a preset that chooses the metrics of images.
        scale: which values of the sources are black and white. Limits that are measured, as by
            `"minmax"`, are those of the first frame, for the whole sequence: with limits of their
            own for every frame, the sources would flicker themselves.
        score_color: as for `score`; metrics over time always take the luminance.
        sync: of paths, how frames are matched: `"name"` (of the images of folders, by their
            stems), `"frame"` or `"time"`, see `fusionlab.sequences.synchronize`; None: by name if
            none is a file, else by number.
        offsets: of paths matched by time, when the first frame of each source was taken, in
            seconds. The result begins where all sources have begun, or at the first of k + 1.
        rate: of paths, frames per second of those that state no times.
        device: where to compute: `"cpu"`, `"cuda"`, ...
        flow: estimates the optical flow from one image `(H, W)` in 0..255 to another as
            `(2, H, W)`, in pixels to the right and down; None: that of OpenCV.
        plugins: the plugins to use; None: all installed ones.

    Raises:
        FusionlabError: a sequence cannot be opened, the sequences do not fit together, no frame can
            be scored (code `nothing-scored`), a metric is unknown, or what estimates the optical
            flow is not installed (code `missing-extra`).
    """
    columns = choose_sequence_metrics(metrics, preset, plugins or installed())
    sets, notes = _sets_of(fused, sources, sync, offsets, rate)
    scorer = FrameScorer(
        tuple(columns), scale=scale, score_color=score_color, device=device, flow=flow
    )
    return scored(scorer, sets, notes)


def scored(
    scorer: FrameScorer,
    sets: Iterable[FrameSet],
    notes: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> SequenceScores:
    """Score all frames of a result.

    Args:
        scorer: computes the values.
        sets: the frames; the first image of each set is the result.
        notes: those of `FrameSets`, which grow while it is read.
        progress: called with the number of frames done.

    Raises:
        FusionlabError: as `FrameScorer.scores`, or no frame can be scored (code `nothing-scored`).
    """
    frames = []
    for frame in scorer.scores(sets):
        frames.append(frame)
        progress(len(frames))
    if all(frame.problem and not frame.values for frame in frames):
        reason = frames[0].problem if frames else "there are no frames"
        raise FusionlabError(f"no frame can be scored: {reason}", code="nothing-scored")
    return SequenceScores(scorer.metrics, tuple(frames), tuple(notes))


def _sets_of(
    fused: Given,
    sources: Sequence[Given],
    sync: str | None,
    offsets: Sequence[float],
    rate: float | None,
) -> tuple[Iterable[FrameSet], Sequence[str]]:
    """Return the frames of a result and its sources, and the notes about them."""
    given = [fused, *sources]
    if len(given) < 2:
        raise FusionlabError("expected at least one source, got none", code="no-sources")
    paths = [Path(path) for path in given if isinstance(path, str | os.PathLike)]
    if not paths:
        return _given_sets(given), ()
    if len(paths) < len(given):
        raise FusionlabError(
            "expected paths only or iterables of images only; for a path among iterables, give "
            "[frame.image for frame in fusionlab.open_sequence(path).frames()]",
            code="no-list",
        )
    sets = result_sets(paths, sync, offsets=offsets, rate=rate)
    return sets.sets(), sets.notes


def result_sets(
    paths: Sequence[Path],
    sync: str | None = None,
    *,
    results: int = 1,
    offsets: Sequence[float] = (),
    rate: Fraction | float | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> FrameSets:
    """Open results and their sources, and match their frames.

    Args:
        paths: of the results, then of the sources; of folders that are matched by name, the sources
            may be one image set with sub-folders `a/ b/ ...`.
        sync: `name`, `frame` or `time`; None: `name` if none is a file, else `frame`.
        results: how many of the paths are results.
        offsets: of each source, as for `synchronize`; results begin with the first frame for which
            all sources have one. Or of the results, too, before those of the sources.
        rate: as for `synchronize`.
        max_pixels: refuse frames that claim more; None: no limit.

    Raises:
        FusionlabError: they cannot be opened, or do not fit together.
    """
    file = next((path for path in paths if path.is_file()), None)
    if sync == "name" or (sync is None and file is None):
        if file is not None:
            raise FusionlabError(
                f"the images of folders are matched by their names, but {file} is a file; match "
                "frames by their numbers (frame) or times (time)",
                code="not-a-folder",
                option="sync",
                path=file,
            )
        fused, sources = paths[:results], paths[results:]
        if len(sources) == 1 and sources[0].is_dir():
            sources = _sources_of_set(sources[0])
        return Items(pair_images([*fused, *sources]), rate=rate, max_pixels=max_pixels)
    sequences = [open_sequence(path, max_pixels) for path in paths]
    if sync != "time":
        return synchronize(sequences, offsets=offsets, rate=rate)
    if len(offsets) in (0, len(paths) - results):
        begin = float(_begin(sequences[results:], offsets, rate))
        offsets = [*[begin] * results, *(offsets or [0] * (len(paths) - results))]
    return synchronize(sequences, "time", offsets=offsets, rate=rate)


def _begin(
    sources: Sequence[FrameSequence], offsets: Sequence[float], rate: Fraction | float | None
) -> Fraction:
    """Return when the result of sources that are matched by time begins, on their common clock.

    Frames of the first source before another one begins are left out of the result.
    """
    first = Fraction(offsets[0]) if offsets else Fraction(0)
    if len(sources) < 2:
        return first
    matched = synchronize(sources, "time", offsets=offsets, rate=rate)
    with closing(cast("Generator[FrameSet]", matched.sets())) as sets:
        return first + (next(sets).time or 0)


def _sources_of_set(folder: Path) -> list[Path]:
    """Return the sources of an image set; the folder itself if it is none, but one of frames."""
    try:
        return [Path(template) for template in pair_images([folder]).templates]
    except FusionlabError as error:
        if error.code != "not-an-image-set":
            raise
        return [folder]


def _given_sets(given: Sequence[Given]) -> Iterator[FrameSet]:
    """Yield the n-th images of iterables, up to the end of the shortest."""
    titles = ["the fused image", *(f"source {number}" for number in range(1, len(given)))]
    iterators = [iter(images) for images in given]  # type: ignore[arg-type]  # no paths
    for number in count():
        images = [next(images, _ENDED) for images in iterators]
        if any(image is _ENDED for image in images):
            return
        try:
            loaded = [
                image if isinstance(image, LoadedImage) else _loaded(image, title)
                for image, title in zip(images, titles, strict=True)
            ]
            yield FrameSet(number, f"{number:06}", loaded)
        except FusionlabError as error:
            yield FrameSet(number, f"{number:06}", problem=error)


_ENDED = object()


def _loaded(image: Any, title: str) -> LoadedImage:
    name, pixels = given_array(image, title)
    return LoadedImage(name, pixels, "")
