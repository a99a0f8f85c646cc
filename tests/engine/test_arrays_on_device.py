"""Arrays that are moved to a GPU: the result is that of arrays. The device is the CPU here."""

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda

from fusionlab import Fusion, FusionlabError, fusion
from fusionlab.engine.arrays_on_device import MAX_PIXELS, may_move

CUDA = torch.device("cuda")
RNG = np.random.default_rng(0)
GRAY, OTHER, THIRD = RNG.integers(0, 256, (3, 33, 70), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (33, 70, 3), dtype=np.uint8)


@pytest.mark.parametrize("policy", ["clip", "minmax", None])
@pytest.mark.parametrize(
    "sources",
    [
        [GRAY, OTHER],
        [GRAY[:, ::-1], OTHER[..., None], THIRD],
        [COLOR, COLOR[::-1]],
        [GRAY, COLOR],
    ],
    ids=["gray", "views", "color", "mixed"],
)
def test_the_result_is_the_same_to_the_bit(sources, policy, monkeypatch):
    one = Fusion("densefuse", "l1norm", range_policy=policy, scale="minmax")
    for array in sources:
        array.flags.writeable = False  # such as of a file in memory
    expected = one.fuse(sources, weights=True)
    monkeypatch.setattr(fusion, "may_move", lambda sources, device: True)
    found = one.fuse(sources, weights=True)
    for name in ("image", "limits", "extremes", "outside", "no_data"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (type(ours), ours.dtype, ours.shape) == (type(theirs), theirs.dtype, theirs.shape)
        assert np.array_equal(ours, theirs, equal_nan=True), name
    assert found.colors == expected.colors
    for ours, theirs in zip(found.weights, expected.weights, strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(found.index, expected.index)


def test_only_bytes_of_moderate_size_are_moved_and_only_to_cuda():
    assert may_move([GRAY, COLOR], CUDA)
    assert not may_move([GRAY, OTHER], torch.device("cpu"))
    assert not may_move([GRAY, OTHER.astype(np.float32)], CUDA)
    assert not may_move([torch.zeros(33, 70, dtype=torch.uint8)] * 2, CUDA)
    large = np.broadcast_to(np.uint8(0), (MAX_PIXELS // 2 + 1, 2))
    assert not may_move([large, large], CUDA)


def test_what_is_wrong_with_arrays_is_said_of_arrays(monkeypatch):
    monkeypatch.setattr(fusion, "may_move", lambda sources, device: True)
    with pytest.raises(FusionlabError, match=r"an array is \(H, W\) or \(H, W, 3\)"):
        Fusion("identity", "mean")([GRAY, np.zeros((33, 70, 4), np.uint8)])


@pytest.mark.parametrize("width", [70, 700])
def test_on_the_device_the_host_waits_three_times_whatever_the_size(width):
    with fake_cuda() as device:
        method = Fusion("identity", "l1norm", device="cuda", tile=64, range_policy="minmax")
        device.waits.clear()
        fused = method([np.zeros((64, width), np.uint8)] * 2)
        assert (type(fused), fused.dtype, fused.shape) == (np.ndarray, np.uint8, (64, width))
        # the checks of values, the share that was clipped, and the image
        assert device.waits == {"cuda to cpu": 3}
