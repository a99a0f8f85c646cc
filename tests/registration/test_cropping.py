"""The largest rectangle of a mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.registration import cropping
from fusionlab.registration.cropping import largest_rectangle


def brute_force(mask):
    best = 0
    height, width = mask.shape
    for top in range(height):
        for bottom in range(top + 1, height + 1):
            for left in range(width):
                for right in range(left + 1, width + 1):
                    if mask[top:bottom, left:right].all():
                        best = max(best, (bottom - top) * (right - left))
    return best


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6), st.floats(0.3, 0.95))
def test_no_rectangle_is_larger(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    found = largest_rectangle(mask)
    if found is None:
        assert not mask.any()
        return
    columns, rows = found
    inside = mask[rows, columns]
    assert inside.all()
    assert inside.size == brute_force(mask)


@pytest.mark.parametrize("cells", [512, 10])
def test_in_cells_less_than_a_cell_is_lost_at_each_edge(monkeypatch, cells):
    monkeypatch.setattr(cropping, "CELLS", cells)
    mask = np.zeros((95, 131), bool)
    mask[7:88, 12:120] = True
    columns, rows = largest_rectangle(mask)
    assert (columns, rows) == (slice(12, 120), slice(7, 88))
