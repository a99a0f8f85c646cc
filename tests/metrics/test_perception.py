"""Q_CB and Q_CV against SciPy and by hand; normalization and borders of the toolbox."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from fusionlab.errors import FusionlabError
from fusionlab.metrics.perception import _frequencies, q_cb, q_cv

TOOLBOX = ("liu", "vifb")


def textured(seed, height=57, width=70):
    """Return an image with structure at all scales, in fractions of the gray levels 20..220."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width)).cumsum(0).cumsum(1)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    return torch.from_numpy(20 + 200 * walk + rng.normal(0, 3, walk.shape)).clamp(0, 255)[None]


def fusion(seed, height=57, width=70):
    """Return a fused image and its two sources of the same seed."""
    sources = torch.stack(
        [textured(2 * seed, height, width), textured(2 * seed + 1, height, width)]
    )
    return sources.mean(0).round(), sources


def by_numpy(image, response, degrees):
    """Filter with a CSF on the full spectrum."""
    i, j = (np.fft.fftfreq(n) * n / degrees for n in image.shape)
    return np.fft.ifft2(np.fft.fft2(image) * response(np.hypot(i[:, None], j))).real


@pytest.mark.parametrize("size", [(57, 70), (64, 49)])
def test_q_cb_matches_scipy(size):
    def contrast(image):
        filtered = by_numpy(
            image,
            lambda r: np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)),
            15,
        )
        narrow, wide = (
            ndimage.gaussian_filter(filtered, sigma, mode="nearest", radius=15) for sigma in (2, 4)
        )
        c = abs(narrow / wide - 1)
        return c**3 / (c**2 + 1e-4)

    fused, sources = fusion(0, *size)
    f, a, b = (contrast(x.numpy()) for x in (fused[0], *sources[:, 0]))
    quality = (
        a**2 * np.minimum(a, f) / np.maximum(a, f) + b**2 * np.minimum(b, f) / np.maximum(b, f)
    ) / (a**2 + b**2)
    # near its zeros `wide` loses digits by cancellation
    assert q_cb(fused, sources).item() == pytest.approx(quality.mean(), rel=1e-9)


@pytest.mark.parametrize("size", [(57, 70), (64, 49)])
def test_q_cv_matches_scipy(size):
    fused, sources = fusion(1, *size)
    error = weight = 0
    for source in sources:
        edges = np.hypot(
            *(ndimage.sobel(source[0].numpy(), axis, mode="nearest") for axis in (0, 1))
        )
        filtered = by_numpy(
            (source - fused)[0].numpy(),
            lambda r: 2.6 * (0.0192 + 0.114 * r) * np.exp(-((0.114 * r) ** 1.1)),
            4,
        )
        for y in range(0, size[0], 16):
            for x in range(0, size[1], 16):
                region = np.s_[y : y + 16, x : x + 16]
                error += (edges[region] ** 5).sum() * (filtered[region] ** 2).mean()
                weight += (edges[region] ** 5).sum()
    # both sum in another order
    assert q_cv(fused, sources).item() == pytest.approx(error / weight, rel=1e-10)


@pytest.mark.parametrize("convention", ["default", *TOOLBOX])
def test_a_fused_image_equal_to_its_sources_has_the_ideal_value(convention):
    fused, _ = fusion(2)
    sources = torch.stack([fused, fused, fused])
    assert q_cb(fused, sources, convention).item() == 1
    assert q_cv(fused, sources, convention).item() == 0


def test_frequencies_are_those_of_freqspace():
    """MATLAB: freqspace(4) is -1, -0.5, 0, 0.5 and freqspace(5) -0.8, -0.4, 0, 0.4, 0.8.

    Multiplied by 4/30 and 5/30, as the toolbox does, that is -2..1 and -2..2 cycles in 15
    degrees, and half of the columns is enough.
    """
    even, odd = (0, 1, 2, 1), (0, 1, 2)
    expected = torch.tensor([[(i**2 + j**2) ** 0.5 / 15 for j in odd] for i in even])
    frequencies = _frequencies(torch.zeros(4, 5), degrees=15)
    torch.testing.assert_close(frequencies, expected)
    turned = _frequencies(torch.zeros(5, 4), degrees=15)
    torch.testing.assert_close(turned, expected.T[[0, 1, 2, 2, 1], :3])


@pytest.mark.parametrize(("convention", "slope"), [("default", 0.114), ("liu", 0.144)])
def test_the_q_cv_of_a_grating_by_hand(convention, slope):
    """F is S and a grating of 10 gray levels and 16 cycles in 4 degrees: r = 4.

    Each region has four of the cycles, so that all of them have the error (10 S(4))^2 / 2. The
    grating is zero in every second column; black and white are placed there, so that
    normalization changes nothing.
    """
    source = fusion(3, 64, 64)[0].clamp(30, 220)
    source[0, :2, 1] = torch.tensor([0.0, 255.0])
    grating = 10 * torch.tensor([1.0, 0, -1, 0]).repeat(16)
    sensitivity = 2.6 * (0.0192 + slope * 4) * np.exp(-((slope * 4) ** 1.1))
    value = q_cv(source + grating, source[None], convention).item()
    # rounding of the Fourier transform, here and below
    assert value == pytest.approx((10 * sensitivity) ** 2 / 2, rel=1e-10)


