"""Jobs: what is missing of one sample, computed in any thread, process or machine.

A job is plain data. Methods and metrics, which hold networks and code, are sent by name; a worker
builds each of them once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.methods import FusionMethod, Method
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.recipes import Backbones, NamedMethod
from fusionlab.evaluation.scoring import Cell, ScoredRow, ScoringSettings, score_sample
from fusionlab.plugins.host import load_plugins
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.image_sets import ImageSetItem


@dataclass(frozen=True)
class NamedMetric:
    """A metric that a worker has to find."""

    name: str
    """`PLUGIN:NAME@CONVENTION`"""
    of_truth: bool


@dataclass(frozen=True)
class Job:
    """One sample, and the methods that are missing."""

    item: ImageSetItem
    cells: tuple[Cell, ...]
    metrics: tuple[Metric | NamedMetric, ...]
    settings: ScoringSettings
    blocked: tuple[str, ...] = ()
    """Plugins that are not loaded."""
    seconds: float = math.inf
    """When to return what is done, so that it is kept, and leave the rest to another job."""
    attempts: int = 0
    """How many workers have died while they computed it."""

    @property
    def portable(self) -> Job:
        """The same job for another process: without objects that cannot be sent, paths absolute.

        Raises:
            FusionlabError: a method is an object of a script (code `not-portable`).
        """
        # workers may have another working directory
        sources = tuple(path.absolute() for path in self.item.sources)
        return replace(
            self,
            item=replace(self.item, sources=sources),
            cells=tuple(replace(cell, method=_portable(cell.method)) for cell in self.cells),
            metrics=tuple(map(_named, self.metrics)),
        )


def run_job(job: Job, stopping: Callable[[], bool] = lambda: False) -> list[ScoredRow]:
    """Score the methods of a job in their order, at least one, until its seconds are over.

    Args:
        job: the job.
        stopping: whether to stop after the current metric.

    Returns:
        The rows that were scored, of the first cells of the job.
    """
    start = time.monotonic()
    worker = _worker(job.blocked)
    rows = []
    for scored in score_sample(
        job.item,
        job.cells,
        [worker.metric(part) if isinstance(part, NamedMetric) else part for part in job.metrics],
        job.settings,
        build=worker.method,
        stopping=stopping,
    ):
        rows.append(scored)
        if time.monotonic() - start > job.seconds:
            break
    return rows


class _Worker:
    """What a process has found and built for its jobs."""

    def __init__(self, blocked: tuple[str, ...]) -> None:
        self._blocked = blocked
        self._metrics: dict[NamedMetric, Metric] = {}
        self._methods: dict[NamedMethod, FusionMethod] = {}
        self._backbones: Backbones = {}

    def metric(self, name: NamedMetric) -> Metric:
        """Return a metric by its name."""
        if name not in self._metrics:
            metric = Metric.find(name.name, _plugins(self._blocked))
            self._metrics[name] = replace(metric, of_truth=name.of_truth)
        return self._metrics[name]

    def method(self, method: NamedMethod) -> FusionMethod:
        """Return a method by its recipe."""
        if method not in self._methods:
            plugins = _plugins(self._blocked)
            fusion = method.recipe.build(plugins, self._backbones)
            self._methods[method] = FusionMethod(method.label, fusion, plugins)
        return self._methods[method]


@cache
def _worker(blocked: tuple[str, ...]) -> _Worker:
    return _Worker(blocked)


@cache
def _plugins(blocked: tuple[str, ...]) -> Plugins:
    """Return the plugins of a worker, loaded when the first job names something."""
    return load_plugins(blocked)


def _portable(method: Method | NamedMethod) -> Method | NamedMethod:
    """Return a method as another process can build it."""
    if isinstance(method, FusionMethod):
        if method.recipe is None:
            raise FusionlabError(
                f"{method.label} is an object of this program, which cannot be sent to another "
                "process; give its name instead, or compute with threads",
                code="not-portable",
                option="executor",
            )
        return NamedMethod(method.label, method.recipe)
    return method


def _named(metric: Metric | NamedMetric) -> NamedMetric:
    """Return a metric as another process can find it."""
    if isinstance(metric, NamedMetric):
        return metric
    convention = "" if metric.convention == "default" else f"@{metric.convention}"
    return NamedMetric(f"{metric.registration.qualified}{convention}", metric.of_truth)
