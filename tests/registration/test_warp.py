"""Resampling onto another grid: depth, masks, antialiasing."""

import numpy as np
import pytest
from golden_images import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.registration.transform import Transform
from fusionlab.registration.warp import warp

DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64]


def random_image(dtype, channels=(), height=21, width=30, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random((height, width, *channels)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (height, width, *channels), dtype, endpoint=True)


def shift(x, y, size=(30, 21)):
    return Transform([[1, 0, x], [0, 1, y], [0, 0, 1]], size, size, "translation")


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_identity_changes_nothing(dtype, channels):
    image = random_image(dtype, channels)
    warped = warp(image, Transform.identity((30, 21)))
    assert warped.pixels.dtype == dtype
    assert (warped.pixels == image).all()
    assert warped.valid.all()


@given(st.integers(-35, 35), st.integers(-25, 25))
@settings(max_examples=25)
def test_a_shift_by_whole_pixels_copies_them(x, y):
    image = random_image(np.uint16, (3,))
    warped = warp(image, shift(x, y))
    rows, columns = np.mgrid[:21, :30]
    inside = (rows + y >= 0) & (rows + y < 21) & (columns + x >= 0) & (columns + x < 30)
    assert (warped.valid == inside).all()
    assert (warped.pixels[inside] == image[(rows + y)[inside], (columns + x)[inside]]).all()
    assert (warped.pixels[~inside] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_stay_within_those_of_the_image_and_outside_is_no_data(dtype):
    image = random_image(dtype)
    transform = Transform([[0.9, 0.2, -4], [-0.1, 1.1, 2], [1e-3, 0, 1]], (33, 25), (30, 21))
    pixels, valid = warp(image, transform)
    assert 0.2 < valid.mean() < 0.95
    assert pixels.dtype == dtype
    assert pixels[valid].min() >= image.min()
    assert pixels[valid].max() <= image.max()
    outside = pixels[~valid]
    assert np.isnan(outside).all() if np.dtype(dtype).kind == "f" else (outside == 0).all()


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-0.5, 0.5), st.integers(0, 9))
@settings(max_examples=25)
def test_a_plane_stays_a_plane(x, y, angle, seed):
    """The kernel reproduces linear functions, away from the border."""
    a, b = np.random.default_rng(seed).random(2)
    rows, columns = np.mgrid[:40, :40].astype(float)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = [[cos, -sin, x + 20 - 20 * cos + 20 * sin], [sin, cos, y + 20 - 20 * sin - 20 * cos]]
    transform = Transform([*matrix, [0, 0, 1]], (40, 40), (40, 40), "similarity")
    pixels, _ = warp(a * columns + b * rows, transform)
    there = transform(np.stack([columns, rows], -1))
    deep = ((there > 2) & (there < 37)).all(-1)
    expected = there @ (a, b)
    np.testing.assert_allclose(pixels[deep], expected[deep], atol=1e-9)


def test_bands_do_not_show(monkeypatch):
    image = random_image(np.float64, height=70, width=50)
    transform = Transform([[1.1, 0.2, -4], [-0.1, 0.8, 2], [1e-3, 0, 1]], (60, 61), (50, 70))
    whole = warp(image, transform)
    monkeypatch.setattr("fusionlab.registration.warp.BAND_VALUES", 60 * 7)
    in_bands = warp(image, transform)
    assert (whole.valid == in_bands.valid).all()
    # coordinates relative to another part of the image are rounded otherwise
    np.testing.assert_allclose(in_bands.pixels, whole.pixels, atol=1e-12)


def test_there_and_back_gives_a_smooth_image_again():
    image, _ = synthetic(96, 80)
    rows, columns = image.shape
    transform = Transform(
        [[1.02, 0.05, -1.3], [-0.05, 1.02, 2.2], [0, 0, 1]],
        (columns, rows),
        (columns, rows),
        "similarity",
    )
    there = warp(image.astype(np.float64), transform)
    back = warp(there.pixels, transform.inverse(), there.valid)
    difference = np.abs(back.pixels - image)[back.valid]
    assert back.valid.mean() > 0.7
    assert np.median(difference) < 0.02 * np.ptp(image)


def test_a_fine_image_is_reduced_with_antialiasing():
    """A checkerboard of single pixels becomes gray, not a moire."""
    fine = (np.indices((240, 320)).sum(0) % 2 * 255).astype(np.uint8)
    transform = Transform(np.diag([4.0, 4.0, 1]), (80, 60), (320, 240), "similarity")
    pixels, valid = warp(fine, transform)
    assert valid.all()
    assert np.abs(pixels.astype(int)[2:-2, 2:-2] - 127.5).max() < 2


def test_reducing_keeps_the_place():
    """A blurred point stays where the transform says, to a hundredth of a coarse pixel."""
    rows, columns = np.mgrid[:240, :320]
    fine = np.exp(-((rows - 121.3) ** 2 + (columns - 170.6) ** 2) / (2 * 15**2))
    matrix = np.array([[3.7, 0, 4.0], [0, 4.2, -3.0], [0, 0, 1]])
    transform = Transform(matrix, (84, 56), (320, 240), "affine")
    pixels = np.nan_to_num(warp(fine, transform).pixels)
    ys, xs = np.mgrid[:56, :84]
    center = (pixels * xs).sum() / pixels.sum(), (pixels * ys).sum() / pixels.sum()
    np.testing.assert_allclose(transform(center), (170.6, 121.3), atol=0.05)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_no_data_reaches_nothing(dtype):
    image = random_image(dtype, height=40, width=40)
    valid = np.ones((40, 40), bool)
    valid[10:20, 15:18] = False
    transform = Transform([[1, 0.02, 0.4], [-0.02, 1, 0.3], [0, 0, 1]], (40, 40), (40, 40))
    results = []
    for value in (0, 1):
        damaged = image.copy()
        damaged[~valid] = value
        results.append(warp(damaged, transform, valid))
    mask = results[0].valid
    assert (results[1].valid == mask).all()
    assert (results[0].pixels[mask] == results[1].pixels[mask]).all()
    assert 0.6 < mask.mean() < 0.95
    with_nan = np.where(valid, image, np.nan).astype(np.float64)
    assert (warp(with_nan, transform).valid == mask).all()


def test_an_image_of_another_size_is_refused():
    with pytest.raises(FusionlabError, match="for an image of 30x21, got 21x30") as caught:
        warp(np.zeros((30, 21)), shift(0, 0))
    assert caught.value.code == "bad-transform"
