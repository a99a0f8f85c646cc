"""Values that mean that a pixel is no data, such as -9999, or 0 in the frame of a warped image."""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.errors import FusionlabError

Nodata = tuple[float | None, ...]
"""One value for all sources, or one for each; None: no value means that."""


def parse_nodata(nodata: float | str | Sequence[float | str | None] | None) -> Nodata:
    """Read a number or its text, or several: one per source; `none`, or None, is no value.

    Raises:
        FusionlabError: a text is not a number (code `nodata-syntax`).
    """
    one = nodata is None or isinstance(nodata, float | int | str)
    values: Sequence[float | str | None] = [nodata] if one else nodata  # type: ignore[assignment, list-item]
    return tuple(map(_parse, values)) or (None,)


def nodata_for(values: Nodata, k: int) -> list[float | None]:
    """Return one value for each of k sources; a single one applies to all.

    Raises:
        FusionlabError: their number is neither 1 nor k (code `number-of-nodata`).
    """
    if len(values) not in (1, k):
        raise FusionlabError(
            f"expected one value of no data for all {k} sources or one for each, got {len(values)}",
            code="number-of-nodata",
            option="nodata",
        )
    return list(values) * (k if len(values) == 1 else 1)


def nodata_text(value: float | None) -> str:
    """Return the text that `parse_nodata` reads."""
    return "none" if value is None else repr(float(value)).removesuffix(".0")


def _parse(value: float | str | None) -> float | None:
    if value is None or value == "none":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise FusionlabError(
            f"the value of no data must be a number or none, got {value!r}",
            code="nodata-syntax",
            option="nodata",
        ) from None
