"""Luminance and chroma against two outside programs; the merging of chroma against its formula."""

import itertools

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr

from fusionlab.imaging.color import MergedChroma, chroma, fit_to_range, luminance, recolored

LEVEL = 1 / 255


def colors(count=1, seed=0, height=6, width=7):
    """Return random colors `(count, 3, H, W)` in 0..1, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=generator, dtype=torch.float64)


def of_chroma(*pairs):
    """Return images of one pixel with given (Cb, Cr), around a luminance of 0.5."""
    y = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    return [recolored(y, torch.tensor(p, dtype=y.dtype).view(1, 2, 1, 1)) for p in pairs]


def merged(images):
    gathered = MergedChroma()
    for image in images:
        gathered.add(image)
    return gathered.result()


# ---------------------------------------------------------------- luminance and chroma


def bytes_and_planes(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    corners = np.array(list(itertools.product([0, 255], repeat=3)), dtype=np.uint8)
    pixels[0, :8] = corners
    return pixels, torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]


def test_luminance_and_chroma_are_those_of_pillow():
    """JFIF, full range. To half a level where Pillow rounds (L), to one where it cuts off (C)."""
    pixels, planes = bytes_and_planes(1)
    image = PIL.Image.fromarray(pixels)
    found = luminance(planes)[0, 0].numpy() * 255
    # 2^-16 of 255 levels: what Pillow's integer factors lack
    assert np.abs(found - np.asarray(image.convert("L"), float)).max() <= 0.5 + 255 / 2**16
    outside = np.asarray(image.convert("YCbCr"), float)[..., 1:].transpose(2, 0, 1)
    assert np.abs(chroma(planes)[0].numpy() * 255 + 128 - outside).max() <= 1


def test_luminance_and_chroma_are_those_of_scikit_image():
    """It knows the studio range only: Y in 16..235, C in 16..240, each linear in ours."""
    pixels, planes = bytes_and_planes(2)
    outside = rgb2ycbcr(pixels).transpose(2, 0, 1)
    np.testing.assert_allclose(luminance(planes)[0, 0], (outside[0] - 16) / 219, atol=1e-12)
    # its chroma factors are rounded to three digits behind the point, of 224
    np.testing.assert_allclose(chroma(planes)[0], (outside[1:] - 128) / 224, atol=3 * 0.0005 / 224)


def test_gray_is_its_own_luminance_and_has_no_chroma():
    gray = colors(2, seed=3)[:, :1]
    assert luminance(gray) is gray
    as_color = gray.expand(-1, 3, -1, -1)
    torch.testing.assert_close(luminance(as_color), gray)
    # 0.299 + 0.587 + 0.114 is 1 up to the rounding of float64
    assert chroma(as_color).abs().max() < 1e-15


def test_luminance_lies_in_0_to_1_and_chroma_in_half_around_0():
    corners = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).view(8, 3, 1, 1).double()
    assert luminance(corners).min() == 0
    assert luminance(corners).max() == pytest.approx(1, abs=1e-15)
    assert chroma(corners).amin(dim=(0, 2, 3)).tolist() == pytest.approx([-0.5, -0.5], abs=1e-15)
    assert chroma(corners).amax(dim=(0, 2, 3)).tolist() == pytest.approx([0.5, 0.5], abs=1e-15)


def test_a_color_comes_back_from_its_luminance_and_chroma():
    """The inverse, to the rounding of the type."""
    images = colors(3, seed=4)
    back = recolored(luminance(images), chroma(images))
    torch.testing.assert_close(back, images, rtol=0, atol=1e-15)
    single = images.float()
    back = recolored(luminance(single), chroma(single))
    torch.testing.assert_close(back, single, rtol=0, atol=1e-6)
    assert back.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_8_bit_color_comes_back_after_rounding(dtype):
    """All 2^24 would do so; here every third level of each channel."""
    levels = torch.arange(0, 256, 3, dtype=dtype)
    grid = torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij"))[None].flatten(3)
    images = grid / 255
    back = (recolored(luminance(images), chroma(images)) * 255).round()
    assert torch.equal(back, grid)


def test_recoloring_does_what_is_asked_even_where_the_result_is_no_color():
    """Any luminance with any chroma: both are found again, in 0..1 or not."""
    luma, wanted = colors(2, seed=5)[:, :1], colors(2, seed=6)[:, :2] - 0.5
    found = recolored(luma, wanted)
    torch.testing.assert_close(luminance(found), luma, rtol=0, atol=1e-15)
    torch.testing.assert_close(chroma(found), wanted, rtol=0, atol=1e-15)
    assert found.min() < 0
    assert found.max() > 1


# ---------------------------------------------------------------- the range


def test_fitting_keeps_hue_and_luminance_and_leaves_colors_alone_that_fit():
    luma, wanted = colors(2, seed=5)[:, :1], colors(2, seed=6)[:, :2] - 0.5
    recolored_images = recolored(luma, wanted)
    fitted = fit_to_range(recolored_images, luma)
    inside = ((recolored_images >= 0) & (recolored_images <= 1)).all(1, keepdim=True)
    assert 5 < inside.sum() < inside.numel() - 5
    assert torch.equal(torch.where(inside, fitted, 0), torch.where(inside, recolored_images, 0))
    assert fitted.min() >= 0
    assert fitted.max() <= 1
    torch.testing.assert_close(luminance(fitted), luma, rtol=0, atol=1e-15)
    found = chroma(fitted)
    cross = found[:, :1] * wanted[:, 1:] - found[:, 1:] * wanted[:, :1]
    assert cross.abs().max() < 1e-15
    assert ((found * wanted).sum(1) >= 0).all()
    # no more than necessary: one channel touches the end of the range
    edge = torch.minimum(fitted.amin(1, keepdim=True), 1 - fitted.amax(1, keepdim=True))
    assert (edge[~inside] < 1e-15).all()


def test_fitting_by_hand():
    """Blue (0, 0, 1) has Y = 0.114. At Y = 0.557 it is 0.443 more; half of its chroma fits."""
    blue = torch.tensor([0.0, 0, 1], dtype=torch.float64).view(1, 3, 1, 1)
    luma = torch.full((1, 1, 1, 1), 0.557, dtype=torch.float64)
    fitted = fit_to_range(recolored(luma, chroma(blue)), luma)
    assert fitted.flatten().tolist() == pytest.approx([0.5, 0.5, 1], abs=1e-12)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_have_no_room_for_chroma_and_gradients_stay_finite(level):
    luma = torch.full((1, 1, 2, 3), level, dtype=torch.float64, requires_grad=True)
    fitted = fit_to_range(recolored(luma, chroma(colors(1, 18, 2, 3))), luma)
    assert torch.equal(fitted, luma.expand(-1, 3, -1, -1))
    fitted.sum().backward()
    assert luma.grad.isfinite().all()


# ---------------------------------------------------------------- merging chroma


def test_two_sources_by_hand():
    """Cb: (0.3 x 0.3 - 0.1 x 0.1) / (0.3 + 0.1) = 0.2.  Cr: (0.2^2 + 0.4^2) / 0.6 = 1/3."""
    found = merged(of_chroma((0.3, 0.2), (-0.1, 0.4)))
    assert found.flatten().tolist() == pytest.approx([0.2, 1 / 3], abs=1e-15)


def test_three_sources_by_hand():
    """Cb: (0.01 - 0.04 + 0.09) / 0.6 = 0.1.  Cr: 0.25 / 0.5, the others being 0."""
    found = merged(of_chroma((0.1, 0), (-0.2, 0.5), (0.3, 0)))
    assert found.flatten().tolist() == pytest.approx([0.1, 0.5], abs=1e-15)


def test_the_formula_of_deepfuse_around_128_is_the_same():
    """Eq. 4: (Cb1 |Cb1 - t| + Cb2 |Cb2 - t|) / (|Cb1 - t| + |Cb2 - t|), t = 128, Cb in 0..255."""
    first, second = colors(seed=7), colors(seed=8)
    one, two = (128 + 255 * chroma(image) for image in (first, second))
    weights = (one - 128).abs(), (two - 128).abs()
    expected = (one * weights[0] + two * weights[1]) / (weights[0] + weights[1])
    torch.testing.assert_close(128 + 255 * merged([first, second]), expected)


@given(st.permutations(range(5)))
def test_the_order_of_the_sources_does_not_matter(order):
    """To the rounding of sums in another order."""
    images = [colors(seed=seed) for seed in range(5)]
    torch.testing.assert_close(
        merged([images[n] for n in order]), merged(images), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_the_result_lies_between_the_least_and_the_most_of_the_sources(k):
    """A weighted mean, whatever k."""
    images = [colors(seed=seed) for seed in range(k)]
    every = torch.stack([chroma(image) for image in images])
    found = merged(images)
    assert (found >= every.amin(dim=0) - 1e-15).all()
    assert (found <= every.amax(dim=0) + 1e-15).all()
    weights = every.abs()
    torch.testing.assert_close(found, (weights * every).sum(dim=0) / weights.sum(dim=0))


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_copies_of_an_image_keep_its_chroma(k):
    image = colors(seed=9)
    torch.testing.assert_close(merged([image] * k), chroma(image), rtol=1e-14, atol=0)


def test_gray_sources_take_no_color_away_in_one_channel_or_in_three():
    image, gray = colors(seed=10), colors(seed=11)[:, :1]
    alone = merged([image])
    assert torch.equal(merged([gray, image, gray]), alone)
    # gray in three channels has a chroma of rounding only, and is weighted with as little
    torch.testing.assert_close(
        merged([gray.expand(-1, 3, -1, -1), image]), alone, rtol=0, atol=1e-15
    )


def test_the_stronger_color_wins_and_opposites_leave_nothing():
    strong, weak, opposite = of_chroma((0.4, -0.4), (0.1, 0.1), (-0.4, 0.4))
    cb, cr = merged([strong, weak]).flatten().tolist()
    assert (cb, cr) == pytest.approx((0.34, -0.3), abs=1e-15)
    assert merged([strong, opposite]).abs().max() < 1e-15


def test_without_a_color_source_there_is_no_chroma():
    assert merged([colors(seed=12)[:, :1]] * 2) is None


def test_where_no_source_has_color_the_result_has_none_and_no_nan():
    black = torch.zeros(1, 3, 2, 2)
    assert torch.equal(merged([black, black]), torch.zeros(1, 2, 2, 2))


def test_the_images_of_a_batch_do_not_meet():
    first, second = colors(3, seed=13), colors(3, seed=14)
    together = merged([first, second])
    for n in range(3):
        alone = merged([first[n : n + 1], second[n : n + 1]])
        assert torch.equal(together[n : n + 1], alone)


def test_gradients_flow_also_where_there_is_no_color():
    images = [torch.zeros(1, 3, 2, 3, dtype=torch.float64), colors(1, 15, 2, 3)]
    for image in images:
        image.requires_grad_()
    merged(images).square().sum().backward()
    assert all(image.grad.isfinite().all() for image in images)
    assert images[1].grad.abs().sum() > 0


def test_the_gradient_is_that_of_finite_differences():
    first, second = colors(1, 16, 2, 2), colors(1, 17, 2, 2)
    assert torch.autograd.gradcheck(
        lambda a, b: merged([a, b]), (first.requires_grad_(), second.requires_grad_())
    )
