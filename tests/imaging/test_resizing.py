"""Another size: as Pillow resamples, in the depth of the image and within its range."""

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab.imaging.resizing import resized

SIZES = [(20, 30), (7, 61), (64, 9), (37, 90), (80, 45), (1, 1)]


def random_pixels(dtype=np.uint8, shape=(37, 45), seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def by_pillow(pixels, height, width):
    """Resample in float32 with Pillow, cut off to the range of the image."""
    image = PIL.Image.fromarray(pixels.astype(np.float32))
    found = np.asarray(image.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return found.clip(pixels.min(), pixels.max())


@pytest.mark.parametrize("size", SIZES)
def test_floats_are_resampled_as_by_pillow(size):
    """Bicubic with a = -0.5, antialiased. To 1e-5: sums of up to 200 terms, each rounded."""
    pixels = random_pixels(np.float32, seed=1)
    np.testing.assert_allclose(resized(pixels, *size), by_pillow(pixels, *size), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_integers_are_resampled_as_by_pillow_and_rounded(dtype, size):
    """Within half a level, and the rounding of 16 bits in float32: 2^16 x 2^-24 x 10 terms."""
    pixels = random_pixels(dtype, seed=2)
    found = resized(pixels, *size)
    assert found.dtype == dtype
    assert np.abs(found - by_pillow(pixels, *size).astype(float)).max() <= 0.5 + 0.05


@pytest.mark.parametrize("size", SIZES)
def test_8_bits_are_those_of_pillow_in_8_bits_give_or_take_its_rounding(size):
    """Pillow rounds between rows and columns, too; at mid gray it cuts nothing off there."""
    pixels = 64 + random_pixels(seed=3) // 2
    height, width = size
    image = PIL.Image.fromarray(pixels)
    outside = np.asarray(image.resize((width, height), PIL.Image.Resampling.BICUBIC))
    outside = outside.clip(pixels.min(), pixels.max())
    assert np.abs(resized(pixels, *size).astype(int) - outside).max() <= 1


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", ">u2"])
def test_depth_and_shape_stay(dtype):
    for shape in ((9, 12), (9, 12, 3), (9, 12, 1)):
        pixels = random_pixels(np.dtype(dtype).newbyteorder("="), shape, seed=4).astype(dtype)
        found = resized(pixels, 5, 20)
        assert found.dtype == pixels.dtype
        assert found.shape == (5, 20, *shape[2:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_the_same_size_is_the_same_image(dtype):
    pixels = random_pixels(dtype, seed=5)
    assert resized(pixels, *pixels.shape) is pixels


def test_channels_are_resampled_one_by_one():
    pixels = random_pixels(np.uint16, (11, 13, 3), seed=6)
    found = resized(pixels, 20, 7)
    for channel in range(3):
        # the range of all channels is that of the image
        alone = resized(pixels[..., channel], 20, 7)
        same = (found[..., channel] == alone) | (alone == alone.min()) | (alone == alone.max())
        assert same.all()


@settings(max_examples=40)
@given(
    *(st.integers(1, 24) for _ in range(4)),
    st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]),
    st.integers(0, 99),
)
def test_no_value_is_invented(height, width, rows, columns, dtype, seed):
    """Edges overshoot with a bicubic kernel; here they stop at the range of the image."""
    pixels = random_pixels(dtype, (height, width), seed)
    found = resized(pixels, rows, columns)
    assert found.shape == (rows, columns)
    assert pixels.min() <= found.min()
    assert found.max() <= pixels.max()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 77])
def test_an_image_of_one_value_stays_one(dtype, value):
    found = resized(np.full((5, 6), value, dtype), 9, 4)
    assert np.array_equal(found, np.full((9, 4), value, dtype))


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_large_numbers_keep_their_differences(dtype):
    """A billion and a ramp of 0..9: float32 would give multiples of 64."""
    ramp = np.tile(np.arange(10), (10, 1))
    found = resized((ramp + 10**9).astype(dtype), 10, 19) - 10**9
    expected = resized(ramp.astype(np.float64), 10, 19)
    # integers are rounded; float64 has steps of 1e-7 at a billion
    assert np.abs(found - expected).max() <= (0.5 + 1e-6 if dtype == np.int32 else 1e-6)


def test_a_image_is_neither_mirrored_nor_shifted():
    """Doubled and halved again, a smooth image is unchanged: 0.01 of a step of 0.6 at most."""
    rows, columns = np.mgrid[0:40, 0:60]
    smooth = (rows * 0.2 + columns * 0.6).astype(np.float32)
    again = resized(resized(smooth, 80, 120), 40, 60)
    assert np.abs(again - smooth)[3:-3, 3:-3].max() < 0.01


def test_halves_are_rounded_upwards():
    """0 and 1 at half the size: 0.5 by symmetry."""
    assert resized(np.array([[0, 1]], np.uint8), 1, 1).tolist() == [[1]]
    assert resized(np.array([[-1, 0]], np.int16), 1, 1).tolist() == [[0]]
