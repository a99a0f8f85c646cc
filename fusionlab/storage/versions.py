"""Versions of installed distributions, for records, tables and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Return name -> version of those distributions that are installed, in the given order."""
    return {name: installed for name in names if (installed := _version(name)) is not None}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
