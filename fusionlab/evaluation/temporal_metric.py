"""Metrics over time, found by name: columns of the tables of sequences, beside those of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fusionlab.engine.untouched import untouched
from fusionlab.evaluation.metric import (
    DIRECTIONS,
    Metric,
    choose_metrics,
    column_name,
    found_metric,
)
from fusionlab.metrics.inputs import check_frames
from fusionlab.metrics.optical_flow import Flows
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.plugins.offers import TemporalMetricFunction, TemporalMetricRef
from fusionlab.plugins.registry import Plugins, Registration
from fusionlab.torch_defaults import torch_defaults


@dataclass(frozen=True)
class TemporalMetric:
    """A metric over time in one of its conventions, ready to score consecutive frames."""

    registration: Registration[TemporalMetricRef]
    convention: str = "default"
    ambiguous: bool = False
    """Whether another plugin offers a metric over time of the same name."""

    @classmethod
    def find(cls, text: str, plugins: Plugins) -> TemporalMetric:
        """Return the metric over time that `[PLUGIN:]NAME[@CONVENTION]` names.

        Raises:
            FusionlabError: there is no such metric, or it has no such convention (code
                `unknown-convention`).
        """
        return cls(*found_metric(text, plugins.temporal_metrics))

    @property
    def ref(self) -> TemporalMetricRef:
        """The description that its plugin gives."""
        return self.registration.ref

    @property
    def name(self) -> str:
        """The head of its column."""
        return column_name(self.registration, self.convention, qualified=self.ambiguous)

    @property
    def summary(self) -> str:
        """One line: what it measures."""
        return self.ref.summary

    @property
    def direction(self) -> int:
        """1 if higher values are better, -1 if lower values are, 0 if neither."""
        return DIRECTIONS[self.ref.higher_is_better]

    @torch_defaults()
    def __call__(self, fused: Tensor, sources: Tensor, flows: Flows | None = None) -> Tensor:
        """Score T consecutive frames `(T, H, W)` of sources `(k, T, H, W)`, gray levels in 0..255.

        Args:
            fused: T frames, at least `ref.frames`.
            sources: those that they were fused from.
            flows: between the frames, if `ref.flow` says that the metric takes them.

        Returns:
            `(T - ref.frames + 1,)`, float64; nan where the metric is undefined.

        Raises:
            FusionlabError: the frames do not match the description of the metric, see
                `fusionlab.metrics.inputs.check_frames`, or the metric of a plugin fails.
        """
        check_frames(self.ref, fused, sources, self.convention)
        what = f"the metric {self.registration.qualified}"
        given = (fused, sources, *(flows or ()))
        with attribute_errors_to(self.registration), untouched(lambda: what, "images", *given):
            values = self._function(fused, sources, flows, self.convention)
            count = len(fused) - self.ref.frames + 1
            if not isinstance(values, Tensor) or values.shape != (count,):
                raise TypeError(f"expected {count} values, got {values!r}")
        return values.to(torch.float64)

    @cached_property
    def _function(self) -> TemporalMetricFunction:
        with attribute_errors_to(self.registration):
            return self.ref.load()


def choose_sequence_metrics(
    names: str | Sequence[str] | None, preset: str | None, plugins: Plugins
) -> list[Metric | TemporalMetric]:
    """Return the metrics of these names for a sequence, each of them once: also those over time.

    Args:
        names: `NAME[@CONVENTION]`, several or separated by commas or spaces; `"all"` for every
            installed metric; None for those of the preset, or else the default metrics, followed by
            the default metrics over time.
        preset: name of a preset, or None.
        plugins: the plugins that offer the metrics.

    Raises:
        FusionlabError: a name is unknown, or there is none (code `no-metrics`).
    """
    over_time = plugins.temporal_metrics.registrations
    if names == "all" or names is None:
        added = (
            [registration.qualified for registration in over_time]
            if names == "all"
            else plugins.default_metrics("temporal metrics")
        )
        return [
            *choose_metrics(names, preset, plugins),
            *(TemporalMetric.find(name, plugins) for name in added),
        ]
    texts = names.replace(",", " ").split() if isinstance(names, str) else names
    columns: list[Metric | TemporalMetric] = [
        TemporalMetric.find(text, plugins)
        if text.partition("@")[0] in plugins.temporal_metrics
        else Metric.find(text, plugins)
        for text in texts
    ]
    if not columns:
        return [*choose_metrics([], preset, plugins)]  # raises
    return [*{column.name: column for column in columns}.values()]
