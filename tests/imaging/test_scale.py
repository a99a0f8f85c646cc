"""Which values become black and white: exact, per image, and never guessed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.imaging.arrays import Stack
from fusionlab.imaging.scale import (
    Scale,
    _measured_here,
    _measured_there,
    parse_scales,
    scales_for,
)

FULL, MINMAX, PERCENTILE = Scale(), Scale("minmax"), Scale("percentile", 1, 99)
REAL = st.floats(-1e9, 1e9)


def scaled(scale, images):
    """Scale images `(N, C, H, W)` as the pipeline does it."""
    return scale.apply(images, scale.limits(images, "x"))


def one(values, dtype):
    """Return values as one gray image of a single row."""
    return torch.tensor(np.asarray(values, dtype))[None, None, None]


def integers(dtype, shape=(2, 3, 9, 11), seed=0):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.integers(limits.min, limits.max, shape, dtype, endpoint=True))


# ---------------------------------------------------------------- text


@st.composite
def scales(draw, units=("",)):
    kind = draw(st.sampled_from(["full", "minmax", "percentile", "fixed"]))
    if kind in ("full", "minmax"):
        return Scale(kind)
    value = st.floats(0, 100) if kind == "percentile" else st.floats(-1e300, 1e300)
    low, high = sorted(draw(st.tuples(value, value).filter(lambda pair: pair[0] != pair[1])))
    return Scale(kind, low, high, draw(st.sampled_from(units)) if kind == "fixed" else "")


@given(scales(units=("", "C", "F", "K", "HU")))
def test_a_scale_is_what_its_text_says(scale):
    assert Scale.parse(str(scale)) == scale


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("full", FULL),
        ("minmax", MINMAX),
        ("percentile", PERCENTILE),
        ("percentile=0.5,99.5", Scale("percentile", 0.5, 99.5)),
        ("0,4095", Scale("fixed", 0, 4095)),
        ("-20.5,1e3", Scale("fixed", -20.5, 1000)),
        ("20C,40C", Scale("fixed", 20, 40, "C")),
        ("-1e3HU,.5HU", Scale("fixed", -1000, 0.5, "HU")),
    ],
)
def test_texts_are_read(text, scale):
    assert Scale.parse(text) == scale


@pytest.mark.parametrize("text", ["full", "minmax", "percentile=0.1,99.9", "0,4095", "-20.5C,0.3C"])
def test_a_text_comes_back_as_it_was_written(text):
    assert str(Scale.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "none", "Full", "full ", "1", "1,", ",1", "1,2,3", "a,b", "5,5", "6,5", "nan,1"),
        *("0,inf", "-inf,0", "-1e308,1e308", "=1,2", "x=1,2", "minmax=1,2", "percentile="),
        *("percentile=50", "percentile=99,1", "percentile=5,5", "percentile=-1,99"),
        *("percentile=1,101", "percentile=nan,99", "percentile=percentile=1,99"),
        *(
            "20C,40",
            "20,40C",
            "20C,40F",
            "40C,20C",
            "20X,40X",
            "C,K",
            "infC,1C",
            "percentile=1C,9C",
        ),
    ],
)
def test_other_texts_are_refused_in_one_sentence(text):
    with pytest.raises(FusionlabError, match="a scale must be auto, full, minmax, percentile"):
        Scale.parse(text)


@pytest.mark.parametrize(
    "given_",
    [
        *(Scale("fixed", 5, 1), Scale("fixed", math.nan, 1), Scale("percentile", 1, 101)),
        *(Scale("most"), (0, 4095), 5, None, ["full", 3]),
    ],
)
def test_what_is_no_scale_is_refused_however_it_is_given(given_):
    with pytest.raises(FusionlabError, match="a scale must be auto, full, minmax, .*; got '"):
        parse_scales(given_)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("20C,40C", "C", "20,40"),
        ("20C,40C", "K", "293.15,313.15"),
        ("32F,212F", "C", "0,100"),
        ("-40C,100C", "F", "-40,212"),
        ("0K,300K", "C", "-273.15,26.85"),
        ("-160HU,240HU", "HU", "-160,240"),
        ("20,40", "C", "20,40"),
        ("minmax", "C", "minmax"),
    ],
)
def test_limits_are_converted_to_the_unit_of_the_source(text, unit, expected):
    assert str(Scale.parse(text).in_unit(unit, "x")) == expected


@pytest.mark.parametrize(
    ("text", "unit", "why"),
    [
        ("20C,40C", "", "have no unit that is known"),
        ("20C,40C", "HU", "are in HU"),
        ("0HU,80HU", "K", "are in K"),
        ("0HU,80HU", "BQML", "are in BQML"),
    ],
)
def test_limits_that_cannot_be_converted_are_refused_in_one_sentence(text, unit, why):
    with pytest.raises(FusionlabError, match=f"the values of x .*{why}; give limits in") as error:
        Scale.parse(text).in_unit(unit, "x")
    assert (error.value.code, error.value.option) == ("scale-unit", "scale")


def test_values_of_an_array_have_no_unit():
    with pytest.raises(FusionlabError, match="the values of x have no unit"):
        scaled(Scale.parse("20C,40C"), one([20, 30], np.float32))


def test_one_scale_or_several_texts_or_not():
    assert parse_scales("full") == parse_scales(FULL) == parse_scales([FULL]) == (FULL,)
    assert parse_scales(("minmax", PERCENTILE)) == (MINMAX, PERCENTILE)
    with pytest.raises(FusionlabError, match="expected a scale, got none"):
        parse_scales([])


def test_one_scale_counts_for_all_sources_and_several_for_one_each():
    assert scales_for([MINMAX], 3) == [MINMAX] * 3
    assert scales_for([FULL, MINMAX, FULL], 3) == [FULL, MINMAX, FULL]
    for wrong in (2, 4):
        with pytest.raises(FusionlabError, match=f"one scale for all 3 sources .* got {wrong}"):
            scales_for([FULL] * wrong, 3)


# ---------------------------------------------------------------- full


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_full_is_the_range_of_the_type_to_the_last_bit(dtype, white):
    levels = np.arange(white + 1)
    images = one(levels, dtype)
    assert FULL.limits(images, "x").tolist() == [[0, white]]
    expected = levels.astype(np.float32) / np.float32(white)
    assert np.array_equal(scaled(FULL, images).flatten(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_full_takes_floats_in_0_to_1_as_they_are(dtype):
    images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert FULL.limits(images, "x").tolist() == [[0, 1]] * 2
    assert torch.equal(scaled(FULL, images), images.float())
    assert scaled(FULL, images).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint32", "uint64"])
def test_full_is_refused_for_types_without_white_and_the_remedy_is_named(dtype):
    message = (
        f"^source 7 has values of the type {dtype}, which has no white by convention; choose a "
        "scale: minmax, percentile or LO,HI$"
    )
    with pytest.raises(FusionlabError, match=message) as caught:
        FULL.limits(one([1, 2, 3], dtype), "source 7")
    assert (caught.value.code, caught.value.option) == ("no-white", "scale")


@pytest.mark.parametrize(("values", "got"), [([0, 1.5], "0 to 1.5"), ([-0.25, 1], "-0.25 to 1")])
def test_full_is_refused_for_floats_outside_0_to_1_and_the_remedy_is_named(values, got):
    with pytest.raises(FusionlabError, match=f"must hold floats in 0..1, got .* {got};") as caught:
        FULL.limits(one(values, np.float32), "x")
    assert (caught.value.code, caught.value.option) == ("out-of-range", "scale")


# ---------------------------------------------------------------- the other kinds


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_minmax_of_up_to_16_bits_is_the_rounded_quotient_of_integers(dtype):
    """float32 divides integers of 17 bits correctly rounded; so does a detour over float64."""
    images = integers(dtype, seed=2)
    for image, found in zip(images.numpy().astype(int), scaled(MINMAX, images), strict=True):
        expected = (image - image.min()) / (image.max() - image.min())
        assert np.array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1_000_000_000])
def test_differences_of_large_numbers_are_not_lost(dtype, offset):
    """A billion and 0..100: in float32, the neighbors of a billion are 64 apart."""
    step = 64 if dtype == np.float32 else 1  # float32 sources hold no finer ones
    levels = offset // 64 * 64 + step * np.arange(101)
    found = scaled(MINMAX, one(levels, dtype)).flatten().numpy()
    assert np.array_equal(found, (np.arange(101) / 100).astype(np.float32))
    fixed = Scale("fixed", float(levels[0]), float(levels[-1]))
    assert np.array_equal(scaled(fixed, one(levels, dtype)).flatten(), found)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ends", [(1, 99), (0, 100), (0.5, 99.5), (25, 30)])
def testpercentiles_are_those_of_numpy_in_float64(dtype, ends):
    rng = np.random.default_rng(3)
    images = torch.tensor((rng.standard_normal((2, 3, 9, 11)) * 30 + 100).astype(dtype))
    limits = Scale("percentile", *ends).limits(images, "x")
    assert limits.dtype == np.float64
    for image, found in zip(images.numpy().astype(np.float64), limits, strict=True):
        assert found.tolist() == np.percentile(image, ends).tolist()


@pytest.mark.parametrize(
    ("dtype", "values", "median"),
    [
        (np.int8, [-100, 127], 13.5),
        (np.int16, [-32768, 32767], -0.5),
        (np.int32, [-(2**31), 2**31 - 1], -0.5),
        (np.float16, [-60000, 60000], 0),
    ],
)
def testpercentiles_do_not_wrap_around(dtype, values, median):
    """numpy interpolates in the type of the image, where the difference may not fit."""
    scale = Scale("percentile", 0, 50)
    assert scale.limits(one(values, dtype), "x").tolist() == [[values[0], median]]


def test_percentile_0_to_100_is_minmax():
    images = integers(np.uint16, seed=4)
    assert torch.equal(scaled(Scale("percentile", 0, 100), images), scaled(MINMAX, images))


def test_what_lies_beyond_black_and_white_is_cut_off():
    found = scaled(Scale("fixed", 10, 20), one([0, 9, 10, 12, 20, 21, 255], np.uint8))
    assert found.flatten().tolist() == [0, 0, 0, np.float32(0.2), 1, 1, 1]


def test_fixed_limits_may_lie_anywhere():
    """Also between two gray levels, below zero, and beyond the range of the type."""
    found = scaled(Scale("fixed", -0.5, 255.5), one([0, 255], np.uint8)).flatten()
    assert found.tolist() == [np.float32(0.5 / 256), np.float32(255.5 / 256)]
    found = scaled(Scale("fixed", -500, 500), one([-500, 0, 250], np.float64)).flatten()
    assert found.tolist() == [0, 0.5, 0.75]


def test_fixed_limits_are_the_same_for_a_whole_series():
    """A series keeps one scale: what is darker in the second image stays darker."""
    images = torch.tensor(integers(np.uint16, seed=5).numpy() // 2)
    scale = Scale("fixed", 0, 65535)
    assert scale.limits(images, "x").tolist() == [[0, 65535]] * 2
    assert torch.equal(scaled(scale, images), scaled(FULL, images))


@pytest.mark.parametrize("scale", [MINMAX, PERCENTILE])
def test_every_image_of_a_batch_has_its_own_limits_and_the_channels_share_them(scale):
    levels = integers(np.uint16, (3, 3, 8, 9), seed=6).numpy()
    levels //= np.array([1, 2, 7], np.uint16).reshape(3, 1, 1, 1)
    levels[:, 1] //= 3
    images = torch.tensor(levels)
    together, limits = scaled(scale, images), scale.limits(images, "x")
    for n, image in enumerate(images.split(1)):
        assert torch.equal(together[n], scaled(scale, image)[0])
        assert np.array_equal(limits[n], scale.limits(image, "x")[0])
    assert (together[:, 1].amax(dim=(1, 2)) < 0.5).all()  # a dark channel stays dark


@pytest.mark.parametrize("scale", [MINMAX, PERCENTILE, Scale("percentile", 0, 100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 100])
def test_an_image_of_one_value_becomes_black(scale, dtype, value):
    images = one([value] * 12, dtype)
    assert scale.limits(images, "x").tolist() == [[value, value]]
    assert scaled(scale, images).abs().max() == 0


@pytest.mark.parametrize("unit", [1, 1e-6, 1e6])
def test_what_stands_out_of_one_value_is_white_whatever_the_unit(unit):
    """Both percentiles are the background; a hot spot lies beyond white, however hot it is."""
    values = np.full(1000, 20.0)
    values[:3] = [19, 20.001, 35]
    found = scaled(PERCENTILE, one(values * unit, np.float64)).flatten()
    assert found.tolist() == [0, 1, 1] + [0] * 997


@given(st.lists(REAL, min_size=2, max_size=30), st.floats(1e-3, 1e3), REAL)
def test_the_units_of_a_measurement_do_not_matter(values, factor, offset):
    """Kelvin or Celsius: `minmax` and `percentile` give the same image.

    To 1e-5: changing the units rounds every value by 1e-16 of the largest number about.
    """
    values = np.array(values)
    changed = values * factor + offset
    span = np.ptp(values) * factor
    if span < 1e-10 * (np.abs(changed).max() + abs(offset)):
        return  # what is left of the differences after that rounding
    for scale in (MINMAX, Scale("percentile", 10, 90)):
        low, high = scale.limits(one(values, np.float64), "x")[0]
        if high - low < 1e-5 * np.ptp(values):
            continue  # as above
        before, after = (scaled(scale, one(v, np.float64)) for v in (values, changed))
        torch.testing.assert_close(before, after, rtol=0, atol=1e-5)


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=30), scales())
def test_whatever_the_source_the_result_lies_in_0_to_1(values, scale):
    images = one(values, np.float32)
    if scale.kind != "full":
        found = scaled(scale, images)
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1


# ---------------------------------------------------------------- numbers that are none


@pytest.mark.parametrize("scale", [FULL, MINMAX, PERCENTILE, Scale("fixed", 0, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_and_counted(scale, dtype, value):
    images = torch.zeros(2, 1, 4, 5, dtype=dtype)
    images[1, 0, 2, 3:] = value  # of the second image of a batch
    message = "^source 2 holds NaN or infinity at 2 of 20 values; replace them by numbers first$"
    with pytest.raises(FusionlabError, match=message):
        scale.limits(images, "source 2")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_gpu_finds_the_extremes_that_numpy_finds(dtype, masked):
    values = torch.arange(24.0).view(2, 3, 4).to(getattr(torch, dtype))
    mask = torch.arange(12).view(3, 4) % 3 != 2 if masked else None
    assert _measured_there(values, mask) == _measured_here(values, mask)
    if values.is_floating_point():
        values[0, 0, 1], values[1, 2, 2] = math.nan, math.inf  # the latter is masked
        assert _measured_there(values, mask)[2:] == _measured_here(values, mask)[2:]
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    assert _measured_there(values, nothing) == _measured_here(values, nothing)


# ---------------------------------------------------------------- gradients, planes


@pytest.mark.parametrize("scale", [FULL, MINMAX, PERCENTILE, Scale("fixed", 0.1, 0.9)], ids=str)
def test_gradients_flow_through_a_scale_whose_limits_count_as_constants(scale):
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(1, 1, 6, 7, dtype=torch.float64, generator=generator).requires_grad_()
    limits = scale.limits(images, "x")
    scale.apply(images, limits).sum().backward()
    low, high = limits[0].tolist()
    inside = (images >= low) & (images <= high)
    expected = torch.where(inside, 1 / (high - low), 0).double()
    # the sum is taken in float32
    torch.testing.assert_close(images.grad, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [MINMAX, PERCENTILE])
def test_the_gradient_of_an_image_of_one_value_is_a_number(scale):
    images = torch.full((1, 1, 3, 4), 0.5, requires_grad=True)
    scaled(scale, images).sum().backward()
    assert images.grad.isfinite().all()


def test_each_source_has_a_scale_of_its_own():
    counts = np.array([[1000, 1500, 2000]], dtype=np.int16)
    image = np.array([[0, 51, 255]], dtype=np.uint8)
    stack = Stack([counts, image], [MINMAX, FULL])
    assert stack.planes().flatten().tolist() == [0, 0.5, 1, 0, np.float32(0.2), 1]
    assert stack.limits.tolist() == [[[1000, 2000]], [[0, 255]]]


def test_an_error_names_the_source():
    sources = [np.zeros((2, 2)), np.full((2, 2), 3, np.int16)]
    for names, name in [((), "source 2"), (("a.tif", "b.tif"), "b.tif")]:
        with pytest.raises(FusionlabError, match=f"^{name} has values of the type int16"):
            Stack(sources, names=names)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_the_extremes_of_a_source_are_known_where_its_scale_depends_on_them(kind):
    rng = np.random.default_rng(0)
    deep = rng.integers(500, 3000, (9, 7), dtype=np.uint16)
    sources = [deep, deep.astype(np.uint8), (deep / 3000).astype(np.float32), deep]
    if kind == "tensor":
        sources = [
            torch.from_numpy(np.stack([source, source[::-1]]))[:, None] for source in sources
        ]
    stack = Stack(sources, [Scale(), Scale(), Scale(), Scale("percentile", 10, 90)])
    low, high = int(deep.min()), int(deep.max())
    extremes = stack.extremes
    floats = [np.float32(low / 3000), np.float32(high / 3000)]
    for number in range(2 if kind == "tensor" else 1):
        assert np.isnan(extremes[:2, number]).all()
        assert extremes[2, number].tolist() == floats
        assert extremes[3, number].tolist() == [low, high]


@pytest.mark.parametrize("scale", ["minmax", "percentile"])
def test_values_too_far_apart_are_refused(scale):
    images = torch.tensor([[-1.7e308, 1.7e308]], dtype=torch.float64)[None, None]
    with pytest.raises(FusionlabError, match="^it has values from -1.7e[+]308 to 1.7e") as caught:
        Scale.parse(scale).limits(images, "it")
    assert (caught.value.code, caught.value.option) == ("range-overflow", "scale")


ULP = np.finfo(np.float32).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_that_rounding_moved_out_of_range_count_as_black_and_white(dtype):
    image = torch.tensor([[[[0.0, 0.5, 1.0], [-3 * ULP, 0.25, 1 + 4 * ULP]]]], dtype=dtype)
    limits = Scale().limits(image, "x")
    assert limits.tolist() == [[0, 1]]
    scaled = Scale().apply(image, limits)
    assert scaled.flatten().tolist() == [0, 0.5, 1, 0, 0.25, 1]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 1.000002, "from 0 to 1.000002;"),  # six digits would say 0 to 1
        (-0.000001, 1, "from -1e-06 to 1;"),
        (0, 255, "from 0 to 255;"),
        (0, 1 + 1e-5, "from 0 to 1.00001;"),
    ],
)
def test_larger_excursions_are_refused_with_enough_digits(low, high, said):
    image = torch.tensor([[[[low, high]]]], dtype=torch.float64)
    with pytest.raises(FusionlabError, match=said) as refused:
        Scale().limits(image, "x")
    assert refused.value.code == "out-of-range"
