"""The harmonic wavelet transform by its definition, by hand, and against its author's program."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn, idctn
from scipy.ndimage import uniform_filter

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.common.cosine_transform import dct, idct
from fusionlab_classics.dchwt import DCHWT


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (k, height, width)).astype(float)


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images))[:, None, None]
    return DCHWT(**parameters).fuse(features, Scene(sources=features))[0, 0].numpy()


def block_sums(maps, edge):
    height, width = maps.shape[-2:]
    blocks = maps.reshape(len(maps), height // edge, edge, width // edge, edge)
    return blocks.sum(axis=(-3, -1))


def reference(images):
    """Fuse images (k, h, w) whose edges are multiples of 8."""
    spectra = np.array([dctn(image, norm="ortho") for image in images])
    height, width = images.shape[1:]
    fused = np.zeros((height, width))

    def bands(place):
        return np.array([idctn(spectrum[place], norm="ortho") for spectrum in spectra])

    def merge(place, significance):
        merged = (significance * bands(place)).sum(axis=0) / significance.sum(axis=0)
        fused[place] = dctn(merged, norm="ortho")

    approximation = 0
    for down, right in ((0, 1), (1, 0), (1, 1)):
        levels = []
        for level in (1, 2, 3):
            rows, columns = height >> level, width >> level
            top, left = down * rows, right * columns
            levels.append((slice(top, top + rows), slice(left, left + columns)))
        fine, middle, coarse = (bands(place) for place in levels)
        squares = [uniform_filter(band**2, 3, mode="mirror") for band in fine]
        merge(levels[0], np.array(squares))
        merge(levels[1], abs(middle) + block_sums(abs(fine), 2))
        significance = abs(coarse) + block_sums(abs(middle), 2) + block_sums(abs(fine), 4)
        merge(levels[2], significance)
        approximation = approximation + significance
    merge((slice(0, height // 8), slice(0, width // 8)), approximation)
    return idctn(fused, norm="ortho")


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 8), (16, 7), (1, 6)])
def test_the_transform_is_that_of_scipy(shape):
    images = random_images(3, *shape)
    spectra = dctn(images, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(dct(torch.tensor(images)), spectra, atol=1e-10)
    np.testing.assert_allclose(idct(torch.tensor(spectra)), images, atol=1e-10)


@pytest.mark.parametrize("shape", [(8, 8), (16, 40), (24, 16)])
@pytest.mark.parametrize("k", [2, 3])
def test_the_definition(k, shape):
    """Written down once more with the transforms of scipy."""
    images = random_images(k, *shape)
    for variant in ("corrected", "authors"):
        np.testing.assert_allclose(fuse(images, variant=variant), reference(images), atol=1e-7)


def test_other_sizes_are_mirrored_to_multiples_of_8_and_cropped():
    images = random_images(2, 13, 9)
    mirrored = np.pad(images, ((0, 0), (0, 3), (0, 7)), mode="symmetric")
    np.testing.assert_allclose(fuse(images), reference(mirrored)[:13, :9], atol=1e-7)


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_image_of_the_authors_program(assert_as_published, pair):
    assert_as_published(DCHWT(variant="authors"), "dchwt", pair)


def test_both_variants_are_the_authors_program_for_multiples_of_8(assert_as_published):
    assert_as_published(DCHWT(), "dchwt", "s64")


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_the_images_of_the_authors_program_for_real_pairs(assert_as_published, pair):
    assert_as_published(DCHWT(variant="authors"), "dchwt", pair)


def test_the_authors_program_brightens_odd_sizes_and_blackens_images_without_detail():
    """9x9 is reduced to 8x8, and becomes brighter by 9/8: only the approximation is not zero."""
    flat = np.full((2, 9, 9), 80.0)
    flat[:, 0, 0] = 80 + 1e-7  # so that no significance is zero
    assert (fuse(flat, variant="authors") == 90).all()
    np.testing.assert_allclose(fuse(flat), flat[0], atol=1e-6)
    flat = np.full((2, 16, 16), 80.0)
    assert (fuse(flat, variant="authors") == 0).all()
    np.testing.assert_allclose(fuse(flat), 80, atol=1e-9)


def test_where_no_source_has_detail_the_result_is_their_mean():
    flat = np.broadcast_to(np.array([10.3, 90.7, 70.0]).reshape(3, 1, 1), (3, 24, 17)).copy()
    np.testing.assert_allclose(fuse(flat), 57, atol=1e-3)


@given(st.integers(2, 3), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_negatives_give_the_negative_and_transposed_images_the_result_transposed(k, h, w, seed):
    images = random_images(k, h, w, seed)
    fused = fuse(images)
    np.testing.assert_allclose(fuse(255 - images), 255 - fused, atol=1e-5)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1).copy()), fused.T, atol=1e-7)


def test_through_the_program_the_planes_of_color_images_are_fused_one_by_one():
    images = random_images(6, 24, 32).astype(np.uint8).reshape(2, 3, 24, 32).transpose(0, 2, 3, 1)
    fused = Fusion("identity", DCHWT(), range_policy="clip", color="per-channel")(list(images))
    for channel in range(3):
        expected = reference(images[..., channel].astype(float)).clip(0, 255)
        assert np.abs(fused[..., channel] - expected).max() <= 0.5 + 1e-4


def test_the_authors_variant_refuses_images_of_fewer_than_8_rows():
    with pytest.raises(FusionlabError) as error:
        fuse(random_images(2, 7, 20), variant="authors")
    assert error.value.code == "too-small"


def test_gradients_are_those_of_finite_differences():
    images = torch.tensor(random_images(2, 3, 4))[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: DCHWT().fuse(x, Scene(sources=x.detach())), (images,), fast_mode=True
    )


@pytest.mark.slow
class TestDCHWT(StrategyLaws):
    strategy = DCHWT
