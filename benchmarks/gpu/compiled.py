"""The variants that compile: they take minutes, and come last."""

from __future__ import annotations

import torch
from part import Part
from speed import compare
from variants import COMPILED


def measure(part: Part) -> None:
    """Measure as `speed` does."""
    if part.toy:
        real, torch.compile = torch.compile, _not_compiled
        try:
            compare(part, COMPILED)
        finally:
            torch.compile = real
        return
    compare(part, COMPILED)


def _not_compiled(function: object, **_: object) -> object:
    """Stand in for the compiler, which takes a minute."""
    return function
