"""The sequence that tests and measurements use is the same wherever and however it is made."""

import sys

import imageio.v3 as iio
import make_sequence
import numpy as np
import pytest
import tifffile


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_a_frame_depends_on_size_seed_and_number_only():
    twelve = list(make_sequence.frames(32, 24, 12, seed=5))
    assert same(make_sequence.Street(32, 24, 5).frame(11), twelve[11])
    assert not same(make_sequence.Street(32, 24, 6).frame(11), twelve[11])
    thermal, visible = twelve[0]
    assert (thermal.shape, thermal.dtype) == ((24, 32), np.uint16)
    assert (visible.shape, visible.dtype) == ((24, 32, 3), np.uint8)


def test_the_cameras_change_from_frame_to_frame():
    """What makes fused frames flicker: jumps of the thermal camera, steps of the exposure."""
    pairs = list(make_sequence.frames(64, 48, 100, bits=8))
    thermal = [float(np.median(first)) for first, _ in pairs]
    visible = [float(second.mean()) for _, second in pairs]
    assert np.abs(np.diff(thermal)).max() > 3
    assert max(visible) > 1.15 * min(visible)


@pytest.mark.parametrize("bits", [8, 16])
def test_all_forms_hold_the_same_frames(tmp_path, monkeypatch, bits):
    av = pytest.importorskip("av")
    expected = list(make_sequence.frames(34, 26, 3, bits=bits))
    for form in ("frames", "stack", "video"):
        arguments = [tmp_path, "--size", "34x26", "--frames", 3, "--bits", bits, "--as", form]
        monkeypatch.setattr(sys, "argv", ["make_sequence.py", *map(str, arguments)])
        make_sequence.main()
    pages = [tifffile.imread(tmp_path / name, key=range(3)) for name in ("ir.tif", "vis.tif")]
    films = [
        [frame.to_ndarray(format=pixels) for frame in av.open(tmp_path / name).decode(video=0)]
        for name, pixels in (("ir.mkv", "gray16le" if bits == 16 else "gray"), ("vis.mkv", "rgb24"))
    ]
    files = ([tmp_path / name / f"00000{n}.png" for name in ("ir", "vis")] for n in range(3))
    folders = ([iio.imread(path) for path in pair] for pair in files)
    for form in (folders, zip(*pages, strict=True), zip(*films, strict=True)):
        assert [same(a, b) for a, b in zip(form, expected, strict=True)] == [True] * 3
