"""Score methods on one sample: fuse or read, compute the metrics, return the values.

`jobs` wraps it for other processes; `run` decides what is scored, and keeps what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import SCORED_BY, MetricInput, ScoreColor
from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.recipes import NamedMethod
from fusionlab.evaluation.sample import Sample
from fusionlab.evaluation.saved_images import encoded_image
from fusionlab.evaluation.score_journal import KnownRow, known_values
from fusionlab.evaluation.scores import ScoreRow
from fusionlab.evaluation.truth import Truth, TruthFolder
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.imaging.scale import Scale, scales_of
from fusionlab.plugins.failures import translated
from fusionlab.registration.registrar import Registrar
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
        score_color: how color images are scored.
        registrar: registers the sources, and crops them to where all are data; None: they lie on
            each other already.
    """

    scale: Sequence[Scale] = (Scale(),)
    device: str | torch.device = "cpu"
    max_pixels: int | None = MAX_PIXELS
    truth: TruthFolder | None = None
    score_color: ScoreColor = "luma"
    registrar: Registrar | None = None


def method_key(method: Method, settings: ScoringSettings) -> str:
    """Return the SHA-256 of all that the scores of a method depend on, for any sample."""
    scales = [str(scale) for scale in settings.scale]
    scored = SCORED_BY[settings.score_color]
    registrar = settings.registrar
    registered = {} if registrar is None else {"registration": registrar.describe()}
    described = {"method": method.describe(), "scored": scored, "scale": scales}
    return sha256_of_json({**described, **registered})


def row_key(method_hash: str, sources: Sequence[str], fingerprint: str) -> str:
    """Return the SHA-256 that identifies method, settings and images of a row.

    Args:
        method_hash: see `method_key`.
        sources: the SHA-256 of each source.
        fingerprint: see `Method.fingerprint`.
    """
    return sha256_of_json({"key": method_hash, "sources": list(sources), "file": fingerprint})


@dataclass(frozen=True)
class Cell:
    """What is missing of one method on one sample."""

    method: Method | NamedMethod
    method_hash: str
    key: str = ""
    """Of the row, if the files are what they were when the job was made."""
    known: KnownRow = field(default_factory=KnownRow)
    """The values of an earlier run that are not computed again."""
    save: bool = False
    """Whether the image is to be returned, too."""


@dataclass(frozen=True)
class ScoredRow:
    """A row with its key, and its image if it was asked for."""

    row: ScoreRow
    key: str
    """Empty if nothing can be kept of the row."""
    image: tuple[str, bytes] | None = None
    """Suffix and content of the file of the image."""


def score_sample(
    item: ImageSetItem,
    cells: Sequence[Cell],
    metrics: Sequence[Metric],
    settings: ScoringSettings,
    *,
    build: Callable[[NamedMethod], Method] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[ScoredRow]:
    """Score methods on one sample, whose sources are read and encoded once.

    A source or true image that cannot be read, a result that cannot be made or read, and a metric
    that fails raise nothing: the problem of the row says why values are missing.

    Args:
        item: the files of the sample.
        cells: the methods.
        metrics: the metrics to compute.
        settings: what is shared by all samples.
        build: builds the methods that are given by recipes.
        stopping: whether to stop after the current metric.

    Yields:
        A row for each method.
    """
    try:
        with translated("it", "sample-failed"):
            sample, sources = _load(item, settings)
    except FusionlabError as error:
        problem = item.problem or f"{item.stem}: {error}"
        for cell in cells:
            yield ScoredRow(ScoreRow(item.stem, cell.method.label, {}, problem), "")
        return
    truth = Truth()
    if settings.truth is not None:
        truth = settings.truth.load(sample, settings.device, settings.max_pixels)
    metrics = [metric for metric in metrics if truth.images is not None or not metric.of_truth]
    feature_cache = FeatureCache(FEATURE_CACHE_BYTES)
    for cell in cells:
        if stopping():
            return
        label = cell.method.label
        try:
            with translated("it", "row-failed"):  # costs this row, whatever it is
                method = _built(cell.method, build)
                scored = _score(
                    replace(cell, method=method),
                    method,
                    sample,
                    (metrics, sources, truth, settings),
                    feature_cache,
                    stopping,
                )
        except FusionlabError as error:
            problem = f"{sample.name}, {label}: {error}"
            scored = ScoredRow(ScoreRow(sample.name, label, {}, problem), "")
        yield scored


def _built(method: Method | NamedMethod, build: Callable[[NamedMethod], Method] | None) -> Method:
    if not isinstance(method, NamedMethod):
        return method
    if build is None:
        raise TypeError(f"{method.label} is a recipe, and nothing builds it")
    return build(method)


def _score(
    cell: Cell,
    method: Method,
    sample: Sample,
    scored_by: tuple[Sequence[Metric], MetricInput, Truth, ScoringSettings],
    feature_cache: FeatureCache,
    stopping: Callable[[], bool],
) -> ScoredRow:
    """Make the image of one method, and score it.

    Raises:
        FusionlabError: the image cannot be made or read.
    """
    metrics, sources, truth, settings = scored_by
    key = row_key(cell.method_hash, sample.sha256, method.fingerprint(sample.name))
    known = cell.known if key == cell.key else KnownRow()
    values = known_values(known, metrics, truth.sha256)
    missing = [metric for metric in metrics if metric.name not in values]
    if not missing and not cell.save:
        row = ScoreRow(
            sample.name, method.label, values, truth.problem, True, truth.sha256, known.outside
        )
        return ScoredRow(row, key)
    pixels, outside = method.result(sample, feature_cache)
    image = encoded_image(pixels, sample.name) if cell.save else None
    fused = MetricInput([pixels], [f"the result of {method.label}"], device=settings.device)
    problems = [truth.problem]
    against = sources, truth.images
    problems += _compute(missing, fused, against, settings.score_color, values, stopping)
    problem = "; ".join(filter(None, problems))
    row = ScoreRow(sample.name, method.label, values, problem, False, truth.sha256, outside)
    return ScoredRow(row, key, image)


def _load(item: ImageSetItem, settings: ScoringSettings) -> tuple[Sample, MetricInput]:
    """Read the sources of a sample, also as the metrics see them.

    Raises:
        FusionlabError: they cannot be read, do not fit together, or have no gray levels.
    """
    if item.problem:
        raise FusionlabError(item.problem)
    images = [read_image(path, settings.max_pixels) for path in item.sources]
    if settings.registrar is not None:
        images = settings.registrar(images)
    sample = Sample.from_images(item.stem, images)
    scales = scales_of(images, settings.scale)
    sources = MetricInput(sample.sources, sample.source_names, scales, settings.device, shared=True)
    _ = sources.gray  # raises here, and not for each metric
    return sample, sources


def _compute(
    metrics: Sequence[Metric],
    fused: MetricInput,
    against: tuple[MetricInput, MetricInput | None],
    score_color: ScoreColor,
    values: dict[str, float],
    stopping: Callable[[], bool],
) -> list[str]:
    """Add the values of metrics to `values`; return the problems of those that fail.

    `against` are the sources, and the true image if there is one.
    """
    sources, truth = against
    failures = []
    for metric in metrics:
        if stopping():
            break
        try:
            reference = truth if truth is not None and metric.of_truth else sources
            values[metric.name] = metric.value(fused, reference, score_color)
        except FusionlabError as error:  # the metric of a plugin; a later run tries it again
            failures.append(str(error))
    return failures
