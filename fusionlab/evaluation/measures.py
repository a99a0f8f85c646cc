"""The metrics of a table: found by name, with the convention they are computed in.

NAME[@CONVENTION]        Qabf, Qabf@paper, someone-else:Qabf
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.provenance import code_of, libraries
from fusionlab.plugins.factory import attribute_errors_to
from fusionlab.plugins.offers import MetricFunction, MetricRef
from fusionlab.plugins.registry import Plugins, Registration
from fusionlab.storage.hashing import sha256_of_json


@dataclass(frozen=True)
class Measure:
    """A metric in one of its conventions, ready to judge images."""

    registration: Registration[MetricRef]
    convention: str = "default"
    ambiguous: bool = False
    """Whether another plugin offers a metric of this name."""

    @classmethod
    def find(cls, text: str, plugins: Plugins) -> Measure:
        """Return the measure that `[PLUGIN:]NAME[@CONVENTION]` names.

        Raises:
            FusionlabError: there is no such metric or convention.
        """
        name, at, convention = text.partition("@")
        registration = plugins.metrics.find(name)
        known = registration.ref.conventions
        if at and convention not in known:
            raise FusionlabError(
                f"the metric {name} has no convention {convention!r}; known: "
                f"{', '.join(known) or 'none'} (without @ it is computed as defined)"
            )
        twins = [
            other
            for other in plugins.metrics.registrations
            if other.ref.name == registration.ref.name
        ]
        return cls(registration, convention if at else "default", len(twins) > 1)

    @property
    def ref(self) -> MetricRef:
        """What is to be known about the metric."""
        return self.registration.ref

    @property
    def name(self) -> str:
        """What stands above its column: `Qabf@paper`, with its plugin where several have one."""
        suffix = "" if self.convention == "default" else f"@{self.convention}"
        return f"{self.registration.qualified if self.ambiguous else self.ref.name}{suffix}"

    @cached_property
    def identity(self) -> str:
        """What a value of it is a function of besides the images: name, code, libraries."""
        module, _, _ = self.ref.target.partition(":")
        return sha256_of_json(
            {
                "metric": f"{self.registration.qualified}@{self.convention}",
                "code": code_of(module),
                "libraries": libraries(),
            }
        )

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Judge fused images `(N, H, W)` of sources `(k, N, H, W)`, gray levels in 0..255.

        Returns:
            `(N,)`, float64; nan where the metric is undefined.

        Raises:
            FusionlabError: the images are too small, or too many sources for it; or a
                stranger's metric fails.
        """
        with attribute_errors_to(self.registration):
            values = self._function(fused, sources, self.convention)
            if not isinstance(values, Tensor) or values.shape != fused.shape[:1]:
                raise TypeError(f"expected {len(fused)} values, got {values!r}")
        return values.to(torch.float64)

    @cached_property
    def _function(self) -> MetricFunction:
        with attribute_errors_to(self.registration):
            return self.ref.load()


def find_measures(names: Sequence[str], plugins: Plugins) -> list[Measure]:
    """Return the measures of these names, each of them once.

    Raises:
        FusionlabError: there are none, or one is unknown.
    """
    found = {one.name: one for one in (Measure.find(name, plugins) for name in names)}
    if not found:
        raise FusionlabError("no metrics are given; see 'fusionlab metrics'")
    return list(found.values())


def value_of(measure: Measure, fused: Tensor, sources: Tensor) -> float:
    """Judge one image `(1, H, W)`; nan where the metric is not defined for these sources.

    A table has images of many sizes and numbers of sources; what does not fit a metric costs a
    value, not the row.
    """
    ref = measure.ref
    if min(fused.shape[-2:]) < ref.min_size or (ref.sources == "pair" and len(sources) != 2):
        return math.nan
    return float(measure(fused, sources))
