"""The columns of a table: metrics, found by name, each with the convention it is computed in.

NAME[@CONVENTION]        Qabf, Qabf@paper, other-plugin:Qabf
NAME_truth               compared with the true image instead of the sources, see `truth`

Metrics over time are columns of tables of sequences only, see `temporal_metric`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from fusionlab.engine.untouched import untouched
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import MetricInput, ScoreColor
from fusionlab.metrics.inputs import check_images
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.plugins.offers import MetricFunction, MetricRef, TemporalMetricRef
from fusionlab.plugins.presets import preset_metrics
from fusionlab.plugins.registry import Plugins, Registration, Registry
from fusionlab.runs.code_hash import code_sha256, metric_libraries
from fusionlab.storage.hashing import sha256_of_json
from fusionlab.storage.versions import library_versions
from fusionlab.torch_defaults import torch_defaults

RefT = TypeVar("RefT", MetricRef, TemporalMetricRef)

DIRECTIONS = {True: 1, False: -1, None: 0}
"""`higher_is_better` -> 1 if higher values are better, -1 if lower values are, 0 if neither."""


@dataclass(frozen=True)
class Metric:
    """A metric in one of its conventions, ready to score images."""

    registration: Registration[MetricRef]
    convention: str = "default"
    ambiguous: bool = False
    """Whether another plugin offers a metric of the same name."""
    of_truth: bool = False
    """Whether it compares with the true image of a sample, in place of the sources."""

    @classmethod
    def find(cls, text: str, plugins: Plugins) -> Metric:
        """Return the metric that `[PLUGIN:]NAME[@CONVENTION]` names.

        Raises:
            FusionlabError: there is no such metric, it has no such convention (code
                `unknown-convention`), or it is a metric over time (code `metric-of-sequences`).
        """
        plain = text.partition("@")[0]
        if plain not in plugins.metrics and plain in plugins.temporal_metrics:
            raise FusionlabError(
                f"the metric {plain} compares the frames of a sequence, and single images have "
                "none; score a sequence with it, or leave it out",
                code="metric-of-sequences",
                option="metrics",
            )
        return cls(*found_metric(text, plugins.metrics))

    @property
    def ref(self) -> MetricRef:
        """The description that its plugin gives."""
        return self.registration.ref

    @property
    def name(self) -> str:
        """The head of its column: `Qabf@paper`, with the plugin if several offer the name."""
        name = column_name(self.registration, self.convention, qualified=self.ambiguous)
        return f"{name}_truth" if self.of_truth else name

    @property
    def summary(self) -> str:
        """One line: what it measures."""
        if self.of_truth:
            return f"{self.ref.name} with the true image as the only source"
        return self.ref.summary

    @property
    def direction(self) -> int:
        """1 if higher values are better, -1 if lower values are, 0 if neither."""
        return DIRECTIONS[self.ref.higher_is_better]

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that a value depends on besides the images: name, code, libraries."""
        module, _, _ = self.ref.target.partition(":")
        return sha256_of_json(
            {
                "metric": f"{self.registration.qualified}@{self.convention}",
                "code": code_sha256(module),
                "plugin": library_versions([self.registration.plugin]),
                "libraries": metric_libraries(),
            }
        )

    def identity_for(self, truth: str) -> str:
        """Return the identity, with the SHA-256 of the true image if values depend on it."""
        return sha256_of_json([self.identity, truth]) if self.of_truth else self.identity

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Score fused images `(N, H, W)` of sources `(k, N, H, W)`, gray levels in 0..255.

        A metric that takes color scores `(N, 3, H, W)` of `(k, N, 3, H, W)`.

        Returns:
            `(N,)`, float64; nan where the metric is undefined.

        Raises:
            FusionlabError: the images do not match the description of the metric, see
                `fusionlab.metrics.inputs.check_images`, or the metric of a plugin fails.
        """
        check_images(self.ref, fused, sources, self.convention)
        with (
            attribute_errors_to(self.registration),
            untouched(
                lambda: f"the metric {self.registration.qualified}", "images", fused, sources
            ),
        ):
            values = self._function(fused, sources, self.convention)
            if not isinstance(values, Tensor) or values.shape != fused.shape[:1]:
                raise TypeError(f"expected {len(fused)} values, got {values!r}")
        return values.to(torch.float64)

    @torch_defaults()
    def value(
        self, fused: MetricInput, sources: MetricInput, score_color: ScoreColor = "luma"
    ) -> float:
        """Score one image, gray or in color; nan if the metric is not defined for these sources.

        The images of a table have many sizes and numbers of sources; where a metric cannot be
        computed, the value is missing, not the row.

        Args:
            fused: the one image.
            sources: what it is compared with.
            score_color: how color images are scored. `per-channel`: the mean of the values of red,
                green and blue; gray images have three equal channels. Metrics that take color are
                not concerned.

        Raises:
            FusionlabError: as for a call, or an image has no gray levels, see
                `fusionlab.evaluation.gray_levels.to_gray_levels`.
        """
        too_small = min(sources.images[0].shape[:2]) < self.ref.min_size
        if too_small or (self.ref.sources == "pair" and len(sources.images) != 2):
            return math.nan
        if self.ref.color:
            return float(self(fused.color[0], sources.color))
        if score_color == "luma" or (fused.is_gray and sources.is_gray):
            return float(self(fused.gray[0], sources.gray))
        images = fused.channels[0], sources.channels
        if self.convention in self.ref.joined_channels and not fused.is_gray:
            images = _side_by_side(images[0])[None], _side_by_side(images[1])[:, None]
        return float(self(*images).mean())

    @cached_property
    def _function(self) -> MetricFunction:
        with attribute_errors_to(self.registration):
            return self.ref.load()


def _side_by_side(channels: Tensor) -> Tensor:
    """Return channels `(..., 3, H, W)` as one image `(..., H, 3 W)`."""
    return channels.movedim(-3, -2).flatten(-2)


def column_name(
    registration: Registration[MetricRef] | Registration[TemporalMetricRef],
    convention: str,
    *,
    qualified: bool,
) -> str:
    """Return the head of a column, with the plugin if several offer the name."""
    suffix = "" if convention == "default" else f"@{convention}"
    return f"{registration.qualified if qualified else registration.ref.name}{suffix}"


def found_metric(text: str, registry: Registry[RefT]) -> tuple[Registration[RefT], str, bool]:
    """Return what `[PLUGIN:]NAME[@CONVENTION]` names, its convention, and whether NAME is unique.

    Raises:
        FusionlabError: there is no such metric, or it has no such convention.
    """
    name, at, convention = text.partition("@")
    registration = registry.find(name)
    conventions = registration.ref.conventions
    if at and convention not in conventions:
        raise FusionlabError(
            f"the metric {name} has no convention {convention!r}; known: "
            f"{', '.join(conventions) or 'none'} (without @ it is computed as defined)",
            code="unknown-convention",
        )
    names = [other.ref.name for other in registry.registrations]
    ambiguous = names.count(registration.ref.name) > 1
    return registration, convention if at else "default", ambiguous


def choose_metrics(
    names: str | Sequence[str] | None, preset: str | None, plugins: Plugins
) -> list[Metric]:
    """Return the metrics of these names, each of them once.

    Args:
        names: `NAME[@CONVENTION]`, several or separated by commas or spaces; `"all"` for every
            installed metric; None for those of the preset, or else the default metrics.
        preset: name of a preset, or None.
        plugins: the plugins that offer the metrics.

    Raises:
        FusionlabError: a name is unknown, or there is none (code `no-metrics`).
    """
    if names == "all":
        names = [registration.qualified for registration in plugins.metrics.registrations]
    elif isinstance(names, str):
        names = names.replace(",", " ").split()
    elif names is None:
        names = (preset_metrics(preset, plugins) if preset else []) or plugins.default_metrics()
    metrics = {metric.name: metric for metric in (Metric.find(name, plugins) for name in names)}
    if not metrics:
        raise FusionlabError(
            "no metrics are given; name at least one", code="no-metrics", option="metrics"
        )
    return list(metrics.values())
