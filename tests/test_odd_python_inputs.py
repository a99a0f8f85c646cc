"""Bad and odd input in Python: every row of the second table of docs/odd-inputs.md.

As in `test_odd_inputs`, the texts of a case are a row of the table, and a test compares the two.
"""

import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image

import fusionlab
from fusionlab import Fusion, FusionlabError, FusionlabWarning

DOCS = Path(__file__).parents[1] / "docs" / "odd-inputs.md"
HEADING = "## In Python"
WORKS, WARNS, FAILS = "works", "works with a warning", "error"
RNG = np.random.default_rng(0)
GRAY, OTHER = RNG.integers(0, 256, (2, 20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
UNIT = (GRAY / 255).astype(np.float32)
TENSOR = torch.from_numpy(RGB).movedim(-1, 0)
MAXIMUM = Fusion("identity", "max")


class Labeled:
    """An image of another library."""

    def __array__(self, dtype=None, copy=None):
        return GRAY.copy()


def reading(pixels, read):
    def given():
        iio.imwrite("a.png", pixels)
        return [read("a.png"), OTHER]

    return given


@dataclass(frozen=True)
class Case:
    """One row: what `Fusion` is given, what happens, and what the error or the warning says."""

    given: str
    outcome: str
    says: str
    """`...` stands for anything."""
    sources: object
    """The sources, or a function that returns them."""
    like: object = None
    """Sources with the same result."""


def works(given, sources, like):
    return Case(given, WORKS, "", sources, like)


CASES = [
    # ---------------------------------------------------------------- forms
    works("a path", reading(GRAY, str), [GRAY, OTHER]),
    works("a `pathlib.Path`", reading(GRAY, Path), [GRAY, OTHER]),
    works("`fusionlab.read_image(path)`", reading(RGB, fusionlab.read_image), [RGB, OTHER]),
    works("a Pillow image", [Image.fromarray(RGB), OTHER], [RGB, OTHER]),
    works("an array of another library, such as xarray", [Labeled(), OTHER], [GRAY, OTHER]),
    works("a generator", lambda: (image for image in (GRAY, OTHER)), [GRAY, OTHER]),
    works("an array `(H, W, 1)`", [GRAY[..., None], OTHER], [GRAY, OTHER]),
    works("a masked array without masked values", [np.ma.masked_array(GRAY), OTHER], [GRAY, OTHER]),
    Case("a path of an image with alpha", WARNS, "a.png: its alpha channel is ignored", reading(np.dstack([RGB, GRAY | 1]), str), [RGB, OTHER]),
    Case("a path of an image with transparent pixels", WARNS, "a.png: it is transparent at ... of 600 pixels, which are no data", reading(np.dstack([RGB, np.where(GRAY < 9, 0, 255).astype(np.uint8)]), str), [np.where(GRAY[..., None] < 9, OTHER[..., None], RGB), OTHER]),
    Case("one array `(H, W, 3)` in the place of the list", FAILS, "expected a list of sources, got one ndarray of the shape (20, 30, 3); give [first, second], or list(stack) for the images of a stack", RGB),
    Case("one array `(k, H, W)` in the place of the list", FAILS, "got one ndarray of the shape (2, 20, 30); give [first, second], or list(stack) for the images of a stack", np.stack([GRAY, OTHER])),
    Case("one path in the place of the list", FAILS, "expected a list of sources, got one str, a.png", "a.png"),
    Case("a dictionary", FAILS, "expected a list of sources, got dict; give [first, second]", {"a": GRAY, "b": OTHER}),
    Case("arrays and tensors together", FAILS, "the sources must all be arrays or all be tensors, got both", [RGB, TENSOR]),
    Case("batches of different sizes", FAILS, "the sources must be batches of the same size, got 1, 2", [TENSOR[None], TENSOR.expand(2, -1, -1, -1)]),
    Case("a nested list", FAILS, "source 1 must be an image, got the type list; give an array, a tensor or a path", [GRAY.tolist(), OTHER]),
    works("a masked array", [np.ma.masked_less(GRAY, 9), OTHER], [np.where(GRAY < 9, OTHER, GRAY), OTHER]),
    works("NaN", [np.where(GRAY < 9, np.nan, UNIT), OTHER], [np.where(GRAY < 9, OTHER / np.float32(255), UNIT), OTHER]),
    Case("a Pillow image in CMYK", FAILS, "got a Pillow image of the mode CMYK; convert it with convert('RGB')", [Image.fromarray(RGB).convert("CMYK"), OTHER]),
    # ---------------------------------------------------------------- shapes
    Case("an array with channels first", FAILS, "got the shape (3, 20, 30); an array is (H, W) or (H, W, 3); where its channels come first, give np.moveaxis(array, 0, -1)", [TENSOR.numpy(), OTHER]),
    Case("an array with alpha", FAILS, "leave out its alpha channel, array[..., :-1]", [np.dstack([RGB, GRAY]), OTHER]),
    Case("a stack as one source", FAILS, "give the images of a stack one by one, list(stack)", [np.stack([GRAY] * 5), OTHER]),
    Case("a tensor with channels last", FAILS, "a tensor is (H, W), (C, H, W) or (N, C, H, W); where its channels come last, give tensor.movedim(-1, -3)", [torch.from_numpy(RGB)] * 2),
    Case("an array without pixels", FAILS, "source 1 must be an image, got no pixels (shape (0, 30))", [GRAY[:0], OTHER]),
    # ---------------------------------------------------------------- dtypes
    works("truth values", [GRAY > 99, OTHER], [np.where(GRAY > 99, 255, 0).astype(np.uint8), OTHER]),
    works("floats of more than 64 bits", [UNIT.astype(np.longdouble)] * 2, [UNIT.astype(np.float64)] * 2),
    works("bfloat16", [torch.from_numpy(GRAY > 99).bfloat16()] * 2, [torch.from_numpy(GRAY > 99).float()] * 2),
    works("another byte order", [DEEP := (GRAY.astype(np.uint16) * 99), DEEP.astype(">u2")], [DEEP, DEEP]),
    works("floats that rounding moved beyond 1", [np.where(UNIT == 1, np.float32(1.0000005), UNIT), UNIT], [UNIT, UNIT]),
    Case("floats beyond 1 by little", FAILS, "source 1 must hold floats in 0..1, got values from 0 to 1.000002; choose a scale: minmax, percentile or LO,HI", [np.array([[0, 1.000002]])] * 2),
    Case("64-bit integers", FAILS, "source 1 has values of the type int64, which has no white by convention; choose a scale: minmax, percentile or LO,HI", [GRAY.astype(np.int64)] * 2),
    Case("complex numbers in an array", FAILS, "got the dtype complex128; take its magnitude", [GRAY * 1j, OTHER]),
    Case("objects", FAILS, "got the dtype object; convert it with astype", [GRAY.astype(object), OTHER]),
    Case("records", FAILS, "got the dtype [('x', '<f4')]; convert it with astype", [np.zeros((20, 30), [("x", "<f4")]), OTHER]),
    Case("dates", FAILS, "got the dtype datetime64[s]; convert it with astype", [GRAY.astype("M8[s]"), OTHER]),
    Case("8-bit floats", FAILS, "got the dtype float8_e4m3fn; convert it with float()", [torch.zeros(20, 30).to(torch.float8_e4m3fn)] * 2),
    Case("a sparse tensor", FAILS, "got a sparse tensor; give one that holds all values", [torch.zeros(20, 30).to_sparse()] * 2),
    Case("a tensor on the device meta", FAILS, "got a meta tensor; give one that holds all values", [torch.zeros(20, 30, device="meta")] * 2),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.given for case in CASES])
def test_each_row_behaves_as_the_table_says(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = case.sources() if callable(case.sources) else case.sources
    pattern = ".*".join(map(re.escape, case.says.split("...")))
    if case.outcome == FAILS:
        with pytest.raises(FusionlabError, match=pattern):
            MAXIMUM(sources)
        return
    warned = case.outcome == WARNS
    with pytest.warns(FusionlabWarning, match=pattern) if warned else nullcontext():
        fused = MAXIMUM(sources)
    expected = MAXIMUM(case.like)
    if isinstance(fused, torch.Tensor):
        fused, expected = fused.double().numpy(), expected.double().numpy()
    assert np.array_equal(fused, expected)


def test_the_docs_hold_exactly_these_rows():
    text = DOCS.read_text(encoding="utf-8").partition(HEADING)[2]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == table()


def table():
    return [
        f"| {case.given} | {case.outcome} | {case.says.replace('...', ' ... ').strip()} |".replace(
            "  ", " "
        )
        for case in CASES
    ]


if __name__ == "__main__":  # writes the table into the docs
    before = DOCS.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    intro = (
        f"{HEADING}\n\nWhat `fusionlab.Fusion` does with its sources; `score` and `detect_task` "
        "take the same.\nEvery row is a test (`tests/test_odd_python_inputs.py`).\n"
    )
    head = ["| what is given | what happens | what it says |", "|---|---|---|"]
    DOCS.write_text("\n".join([before, "", intro, *head, *table()]) + "\n", encoding="utf-8")
