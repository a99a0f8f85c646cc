"""Color becomes luminance, every depth becomes gray levels."""

import numpy as np
import pytest
from skimage.color import rgb2gray

from fusionlab import FusionlabError
from fusionlab.evaluation.gray_levels import to_gray, to_gray_levels


def test_gray_stays_as_it_is():
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert to_gray(image) is image


def test_equal_channels_are_their_own_luminance():
    one = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_gray(np.stack([one] * 3, axis=-1)), one)


def test_luminance_is_rounded_to_whole_levels_halves_upwards():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 250]]], dtype=np.uint8)
    # 76.245, 149.685, 29.07, 28.5
    assert to_gray(colors).tolist() == [[76, 150, 29, 29]]


def test_luminance_is_that_of_other_programs_up_to_their_coefficients():
    """scikit-image takes those of BT.709, which this is not: the two must differ."""
    colors = np.array([[[0.2, 0.5, 0.9]]])
    assert to_gray(colors)[0, 0] == pytest.approx(0.299 * 0.2 + 0.587 * 0.5 + 0.114 * 0.9)
    assert abs(to_gray(colors)[0, 0] - rgb2gray(colors)[0, 0]) > 0.005


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)]
)
def test_white_is_255_in_every_depth(dtype, white):
    levels = to_gray_levels(np.array([[0, white]], dtype=dtype), "x.png")
    assert levels.tolist() == [[0, 255]]


def test_sixteen_bits_keep_their_fractions():
    assert to_gray_levels(np.array([[256]], dtype=np.uint16), "x.png").item() == 256 / 257


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.array([[1.5]]), "out-of-range"),
        (np.array([[np.nan]]), "out-of-range"),
        (np.array([[1, 2]]), "no-white"),
    ],
)
def test_what_has_no_agreed_white_is_refused_by_name(image, code):
    with pytest.raises(FusionlabError, match="far.tif") as refused:
        to_gray_levels(image, "far.tif")
    assert (refused.value.code, refused.value.option) == (code, "scale")
