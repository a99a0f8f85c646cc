"""Compute the values of frames one after the other: those of each, and those over time.

No more frames are kept than a metric over time compares, so that memory does not grow with the
length of a sequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from fusionlab.engine.device import available_device
from fusionlab.engine.workers import Workers, workers
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import MetricInput, ScoreColor, checked_score_color
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.range_check import check_range_use
from fusionlab.evaluation.sample import check_all_data, check_same_size
from fusionlab.evaluation.sequence_scores import AnyMetric, FrameScores
from fusionlab.evaluation.temporal_metric import TemporalMetric
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.scale import Scale, parse_scales, scales_of
from fusionlab.metrics.optical_flow import FlowFunction, Flows
from fusionlab.sequences.contract import FrameSet

M = TypeVar("M", Metric, TemporalMetric)


@dataclass(frozen=True)
class FrameScorer:
    """Computes the values of frames, one after the other.

    Args:
        metrics: of images, and over time.
        scale: which values of the sources are black and white.
        score_color: how color images are scored.
        device: where the metrics are computed.
        flow: estimates optical flow; None: that of OpenCV.
    """

    metrics: tuple[AnyMetric, ...]
    scale: str | Scale | Sequence[str | Scale] = "auto"
    score_color: ScoreColor = "luma"
    device: str | torch.device = "cpu"
    flow: FlowFunction | None = None

    def scores(self, sets: Iterable[FrameSet]) -> Iterator[FrameScores]:
        """Yield the values of each frame, at most as many frames later as metrics look ahead.

        Args:
            sets: the frames; the first image of each set is the result, the others its sources.

        Raises:
            FusionlabError: the first frame takes up too little of the range of its type (code
                `unused-range`), the number of scales is wrong, or OpenCV is missing. What is wrong
                with a single frame is its problem.
        """
        place = available_device(self.device)
        color = checked_score_color(self.score_color)
        over_time = [metric for metric in self.metrics if isinstance(metric, TemporalMetric)]
        of_images = [metric for metric in self.metrics if isinstance(metric, Metric)]
        window = _Window(over_time, self.flow)
        scales = _Scales(parse_scales(self.scale))
        waiting: deque[_Row] = deque()
        with workers(in_parallel=place.type == "cpu") as threads:
            for frames in sets:
                try:
                    inputs = _inputs(frames, scales, place)
                except FusionlabError as error:
                    if error.code in _OF_ALL_FRAMES:
                        raise
                    window.clear()
                    waiting.append(_Row(frames, [str(error)]))
                else:
                    waiting.append(_Row(frames))
                    of_image = partial(_image_value, inputs=inputs, color=color)
                    _fill([waiting[-1]] * len(of_images), of_images, of_image, threads)
                    window.add(inputs, waiting, threads)
                while len(waiting) > window.ahead:
                    yield self._complete(waiting.popleft())
        for row in waiting:
            yield self._complete(row)

    def _complete(self, row: _Row) -> FrameScores:
        """Return the values of a row in the order of the metrics; none if it could not be read."""
        frames, values = row.frames, row.values
        if values or not row.problems:
            values = {metric.name: values.get(metric.name, nan) for metric in self.metrics}
        return FrameScores(frames.number, frames.name, frames.time, values, "; ".join(row.problems))


@dataclass
class _Row:
    """The values of a frame, as far as they are known."""

    frames: FrameSet
    problems: list[str] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)


def _fill(
    rows: Sequence[_Row],
    metrics: Sequence[M],
    value: Callable[[M], float],
    threads: Workers,
) -> None:
    """Compute the values of metrics, each for its row. One that fails costs no other its value.

    Raises:
        FusionlabError: every frame would have the same error.
    """

    def attempt(metric: M) -> float | FusionlabError:
        try:
            return value(metric)
        except FusionlabError as error:  # the metric of a plugin, or what it needs
            return error

    for row, metric, found in zip(rows, metrics, threads.map(attempt, metrics), strict=True):
        if isinstance(found, float):
            row.values[metric.name] = found
        elif found.code in _OF_ALL_FRAMES:
            raise found
        else:
            row.problems.append(str(found))


_OF_ALL_FRAMES = ("unused-range", "number-of-scales", "scale-unit", "missing-extra")
"""Codes of errors that every frame would have."""


class _Scales:
    """Which values of the sources are black and white: those of the first frame, if measured."""

    def __init__(self, scales: Sequence[Scale]) -> None:
        self._scales = scales
        self._fixed: list[Scale] = []

    def of(self, images: Sequence[LoadedImage]) -> list[Scale]:
        """Return one for each source."""
        if not self._fixed:
            scales = scales_of(images, self._scales)
            pixels = [np.asarray(image.pixels) for image in images]
            names = [image.name for image in images]
            check_range_use(pixels, names, scales)
            self._fixed = [
                fixed_scale(scale, image) for scale, image in zip(scales, images, strict=True)
            ]
        return self._fixed


def fixed_scale(scale: Scale, image: LoadedImage) -> Scale:
    """Return a scale whose limits, if they are measured, are those of one image."""
    if scale.kind not in ("minmax", "percentile"):
        return scale
    planes = torch.from_numpy(np.atleast_3d(np.asarray(image.pixels))).movedim(-1, 0)[None]
    ((low, high),) = scale.limits(planes, image.name).tolist()
    return Scale("fixed", low, high)


class _Inputs(NamedTuple):
    fused: MetricInput
    sources: MetricInput


def _inputs(frames: FrameSet, scales: _Scales, device: torch.device) -> _Inputs:
    """Return a frame as the metrics take it.

    Raises:
        FusionlabError: it cannot be read, or its images do not fit together.
    """
    if frames.problem is not None:
        raise frames.problem
    fused, *sources = frames.images
    if not sources:
        raise FusionlabError("expected at least one source, got none", code="no-sources")
    for image in frames.images:
        check_all_data(image)
    check_same_size([image.pixels.shape for image in frames.images])
    pixels = [np.asarray(image.pixels) for image in frames.images]
    names = [image.name for image in frames.images]
    own = None if fused.stated_range is None else [Scale("fixed", *fused.stated_range)]
    return _Inputs(
        MetricInput(pixels[:1], names[:1], own, device=device),
        MetricInput(pixels[1:], names[1:], scales.of(sources), device=device),
    )


def _image_value(metric: Metric, inputs: _Inputs, color: ScoreColor) -> float:
    return metric.value(*inputs, color)


@dataclass
class _Window:
    """The last frames in gray levels, as many as a metric compares, and the flows between them."""

    metrics: Sequence[TemporalMetric]
    flow: FlowFunction | None
    frames: deque[tuple[Tensor, Tensor]] = field(init=False)
    """Of each frame the result `(H, W)` and the sources `(k, H, W)`."""
    flows: deque[Flows] = field(init=False)
    """Between one frame and the next."""

    def __post_init__(self) -> None:
        size = max((metric.ref.frames for metric in self.metrics), default=0)
        self.frames, self.flows = deque(maxlen=size), deque(maxlen=max(size - 1, 0))

    @property
    def ahead(self) -> int:
        """How many frames a value is known after its own."""
        return max((_behind(metric) for metric in self.metrics), default=0)

    def clear(self) -> None:
        """Forget the frames: the next one does not follow on them."""
        self.frames.clear()
        self.flows.clear()

    def add(self, inputs: _Inputs, rows: Sequence[_Row], threads: Workers) -> None:
        """Add a frame, and the values that are now known to the last rows."""
        if not self.metrics:
            return
        fused, sources = inputs.fused.gray[0, 0], inputs.sources.gray[:, 0]
        if self.frames and sources.shape != self.frames[-1][1].shape:
            self.clear()  # a sequence whose size changes begins anew
        metrics = [
            metric
            for metric in self.metrics
            if min(fused.shape) >= metric.ref.min_size
            and (metric.ref.sources != "pair" or len(sources) == 2)
        ]
        self.frames.append((fused, sources))
        if len(self.frames) > 1 and any(metric.ref.flow for metric in metrics):
            self.flows.append(self._flows(*self._last(2)))
        ready = [metric for metric in metrics if len(self.frames) >= metric.ref.frames]
        _fill([rows[-1 - _behind(metric)] for metric in ready], ready, self._value, threads)

    def _last(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the last frames of the result `(T, H, W)` and of the sources `(k, T, H, W)`."""
        frames = [*self.frames][-number:]
        fused = torch.stack([result for result, _ in frames])
        return fused, torch.stack([sources for _, sources in frames], dim=1)

    def _flows(self, fused: Tensor, sources: Tensor) -> Flows:
        return Flows.between(fused, sources, self.flow).to(fused.device)

    def _value(self, metric: TemporalMetric) -> float:
        flows = None
        if metric.ref.flow:
            last = [*self.flows][1 - metric.ref.frames :]
            flows = Flows(*(torch.cat(each, dim=-4) for each in zip(*last, strict=True)))
        return float(metric(*self._last(metric.ref.frames), flows)[0])


def _behind(metric: TemporalMetric) -> int:
    """Return how many frames the frame of a value is behind the last one of its window."""
    return (metric.ref.frames - 1) // 2
