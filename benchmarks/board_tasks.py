"""The tasks of the board: read and check a file such as `board.toml`, which explains the keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import installed

TRUTH = "_truth"
"""Suffix of metrics that compare with true images."""


@dataclass(frozen=True)
class Condition:
    """The mean of a metric must reach a number, or the mean of a method."""

    metric: str
    at_least: float | str
    sets: tuple[str, ...] = ()
    """Empty for all sets of the task."""


@dataclass(frozen=True)
class Task:
    """What is measured for one kind of sources."""

    name: str
    sets: tuple[str, ...]
    metrics: tuple[str, ...]
    trivial: tuple[str, ...]
    candidates: tuple[str, ...]
    """The methods that are judged."""
    color: str = "gray"
    conditions: tuple[Condition, ...] = ()

    def conditions_of(self, image_set: str) -> list[Condition]:
        """Return the conditions that hold in a set."""
        return [entry for entry in self.conditions if not entry.sets or image_set in entry.sets]

    def references(self, image_set: str) -> list[str]:
        """Return the installed methods of conditions that are not among the trivial rules."""
        methods = [entry.at_least for entry in self.conditions_of(image_set)]
        return [
            method
            for method in dict.fromkeys(methods)
            if isinstance(method, str) and method not in self.trivial and is_installed(method)
        ]


def read_tasks(path: Path) -> dict[str, Task]:
    """Return name -> task of a board.

    Raises:
        FusionlabError: the file cannot be read, or a table lacks a key or has an unknown one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FusionlabError(f"cannot read the board {path}: {error}", path=path) from error
    tasks = {}
    for name, table in content.items():
        try:
            tasks[name] = _task(name, table)
        except (TypeError, ValueError) as error:
            raise FusionlabError(f"{path}, task {name}: {error}", path=path) from error
    if not tasks:
        raise FusionlabError(f"the board {path} has no task", path=path)
    return tasks


def with_candidates(task: Task, methods: list[str]) -> Task:
    """Return a task that judges these methods, or its default if there are none."""
    return replace(task, candidates=tuple(dict.fromkeys(methods))) if methods else task


def is_installed(method: str) -> bool:
    """Return whether the strategy of a method is offered by any installed package."""
    strategy = method.rpartition("/")[2].partition(",")[0]
    registrations = installed().strategies.registrations
    return any(strategy in (entry.ref.name, entry.qualified) for entry in registrations)


def _task(name: str, table: Mapping[str, Any]) -> Task:
    required, optional = ("sets", "metrics", "trivial"), ("default", "if_installed", "color")
    if not isinstance(table, Mapping):
        raise TypeError(f"expected a table [{name}] with the keys {', '.join(required)}")
    if missing := [key for key in required if not table.get(key)]:
        raise ValueError(f"{', '.join(missing)} must be given")
    if unknown := sorted({*table} - {*required, *optional, "conditions"}):
        raise ValueError(f"unknown keys: {', '.join(unknown)}")
    also = [method for method in table.get("if_installed", ()) if is_installed(method)]
    conditions = tuple(_condition(entry) for entry in table.get("conditions", ()))
    if unknown := {entry.metric for entry in conditions} - {*table["metrics"]}:
        raise ValueError(f"conditions on metrics that are not measured: {', '.join(unknown)}")
    return Task(
        name,
        tuple(table["sets"]),
        tuple(table["metrics"]),
        (*table["trivial"], *also),
        (table.get("default") or _method_of_task(name),),
        table.get("color", "gray"),
        conditions,
    )


def _method_of_task(name: str) -> str:
    """Return what `fusionlab fuse --task NAME` runs.

    Raises:
        ValueError: no installed package offers such a task.
    """
    try:
        return installed().tasks.find(name).ref.method
    except FusionlabError as error:
        raise ValueError(f"it has no default, and {error}") from error


def _condition(entry: Mapping[str, Any]) -> Condition:
    if unknown := sorted({*entry} - {field.name for field in fields(Condition)}):
        raise ValueError(f"unknown keys of a condition: {', '.join(unknown)}")
    return Condition(**{**entry, "sets": tuple(entry.get("sets", ()))})
