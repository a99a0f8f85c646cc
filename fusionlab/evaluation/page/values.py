"""The values of each sample, in parts that the page loads on demand.

A table of 100 methods, 1,000 samples and 10 metrics has a million values. The page itself holds the
means; the values of one metric in one set are a script of their own, as base64 of binary floats,
which a browser decodes in milliseconds. It is a script because a page that is opened from the disk
may load scripts, but not data.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.scores import Scores

SINGLE_DIGITS = 4
"""Decimals up to which single precision holds all that is shown."""


def encoded_values(values: NDArray[np.float64], digits: int) -> str:
    """Return values as base64 of little-endian floats, row after row; nan where there is none."""
    dtype = "<f4" if digits <= SINGLE_DIGITS else "<f8"
    finite = np.where(np.isfinite(values), values, np.nan)
    return base64.b64encode(finite.astype(dtype).tobytes()).decode("ascii")


def value_chunks(number: int, scores: Scores, digits: int) -> Iterator[tuple[str, Any]]:
    """Yield the name and the content of the values `(methods, samples)` of each metric.

    Args:
        number: of the image set on the page.
        scores: the values.
        digits: decimals that the page shows.
    """
    for metric in range(len(scores.metrics)):
        values = scores.values[:, :, metric]
        yield f"values-{number}-{metric}", encoded_values(values, digits)


def script_json(content: Any) -> str:
    """Return JSON that may be part of a script, and of an HTML page.

    ASCII without `<`, `>` and `&`, so that no text ends the script or begins a comment.
    """
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def chunk_script(name: str, content: Any) -> str:
    """Return the script that hands a chunk to the page."""
    return f"fusionlabPage.receive({script_json(name)},{script_json(content)});\n"
