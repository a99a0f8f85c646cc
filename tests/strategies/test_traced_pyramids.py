"""The levels of pyramids in graphs are those that are computed otherwise."""

import pytest
import torch

from fusionlab_strategies import pyramids, traced_pyramids


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("size", [3, 4, 5, 6, 7, 12, 13])
def test_a_level_is_the_same_for_each_size(size, axis):
    maps = torch.rand(2, 3, size, size, dtype=torch.float64)
    half = pyramids.reduce_level(maps, (axis,))
    assert (traced_pyramids.halved(maps, axis, pyramids.CENTER) - half).abs().max() < 1e-14
    double = pyramids.expand_level(half, (size,), (axis,))
    traced = traced_pyramids.doubled(half, size, axis, pyramids.CENTER)
    assert (traced - double).abs().max() < 1e-14
