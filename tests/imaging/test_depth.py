"""Which depth holds a type without loss."""

import numpy as np
import pytest

from fusionlab.imaging.depth import DTYPES, depth_of


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (8, ["uint8", "int8"]),
        (16, ["uint16", "int16"]),
        (32, ["uint32", "int32", "int64", "float16", "bfloat16", "float32", "float64"]),
    ],
)
def test_every_type_has_its_depth(depth, names):
    assert {depth_of(name) for name in names} == {depth}


def test_the_type_of_a_depth_has_that_depth():
    for depth, dtype in DTYPES.items():
        assert depth_of(dtype) == depth
        assert 8 * np.dtype(dtype).itemsize == depth
