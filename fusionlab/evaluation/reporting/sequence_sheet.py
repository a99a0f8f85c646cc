"""Contact sheets of sequences: frames from the beginning to the end, sources and results beside."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.frame_scorer import fixed_scale
from fusionlab.evaluation.gray_levels import FULL_SCALE
from fusionlab.evaluation.reporting.contact_sheet import (
    check_sheet,
    draw_sheet,
    evenly_spaced,
    thumbnail,
)
from fusionlab.evaluation.sequence_score import result_sets
from fusionlab.imaging.reading import MAX_PIXELS
from fusionlab.imaging.scale import Scale, parse_scales, scales_for, scales_of
from fusionlab.sequences.contract import FrameSet, FrameSets

FRAMES = 6
"""How many frames a sheet shows unless it is said."""


def sequence_sheet(
    sources: Sequence[str | Path],
    fused: Mapping[str, str | Path] | None = None,
    *,
    limit: int = FRAMES,
    cell: int = 240,
    scale: str | Scale | Sequence[str | Scale] = "auto",
    sync: str | None = None,
    offsets: Sequence[float] = (),
    rate: Fraction | float | None = None,
    max_pixels: int | None = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> NDArray[np.uint8]:
    """Draw evenly spaced frames of sequences: a row for each, its sources, then the results.

    Args:
        sources: paths of videos, of folders of images or of files of several pages; or one image
            set with sub-folders `a/ b/ ...`.
        fused: title of a column -> path of a result.
        limit: how many frames to show.
        cell: width of an image on the sheet, in pixels, 16 to 4096.
        scale: which values of the sources are black and white. Limits that are measured are those
            of the first frame shown, so that the sheet shows what flickers.
        sync: as for `score_sequence`, of sources and results.
        offsets: of each source; results begin where all sources have begun.
        rate: as for `score_sequence`.
        max_pixels: refuse images that claim more; None: no limit.
        progress: called with (rows done, rows in all).

    Returns:
        The sheet, `(H, W, 3)`.

    Raises:
        FusionlabError: a sequence cannot be opened, the sequences do not fit together, or the sheet
            would be too large (code `too-large`).
    """
    check_sheet(cell, limit)
    results = {label: Path(path) for label, path in (fused or {}).items()}
    paths = [*results.values(), *map(Path, sources)]
    sets = result_sets(
        paths, sync, results=len(results), offsets=offsets, rate=rate, max_pixels=max_pixels
    )
    names = sets.names[len(results) :]
    titles = [*_titles(names), *results]
    cells = _Cells(parse_scales(scale), cell, len(results))
    chosen = evenly_spaced(_count(sets), limit)
    rows, stems = [], []
    for done, number in enumerate(chosen, start=1):
        with closing(cast("Generator[FrameSet]", sets.sets(number))) as frames:
            found = next(frames, None)
        progress(done, len(chosen))
        if found is None:  # a video may state more frames than it has
            continue
        rows.append(cells.of(found, len(titles)))
        stems.append(found.name if found.time is None else f"{float(found.time):.3f} s")
    return draw_sheet(titles, stems, rows, cell)


class _Cells:
    """Makes the cells of rows, with one scale for each source."""

    def __init__(self, scales: Sequence[Scale], width: int, results: int) -> None:
        self._scales, self._width, self._results = scales, width, results
        self._fixed: list[Scale] = []

    def of(self, frames: FrameSet, count: int) -> list[Image.Image | str]:
        """Return the sources and then the results of one frame, or why there are none."""
        if frames.problem is not None:
            return [str(frames.problem), *[""] * (count - 1)]
        fused, sources = frames.images[: self._results], frames.images[self._results :]
        if not self._fixed:
            scales = scales_of(sources, scales_for(self._scales, len(sources)))
            pairs = zip(scales, sources, strict=True)
            self._fixed = [fixed_scale(scale, image) for scale, image in pairs]
        scales = [*self._fixed, *[FULL_SCALE if f.stated_range is None else AUTO for f in fused]]
        cells: list[Image.Image | str] = []
        for image, scale in zip([*sources, *fused], scales, strict=True):
            try:
                cells.append(thumbnail(image, scale, self._width))
            except FusionlabError as error:
                cells.append(str(error))
        return cells


AUTO = Scale("auto")


def _count(sets: FrameSets) -> int:
    """Return how many frames there are, by reading them all where nothing says so."""
    if sets.count is not None:
        return sets.count
    return sum(1 for _ in sets.sets())


def _titles(names: Sequence[str]) -> list[str]:
    """Return what tells the sources from each other: the names of their files or folders."""
    paths = [Path(name) for name in names]
    paths = [path.parent if "{" in path.name else path for path in paths]
    titles = [path.name for path in paths]
    return titles if len({*titles}) == len(titles) else [str(path) for path in paths]
