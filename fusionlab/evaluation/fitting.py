"""Which rows fit an image set: methods that do not take its number of sources are left out."""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.evaluation.methods import Method
from fusionlab.runs.image_sets import ImageSetItem


def split_by_fit(
    rows: Sequence[Method], items: Sequence[ImageSetItem]
) -> tuple[list[Method], dict[str, str]]:
    """Split rows into those that fit an image set and those that do not.

    A row fits if its method takes the number of sources of every sample. In a set whose samples
    have different numbers of sources, a method for exactly two is left out as a whole: its mean
    would be over other images than those of the other rows.

    Args:
        rows: the methods.
        items: the samples; those that cannot be fused do not count.

    Returns:
        The rows that fit, and label -> why another one does not.
    """
    counts = sorted({len(item.sources) for item in items if not item.problem})
    fitting: list[Method] = []
    left_out: dict[str, str] = {}
    for row in rows:
        needed = next(filter(None, map(row.needs, counts)), "")
        if needed:
            left_out[row.label] = f"it needs {needed}, the set has {_range_text(counts)}"
        else:
            fitting.append(row)
    return fitting, left_out


def _range_text(counts: Sequence[int]) -> str:
    """Return `3`, or `2 to 5` for counts that differ."""
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
