"""The Laplacian pyramid by hand, against filters of SciPy, and through the whole program."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate, correlate1d, maximum_filter

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.cli import main
from fusionlab_strategies.laplacian_pyramid import LaplacianPyramid
from fusionlab_strategies.pyramids import expand_level, reduce_level

KERNEL = np.array([0.05, 0.25, 0.4, 0.25, 0.05])


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images))[:, None, None]
    return LaplacianPyramid(**parameters).fuse(features, Scene(sources=features))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


def filtered(image, kernel):
    for axis in (0, 1):
        image = correlate1d(image, kernel, axis=axis, mode="mirror")
    return image


def expanded(image, shape):
    with_zeros = np.zeros(shape)
    with_zeros[::2, ::2] = image
    return filtered(with_zeros, 2 * KERNEL)


def strongest(parts):
    return np.take_along_axis(parts, np.abs(parts).argmax(axis=0)[None], axis=0)[0]


def consistent(parts):
    """The source that has the largest 3x3 maximum at most of the 3x3 pixels around; no ties."""
    maxima = maximum_filter(np.abs(parts), (1, 3, 3), mode="constant")
    wins = maxima == maxima.max(axis=0)
    votes = [correlate(win.astype(int), np.ones((3, 3), int), mode="constant") for win in wins]
    winners = votes == np.max(votes, axis=0)
    return (parts * winners).sum(axis=0) / winners.sum(axis=0)


def reference(images, levels, select=strongest):
    gaussian, details = list(images), []
    while levels > len(details) and min(gaussian[0].shape) > 2:
        coarser = [filtered(image, KERNEL)[::2, ::2] for image in gaussian]
        pairs = zip(gaussian, coarser, strict=True)
        parts = np.stack([image - expanded(small, image.shape) for image, small in pairs])
        details.append(select(parts))
        gaussian = coarser
    fused = np.mean(gaussian, axis=0)
    for detail in reversed(details):
        fused = expanded(fused, detail.shape) + detail
    return fused


# ------------------------------------------------- by hand


def test_reduce_by_hand():
    """A single pixel in the middle; the outermost weight is mirrored onto the border pixel."""
    impulse = torch.zeros(5, 5, dtype=torch.float64)
    impulse[2, 2] = 1
    weights = torch.tensor([0.1, 0.4, 0.1], dtype=torch.float64)
    torch.testing.assert_close(reduce_level(impulse), weights[:, None] * weights)


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        # even pixels 0.8 of their own and 0.1 of both neighbors, odd ones half of each neighbor
        ([0.0, 1, 0], [0.2, 0.5, 0.8, 0.5, 0.2]),
        ([0.0, 1, 0], [0.2, 0.5, 0.8, 0.5, 0.1, 0]),
        ([0.0, 0, 1], [0, 0, 0.1, 0.5, 0.9, 1]),
    ],
)
def test_expand_by_hand(coarse, fine):
    rows = torch.tensor([coarse, coarse], dtype=torch.float64)
    expected = torch.tensor([fine] * 3, dtype=torch.float64)
    torch.testing.assert_close(expand_level(rows, expected.shape), expected)


def test_opposite_details_tie_and_cancel():
    """An image and its negative: the mean is gray. Details below 1e-4 may be left to rounding."""
    image = np.random.default_rng(0).integers(0, 256, (9, 9)).astype(float)
    np.testing.assert_allclose(fuse([image, 255 - image]), 127.5, atol=1e-3)


def test_the_sharper_source_is_kept_on_each_side():
    """A focus stack of two: each half of the scene is sharp in one source only."""
    sharp = random_images(1, 128, 256)[0]
    blurred = filtered(filtered(sharp, KERNEL), KERNEL)
    left = np.arange(256) < 128
    fused = fuse([np.where(left, sharp, blurred), np.where(left, blurred, sharp)], levels=3)
    # the coarsest level is the mean of both, and the sides meet in the middle
    inner = (slice(None), np.abs(np.arange(256) - 127.5) > 28)
    error = np.abs(fused - sharp)[inner].mean()
    assert error < 0.05 * np.abs(blurred - sharp)[inner].mean()


# ------------------------------------------------- identity, invariances, outside program, pin


@pytest.mark.parametrize("levels", [1, 4, 8])
@pytest.mark.parametrize("k", [2, 5])
def test_copies_of_one_source_give_that_source(k, levels):
    image = random_images(1, 37, 50)[0]
    np.testing.assert_allclose(fuse([image] * k, levels=levels), image, rtol=0, atol=1e-11)


sizes = st.tuples(st.integers(2, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))


@given(sizes, st.integers(1, 8), st.floats(0.01, 1), st.floats(0, 100))
def test_contrast_and_brightness_of_all_sources_are_those_of_the_result(size, levels, c, offset):
    images = random_images(*size)
    expected = c * fuse(images, levels=levels) + offset
    np.testing.assert_allclose(fuse(c * images + offset, levels=levels), expected, atol=1e-9)


@given(sizes, st.integers(1, 8))
def test_negatives_give_the_negative_and_transposed_images_the_result_transposed(size, levels):
    images = random_images(*size)
    fused = fuse(images, levels=levels)
    np.testing.assert_allclose(fuse(255 - images, levels=levels), 255 - fused, atol=1e-9)
    transposed = images.transpose(0, 2, 1).copy()
    np.testing.assert_allclose(fuse(transposed, levels=levels), fused.T, atol=1e-9)


@given(st.integers(0, 99), st.integers(1, 4), st.integers(-2, 2), st.integers(-2, 2))
@settings(max_examples=20)
def test_a_move_by_a_whole_step_of_the_coarsest_level_moves_the_result(seed, levels, down, right):
    """In a black surround twice as wide as the support, since the border mirrors it."""
    step, surround = 2**levels, 2 * LaplacianPyramid(levels).support
    images = np.pad(random_images(2, 12, 9, seed), ((0, 0), *[(surround + 2 * step,) * 2] * 2))
    move = (step * down, step * right)
    moved = fuse(np.roll(images, move, axis=(1, 2)), levels=levels)
    np.testing.assert_allclose(moved, np.roll(fuse(images, levels=levels), move, (0, 1)), atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (53, 61), (64, 64), (17, 200), (1, 9), (2, 30)])
@pytest.mark.parametrize("levels", [1, 3, 4, 8])
@pytest.mark.parametrize("k", [2, 3])
def test_the_filters_of_scipy_agree(k, levels, shape):
    images = random_images(k, *shape)
    np.testing.assert_allclose(
        fuse(images, levels=levels), reference(images, levels), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("shape", [(4, 5), (53, 61), (17, 200), (1, 9)])
@pytest.mark.parametrize("k", [2, 3])
def test_consistency_is_the_vote_of_the_neighbors(k, shape):
    images = random_images(k, *shape)
    expected = reference(images, 3, consistent)
    np.testing.assert_allclose(fuse(images, levels=3, select="consistency"), expected, atol=1e-10)


def test_the_authors_variant_with_a_vote_takes_two_sources():
    with pytest.raises(FusionlabError) as refused:
        fuse(random_images(3, 9, 9), select="consistency", variant="authors")
    assert (refused.value.code, refused.value.option) == ("number-of-sources", "variant")


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    images = torch.arange(2 * 21 * 30, dtype=torch.float32).view(2, 21, 30).sin() * 100 + 128
    fused = fuse(images)
    assert np.square(fused.astype(float)).sum() == pytest.approx(15203463.165, rel=1e-6)


# ------------------------------------------------- tiles and sizes


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_it_looks_exactly_as_far_as_its_support(levels):
    """From some pixels: how far depends on where they lie on the grid of each level."""
    strategy, width = LaplacianPyramid(levels), 32 * 2**levels
    images = torch.from_numpy(random_images(2, 1, width)).expand(2, 33, width)[:, None, None]
    expected = strategy.fuse(images, Scene(sources=images))
    furthest = 0
    for column in range(width // 2, width // 2 + 2**levels):
        changed = images.clone()
        changed[..., column] += torch.tensor([50.0, -20.0]).view(2, 1, 1, 1)
        moved = strategy.fuse(changed, Scene(sources=images)) != expected
        furthest = max(furthest, (moved.nonzero()[:, -1] - column).abs().max().item())
    assert furthest == strategy.support


@pytest.mark.parametrize("levels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width", "tile"), [(301, 233, 64), (90, 400, 37), (65, 66, 16)])
@pytest.mark.parametrize(
    "options", [{}, {"select": "consistency"}, {"select": "consistency", "variant": "authors"}]
)
def test_tiles_give_exactly_the_whole_image(height, width, tile, levels, options):
    """Tiles that begin anywhere on the grid; with the odd sizes that halving leaves."""
    k = 2 if "variant" in options else 3
    sources = list(random_images(k, height, width).astype(np.uint8))
    strategy = LaplacianPyramid(levels, **options)
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, tile=edge)(sources)
        for edge in (10**6, tile)
    )
    assert np.array_equal(whole, tiled)


@pytest.mark.parametrize(
    ("shape", "levels"), [((2, 50), 0), ((3, 50), 1), ((5, 5), 2), ((9, 9), 3)]
)
def test_small_images_get_as_many_levels_as_they_have_room_for(shape, levels):
    images = random_images(2, *shape)
    expected = fuse(images, levels=levels) if levels else images.mean(axis=0)
    assert np.array_equal(fuse(images, levels=8), expected)


def test_gradients_reach_the_details_that_were_chosen():
    images = torch.from_numpy(random_images(2, 7, 8))[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: LaplacianPyramid().fuse(x, Scene(sources=x.detach())), (images,)
    )


@pytest.mark.parametrize("wrong", [{"levels": 0}, {"levels": 9}, {"select": "min"}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}'"):
        LaplacianPyramid(**wrong)


# ------------------------------------------------- through the program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, image in zip(("a", "b"), random_images(2, 53, 61), strict=True):
        (tmp_path / "pairs" / place).mkdir(parents=True)
        iio.imwrite(tmp_path / "pairs" / place / "1.png", image.round().astype(np.uint8))
    return tmp_path


def call(*args):
    return CliRunner().invoke(main, args, catch_exceptions=False)


def test_fuse_records_the_method_and_writes_what_the_reference_gives(folder):
    sources = [f"pairs/{place}/1.png" for place in "ab"]
    result = call(
        "fuse", "--strategy", "laplacian_pyramid", "--range", "clip", "--record", *sources
    )
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "fused.png.json").read_text())
    assert record["method"] == "identity/laplacian_pyramid,levels=4,select=max,variant=corrected"
    expected = reference([iio.imread(source).astype(float) for source in sources], 4)
    fused = iio.imread("fused.png").astype(float)
    assert np.abs(fused - expected.clip(0, 255)).max() <= 0.5 + 1e-4


def test_evaluate_compares_it_with_other_methods(folder):
    result = call(
        "evaluate",
        "pairs",
        "--method",
        "identity/laplacian_pyramid",
        "--method",
        "identity/mean",
        "--metrics",
        "EN,SD",
        "--json",
    )
    assert result.exit_code == 0, result.output


def test_check_finds_that_all_laws_hold():
    result = call("check", "laplacian_pyramid", "--law", "scale", "--law", "batch")
    assert result.exit_code == 0, result.output


def test_a_learned_backbone_and_weight_maps_are_refused():
    with pytest.raises(FusionlabError) as error:
        Fusion("densefuse", "laplacian_pyramid")
    assert error.value.code == "pixel-strategy"
    with pytest.raises(FusionlabError, match="no weight maps"):
        Fusion(strategy="laplacian_pyramid").fuse(list(random_images(2, 9, 9) / 255), weights=True)
