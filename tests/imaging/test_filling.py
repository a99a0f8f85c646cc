"""The fill of pixels that are no data: from data only, matched in local mean, the same in tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.imaging.arrays import Stack
from fusionlab.imaging.color import luminance
from fusionlab.imaging.filling import RADIUS, filled
from fusionlab.imaging.scale import Scale
from fusionlab.imaging.sources import MaskedImage

RNG = np.random.default_rng(1)
IMAGE = torch.from_numpy(RNG.random((1, 1, 40, 50), dtype=np.float32)) / 2
ULPS = 1e-6  # sums of a thousand float32 values in 0..1, by pairs


def frame(left=20):
    """Return a mask whose first columns are no data."""
    valid = torch.ones(1, 1, 40, 50, dtype=torch.bool)
    valid[..., :left] = False
    return valid


def everywhere(stack):
    height, width = stack.shape[2:]
    return stack.cut(slice(stack.shape[1]), slice(height), slice(width))


@pytest.mark.parametrize("offset", [0, 0.25])
def test_a_source_that_equals_another_up_to_a_constant_is_restored(offset):
    first, second = filled([(IMAGE + offset, frame(45)), (IMAGE, None)])
    assert torch.equal(second, IMAGE)
    assert (first - IMAGE - offset).abs().max() <= ULPS


def test_so_is_one_of_several_others_that_do():
    masks = frame(25), None, ~frame(10) | frame(30)
    shifted = [(IMAGE + 0.1 * number, mask) for number, mask in enumerate(masks)]
    for image, (whole, _) in zip(filled(shifted), shifted, strict=True):
        assert (image - whole).abs().max() <= ULPS


def test_the_local_means_of_the_fill_and_the_data_agree():
    """Of two constant halves, each hole takes the difference that is around it."""
    columns = torch.arange(200) < 100
    other = torch.where(columns, 0.2, 0.5).expand(1, 1, 40, 200)
    image = other + torch.where(columns, 0.3, 0.1)
    valid = torch.ones(1, 1, 40, 200, dtype=torch.bool)
    valid[..., 10:20], valid[..., 150:160] = False, False
    first, _ = filled([(image, valid), (other, None)])
    # one pixel of the mean of the image counts among those of the window
    assert (first - image).abs().max() < 1 / (2 * RADIUS + 1)


def test_without_another_source_the_mean_of_the_data_around_fills():
    valid = torch.ones(1, 1, 40, 50, dtype=torch.bool)
    valid[..., 5, 5] = False
    first, second = filled([(IMAGE, valid), (IMAGE + 0.1, valid)])
    window = IMAGE[..., : 5 + RADIUS + 1, : 5 + RADIUS + 1][valid[..., :22, :22]]
    near = IMAGE[valid].mean()  # of the whole image, which counts as less than one pixel
    assert (first[..., 5, 5] - window.mean()).abs() <= (near - window.mean()).abs() / len(
        window
    ) * 4
    assert torch.equal(first[valid], IMAGE[valid])
    assert (second[..., 5, 5] - first[..., 5, 5] - 0.1).abs() <= ULPS


def test_far_from_all_data_the_mean_of_the_image_fills():
    wide = torch.cat([IMAGE, IMAGE], -1)
    valid = torch.cat([~frame(40), frame(50)], -1)
    first, _ = filled([(wide, valid), (wide, valid)])
    assert (first[..., 60:] - wide[valid].mean()).abs().max() <= ULPS


def test_gray_is_filled_from_the_luminance_of_color_and_color_from_gray():
    color = torch.from_numpy(RNG.random((1, 3, 40, 50), dtype=np.float32))
    gray, _ = filled([(luminance(color), frame()), (color, None)])
    assert (gray - luminance(color)).abs().max() <= ULPS
    _, three = filled([(IMAGE, None), (IMAGE.expand(-1, 3, -1, -1) + 0.1, frame())])
    assert (three - IMAGE - 0.1).abs().max() <= ULPS


def test_the_fill_stays_within_black_and_white():
    dark = IMAGE / 4
    image = torch.where(frame(25), dark + 0.9, dark).clamp(0, 1)
    first, _ = filled([(image, frame(25)), (IMAGE * 2, None)])
    assert 0 <= first.min() <= first.max() <= 1


@given(
    seed=st.integers(0, 99),
    top=st.integers(0, 39),
    left=st.integers(0, 49),
    values=st.sampled_from([np.nan, np.inf, -1e30, 0.5]),
)
def test_tiles_are_filled_like_the_whole_and_masked_values_change_nothing(seed, top, left, values):
    rng = np.random.default_rng(seed)
    images = rng.random((2, 40, 50), dtype=np.float32)
    valid = rng.random((2, 40, 50)) > rng.random()
    valid[:, 0, 0] = True
    one = everywhere(Stack([MaskedImage(*pair) for pair in zip(images, valid, strict=True)]))
    images[~valid] = values
    other = Stack([MaskedImage(*pair) for pair in zip(images, valid, strict=True)])
    box = slice(top, top + 10), slice(left, left + 10)
    assert np.array_equal(other.cut(slice(1), *box), one[..., *box])
    assert np.array_equal(everywhere(other), one)


@pytest.mark.parametrize("scale", ["minmax", "percentile=10,90"])
def test_what_is_no_data_is_left_out_of_the_scale(scale):
    pixels = RNG.integers(100, 200, (20, 30), dtype=np.uint16)
    valid = pixels < 180
    odd = np.where(valid, pixels, 65535)
    lines = pixels[valid][None]  # the data alone, as an image of one line
    alone = Stack([lines, lines], [Scale.parse(scale)])
    masked = Stack(
        [MaskedImage(odd, valid), MaskedImage(odd, None, (65535,))], [Scale.parse(scale)]
    )
    assert np.array_equal(masked.limits, alone.limits)
    assert masked.no_data.tolist() == [[np.sum(~valid)]] * 2


@pytest.mark.parametrize(
    ("dtype", "nodata", "lacking"),
    [
        (np.uint8, 0, 2),
        (np.uint16, 65535, 2),
        (np.int16, -9999, 2),
        (np.float32, -3.4028234663852886e38, 2),
        (np.float64, -0.1, 2),
        (np.uint8, -9999, 0),
        (np.uint8, 0.5, 0),
        (np.uint8, float("nan"), 0),
    ],
)
def test_a_value_of_no_data_is_compared_in_the_type_of_the_image(dtype, nodata, lacking):
    pixels = np.full((4, 6), 1, dtype)
    if lacking:
        pixels[1, 2:4] = nodata
    stack = Stack(
        [MaskedImage(pixels, None, (nodata,)), pixels * 0 + 1], [Scale.parse("-1e39,1e39")]
    )
    assert stack.no_data.tolist() == [[lacking], [0]]


def test_a_color_pixel_is_no_data_if_all_its_channels_have_the_value():
    red = np.zeros((4, 6, 3), np.uint8)
    red[:, :3, 0] = 200
    stack = Stack([MaskedImage(red, None, (0,)), red])
    assert stack.no_data.tolist() == [[12], [0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_filled_as_tensors_are_to_the_bit(channels):
    rng = np.random.default_rng(channels)
    images = rng.random((3, 1, channels, 70, 90), dtype=np.float32)
    masks = rng.random((3, 1, 1, 70, 90)) > 0.4
    masks[..., :40, :40] = False
    parts = [*zip(images, masks, strict=True)]
    tensors = [(torch.from_numpy(image), torch.from_numpy(mask)) for image, mask in parts]
    for array, tensor in zip(filled(parts), filled(tensors), strict=True):
        assert array.dtype == np.float32
        assert np.array_equal(array, tensor.numpy())
