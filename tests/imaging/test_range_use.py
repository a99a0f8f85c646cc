"""Where the bulk of the values lies decides; extremes, noise and the size of the image do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.imaging.range_use import MAX_VALUES, range_use
from fusionlab.imaging.rows import OnDiskRows

RNG = np.random.default_rng(0)


def counts(bits, size=(60, 80)):
    """Return an image of a camera of so many bits, which uses most of them."""
    return np.clip(RNG.normal(0.5, 0.2, size) * 2**bits, 0, 2**bits - 1).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_counts_of_fewer_bits_are_found_with_the_scale_that_shows_them(bits):
    use = range_use(counts(bits))
    assert use.too_little
    assert use.scale == f"0,{2**bits - 1}"
    assert f"fit {bits} bits, in 16 bits" in use.sentence


def test_an_image_that_uses_16_bits_is_not_complained_about():
    assert not range_use(counts(16)).too_little


@given(st.integers(8, 14), st.sampled_from([0, 65535]), st.integers(0, 4))
def test_a_few_dead_and_hot_pixels_change_nothing(bits, value, number):
    """0.1 % of 4800 values are 4.8."""
    image = counts(bits)
    expected = range_use(image).scale
    image.flat[RNG.choice(image.size, number, replace=False)] = value
    assert range_use(image).too_little
    assert range_use(image).scale == expected


def test_counts_around_a_large_value_want_percentiles():
    """A radiometric image: 29,000 to 31,000 of 65,535."""
    use = range_use(np.linspace(29000, 31000, 6000).astype(np.uint16).reshape(60, 100))
    assert (use.too_little, use.scale) == (True, "percentile")
    assert use.sentence == "uses 3.0% of its 16 bits, 29002 to 30997"


def test_a_dark_image_that_is_flat_wants_percentiles():
    use = range_use(np.linspace(6700, 6955, 6000).astype(np.uint16).reshape(60, 100))
    assert (use.too_little, use.scale) == (True, "percentile")


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        (3400, 5189, "percentile"),  # thermal counts: a ninth of 14 bits
        (1000, 4500, "percentile"),  # the same nearer to 0
        (12510, 19962, "percentile"),  # a ninth of 16 bits
        (1662, 3821, "0,4095"),  # a band of a camera of 12 bits: half of them
        (200, 4063, "0,4095"),
    ],
)
def test_bits_are_advised_only_where_the_values_use_them(low, high, scale):
    use = range_use(np.linspace(low, high, 6000).astype(np.uint16).reshape(60, 100))
    assert (use.too_little, use.scale) == (True, scale)


@pytest.mark.parametrize(("high", "too_little"), [(1, False), (0.3, False), (0.0625, True)])
def test_floats_are_measured_against_0_and_1(high, too_little):
    assert range_use(np.linspace(0, high, 4800, dtype=np.float32).reshape(60, 80)).too_little == (
        too_little
    )


@pytest.mark.parametrize(
    "image",
    [
        counts(8).astype(np.uint8),
        counts(12).astype(np.int16),
        counts(12).astype(np.float32),  # no floats of 0..1: these need a scale anyway
        np.full((9, 9), np.nan),
    ],
)
def test_types_without_a_range_to_spare_have_no_use(image):
    assert range_use(image) is None


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_single_value_cannot_be_shown_by_any_scale(value):
    assert not range_use(np.full((9, 9), value, np.uint16)).too_little


def test_of_a_large_image_a_part_is_looked_at_which_is_the_same_for_files():
    image = counts(12, (1100, 1500))
    assert image.size > MAX_VALUES
    rows = OnDiskRows(image.shape, image.dtype)
    rows.append(image)
    for pixels in (image, rows):
        assert range_use(pixels).scale == "0,4095"
    assert range_use(image).high == pytest.approx(np.percentile(image, 99.9), rel=0.01)
