"""The factors of a row: what distinguishes it from the others, each in a column of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SETTINGS = ("range", "color", "scale", "shared_weights", "engine", "precision")
"""Settings of a fusion that are factors."""


def factors_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the factors of a row as text, also those that have their default.

    Args:
        description: what `Method.describe` returns.

    Returns:
        `backbone`, `tag`, `strategy`, each parameter of the strategy by its name, `range`, `color`,
        `scale` and so on. Empty for a folder of results, of which nothing is known. A parameter
        that has the name of a setting is called `strategy.NAME`.
    """
    if "strategy" not in description:
        return {}
    settings = {name: _text(description[name]) for name in SETTINGS if name in description}
    factors = {
        "backbone": description["backbone"],
        "tag": (description.get("weights") or {}).get("tag", ""),
        "strategy": description["strategy"],
    }
    reserved = {*factors, *settings, "set", "sample", "method", "metric", "value"}
    for name, value in description["parameters"].items():
        factors[f"strategy.{name}" if name in reserved else name] = _text(value)
    return {**factors, **settings}


def varying(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the factors with more than one value, in the order in which they appear.

    A parameter that only some strategies have, always with the same value, is none: it says no more
    than the strategy.
    """
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, set()).add(value)
    return [name for name, seen in values.items() if len(seen) > 1]


def matching_rows(factors: Mapping[str, Mapping[str, str]], factor: str) -> list[list[str]]:
    """Return the rows that agree in all other factors than one, group by group.

    Args:
        factors: label -> factor -> value; rows that do not have the factor are in no group.
        factor: its name.
    """
    groups: dict[frozenset[tuple[str, str]], list[str]] = {}
    for label, row in factors.items():
        if factor in row:
            others = frozenset((name, value) for name, value in row.items() if name != factor)
            groups.setdefault(others, []).append(label)
    return list(groups.values())


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
