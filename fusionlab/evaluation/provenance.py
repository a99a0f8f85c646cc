"""Which state of some code a score was computed by.

Versions of plugins change when they are released; while somebody works on a rule, its file does.
A score is only taken over from an earlier run if the file is the same, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "scipy", "PyWavelets")
"""The distributions that metrics pass through."""


def code_of(module: str) -> str:
    """Return the SHA-256 of the file of a module; empty where it has none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


@cache
def libraries() -> dict[str, str]:
    """Return the versions of what metrics are computed with."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "?"
    return found
