"""Score methods on the samples of an image set: fuse or read, compute the metrics, keep the values.

`score_sample` does the work on one sample, with plain data in and out. `ScoringRun` goes through
the samples with several threads and keeps the scores in a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

import torch

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import FULL_SCALE, LUMINANCE, MetricInput
from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.sample import Sample
from fusionlab.evaluation.saved_images import SavedImages
from fusionlab.evaluation.score_journal import KnownRow, KnownScores, ScoreJournal, known_values
from fusionlab.evaluation.scores import ScoreRow
from fusionlab.evaluation.truth import Truth, TruthFolder
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.storage.hashing import sha256_of_json

FEATURE_CACHE_BYTES = 2**30
"""Limit of the features of a sample that the strategies share: a pair of 2 megapixels."""


@dataclass(frozen=True)
class ScoringSettings:
    """What the scores of all samples depend on besides methods and metrics.

    Args:
        scale: which values of the sources are black and white for the metrics.
        device: where the metrics are computed.
        max_pixels: refuse sources that claim more; None: no limit.
        truth: has the true images for the metrics that compare with them.
    """

    scale: Sequence[Scale] = (Scale(),)
    device: str | torch.device = "cpu"
    max_pixels: int | None = MAX_PIXELS
    truth: TruthFolder | None = None


def method_key(method: Method, settings: ScoringSettings) -> str:
    """Return the SHA-256 of all that the scores of a method depend on, for any sample."""
    scales = [str(scale) for scale in settings.scale]
    content = {"method": method.describe(), "scored": LUMINANCE, "scale": scales}
    return sha256_of_json(content)


def score_sample(
    item: ImageSetItem,
    methods: Sequence[tuple[str, Method]],
    metrics: Sequence[Metric],
    settings: ScoringSettings,
    known: KnownScores | None = None,
    *,
    saved_images: SavedImages | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[str, ScoreRow]]:
    """Score all methods on one sample, whose sources are read and encoded once.

    A source or true image that cannot be read, a result that cannot be made or read, and a metric
    that fails raise nothing: the problem of the row says why values are missing.

    Args:
        item: the files of the sample.
        methods: (key, method) pairs, see `method_key`.
        metrics: the metrics to compute.
        settings: what is shared by all samples.
        known: the scores of an earlier run, which are not computed again.
        saved_images: keeps the images that are scored; None: they are not kept.
        stopping: whether to stop after the current metric.

    Yields:
        (key, row) for each method, where the key identifies method, settings and images.
    """
    try:
        sample, sources = _load(item, settings)
    except FusionlabError as error:
        problem = item.problem or f"{item.stem}: {error}"
        yield from (("", ScoreRow(item.stem, method.label, {}, problem)) for _, method in methods)
        return
    truth = Truth()
    if settings.truth is not None:
        truth = settings.truth.load(sample, settings.device, settings.max_pixels)
    metrics = [metric for metric in metrics if truth.images is not None or not metric.of_truth]
    feature_cache = FeatureCache(FEATURE_CACHE_BYTES)
    for method_hash, method in methods:
        if stopping():
            return
        key = ""
        try:
            fingerprint = method.fingerprint(sample.name)
            key = sha256_of_json(
                {"key": method_hash, "sources": sample.sha256, "file": fingerprint}
            )
            known_row = (known or {}).get((key, sample.name), KnownRow())
            values = known_values(known_row, metrics, truth.sha256)
            missing = [metric for metric in metrics if metric.name not in values]
            saved = saved_images is None or saved_images.has(method.label, sample.name, key)
            reused, outside, problems = saved and not missing, known_row.outside, [truth.problem]
            if not reused:
                image, outside = method.result(sample, feature_cache)
                if saved_images is not None and not saved:
                    saved_images.save(method.label, sample.name, key, image)
                name = f"the result of {method.label}"
                fused = MetricInput([image], [name], [FULL_SCALE], settings.device)
                problems += _compute(missing, fused, sources, truth.images, values, stopping)
            problem = "; ".join(filter(None, problems))
            row = ScoreRow(
                sample.name, method.label, values, problem, reused, truth.sha256, outside
            )
        except FusionlabError as error:
            row = ScoreRow(sample.name, method.label, {}, f"{sample.name}, {method.label}: {error}")
        yield key, row


def _load(item: ImageSetItem, settings: ScoringSettings) -> tuple[Sample, MetricInput]:
    """Read the sources of a sample, also as the metrics see them.

    Raises:
        FusionlabError: they cannot be read, do not fit together, or have no gray levels.
    """
    if item.problem:
        raise FusionlabError(item.problem)
    images = [read_image(path, settings.max_pixels) for path in item.sources]
    sample = Sample.from_images(item.stem, images)
    scales = scales_for(settings.scale, len(images))
    sources = MetricInput(sample.sources, sample.source_names, scales, settings.device)
    _ = sources.gray  # raises here, and not for each metric
    return sample, sources


def _compute(
    metrics: Sequence[Metric],
    fused: MetricInput,
    sources: MetricInput,
    truth: MetricInput | None,
    values: dict[str, float],
    stopping: Callable[[], bool],
) -> list[str]:
    """Add the values of metrics to `values`; return the problems of those that fail."""
    failures = []
    for metric in metrics:
        if stopping():
            break
        try:
            values[metric.name] = metric.value(
                fused, truth if truth is not None and metric.of_truth else sources
            )
        except FusionlabError as error:  # the metric of a plugin; a later run tries it again
            failures.append(str(error))
    return failures


@dataclass
class ScoringRun:
    """Score methods on all samples with several threads, and keep the scores in a folder.

    Args:
        methods: the rows, see `fusionlab.evaluation.methods`.
        metrics: the columns.
        folder: where scores are kept as they come; None: nowhere.
        resume: reuse the scores of an earlier run in this folder where nothing has changed.
        settings: what is shared by all samples.
        jobs: number of samples that are scored at the same time; each may keep 1 GiB of features.
        images: keeps the images that are scored; None: they are not kept.
        progress: called with (rows done, rows in all) after each row, from several threads.
    """

    methods: Sequence[Method]
    metrics: Sequence[Metric]
    folder: Path | None = None
    resume: bool = False
    settings: ScoringSettings = field(default_factory=ScoringSettings)
    jobs: int = 1
    images: SavedImages | None = None
    progress: Callable[[int, int], None] = lambda *_: None
    unsaved: str = field(default="", init=False)
    """A sentence that says why scores or images could not be kept any more; empty if they could."""
    _done: int = field(default=0, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _stopping: Event = field(default_factory=Event, init=False, repr=False)

    def run(self, items: Sequence[ImageSetItem]) -> Iterator[ScoreRow]:
        """Score every method on every sample, samples in their order.

        Raises:
            FusionlabError: the folder cannot be used. If it cannot be written later on, the run
                continues, and `unsaved` says so.
        """
        journal = ScoreJournal(self.folder, resume=self.resume)
        methods = [(method_key(method, self.settings), method) for method in self.methods]
        total = len(items) * len(methods)

        def score(item: ImageSetItem) -> list[ScoreRow]:
            rows = []
            for key, row in score_sample(
                item,
                methods,
                self.metrics,
                self.settings,
                journal.known,
                saved_images=self.images,
                stopping=self._stopping.is_set,
            ):
                if row.values and not row.reused:
                    self._save(journal, key, row)
                rows.append(row)
                with self._lock:
                    self._done += 1
                    self.progress(self._done, total)
            return rows

        pool = ThreadPoolExecutor(self.jobs, "evaluate")
        try:
            for rows in pool.map(score, items):
                yield from rows
        finally:  # also after Ctrl-C: what has been saved stays
            self._stopping.set()
            pool.shutdown(cancel_futures=True)
        if self.images is not None:
            self.unsaved = self.unsaved or self.images.problem

    def _save(self, journal: ScoreJournal, key: str, row: ScoreRow) -> None:
        """Append a row to the journal; continue without it if the disk is full."""
        try:
            journal.append(key, row, self.metrics)
        except FusionlabError as error:
            self.unsaved = str(error)