def test_more_brightness_is_an_error_unless_images_are_normalized():
    """The CSF passes 2.6 * 0.0192 = 0.04992 of a constant difference."""
    dark = fusion(4)[0].clamp(0, 200)
    bright = dark + 20
    assert q_cv(bright, dark[None]).item() == pytest.approx((20 * 0.04992) ** 2, rel=1e-10)
    assert q_cb(bright, dark[None]).item() < 0.9
    for convention in TOOLBOX:
        assert q_cv(bright, dark[None], convention).item() == 0
        assert q_cb(bright, dark[None], convention).item() == 1


def test_half_of_the_contrast_is_an_error_unless_images_are_normalized():
    source = (fusion(5)[0] / 2).round() * 2
    pale = source / 2 + 60
    assert q_cv(pale, source[None]).item() > 5
    assert q_cb(pale, source[None]).item() < 0.5
    for convention in TOOLBOX:
        assert q_cv(pale, source[None], convention).item() == 0
        assert q_cb(pale, source[None], convention).item() == 1


def test_local_contrast_is_relative_to_the_local_mean():
    fused, sources = fusion(6)
    expected = q_cb(fused, sources).item()
    assert q_cb(fused / 2, sources).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("level", [0, 77.3, 128, 255])
def test_a_constant_image_preserves_no_contrast(level):
    fused, sources = fusion(7)
    flat = torch.full_like(fused, level)
    assert q_cb(flat, sources).item() == 0
    assert q_cb(flat, torch.stack([flat, flat])).item() == 1
    assert q_cb(fused, torch.stack([flat, flat])).item() == 0
    for convention in TOOLBOX:
        assert q_cb(flat, sources, convention).isnan().all()


def test_a_constant_image_is_normalized_to_nan_unless_it_is_black():
    fused, sources = fusion(8)
    for level, undefined in ((0, False), (1, True), (128, True)):
        flat = torch.full_like(fused, level)
        assert q_cv(flat, sources).isfinite().all()
        for convention in TOOLBOX:
            assert q_cv(flat, sources, convention).isnan().all() == undefined


def test_without_an_edge_in_any_source_q_cv_is_undefined():
    fused, _ = fusion(9)
    assert q_cv(fused, torch.full_like(fused, 128)[None]).isnan().all()


def test_an_error_at_the_border_has_much_weight_only_with_black_padding():
    """The source has one edge, in the middle; one fused image is wrong there, one in a corner."""
    source = torch.full((1, 80, 80), 200.0)
    source[0, 32:48, 36:44] = 255
    source[0, 40, 40] = 0  # already normalized
    corner, middle = source.clone(), source.clone()
    corner[0, 2:14, 2:14] -= 40
    middle[0, 34:38, 37:43] -= 40
    ratios = [
        q_cv(corner, source[None], convention).item()
        / q_cv(middle, source[None], convention).item()
        for convention in ("default", *TOOLBOX)
    ]
    assert ratios[0] < 0.1
    assert min(ratios[1:]) > 1


def test_black_padding_raises_the_value_of_small_images():
    fused, sources = fusion(10, 48, 64)
    for image in (fused, *sources):  # so that normalization changes nothing
        image.sub_(image.min())
        image.mul_(255 / image.max()).round_()
    assert q_cb(fused, sources, "liu").item() > q_cb(fused, sources).item() + 0.02


@pytest.mark.parametrize(
    ("metric", "convention", "pinned"),
    [
        (q_cb, "default", 0.5048880398),
        (q_cb, "liu", 0.6069013565),
        (q_cv, "default", 47.63296004),
        (q_cv, "liu", 65.83213471),
    ],
)
def test_values_have_not_drifted(metric, convention, pinned):
    # pinned with ten digits
    assert metric(*fusion(11), convention).item() == pytest.approx(pinned, rel=1e-9)


@pytest.mark.parametrize("metric", [q_cb, q_cv])
def test_liu_and_vifb_are_the_same(metric):
    images = fusion(12)
    assert metric(*images, "liu").equal(metric(*images, "vifb"))
    assert not metric(*images, "liu").equal(metric(*images))


@pytest.mark.parametrize(("metric", "min_size"), [(q_cb, 31), (q_cv, 16)])
def test_the_smallest_image(metric, min_size):
    assert metric(*fusion(13, min_size, 40)).isfinite().all()
    with pytest.raises(FusionlabError, match=f"at least {min_size} pixels"):
        metric(*fusion(13, 40, min_size - 1))
