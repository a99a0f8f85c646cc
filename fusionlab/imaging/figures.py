"""Figures of matplotlib, an extra: drawn without a display, and written the same to the byte."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches at 120 dots per inch.

    Raises:
        FusionlabError: matplotlib is not installed (code `missing-package`).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FusionlabError(
            "drawing needs matplotlib; install fusionlab-imaging[plots]", code="missing-package"
        ) from error
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def encode_figure(figure: Figure, suffix: str) -> bytes:
    """Return a figure as the content of a `.png` or `.svg` file, reproducible to the byte."""
    import matplotlib as mpl

    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fusionlab"}):
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(content, format=suffix.removeprefix("."), metadata=metadata)
    return content.getvalue()
