"""Exposure fusion against OpenCV's program, by hand, in tiles, and its laws."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.mertens import Mertens

GOLDEN = Path(__file__).parent / "golden" / "mertens"
SPEC = importlib.util.spec_from_file_location("make_opencv", GOLDEN / "make_opencv.py")
make_opencv = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_opencv)


def test_laws_hold_for_a_few_inputs(broken_laws):
    assert not broken_laws(Mertens)


@pytest.mark.slow
class TestLaws(StrategyLaws):
    strategy = Mertens


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (32, 128)])
def test_opencv_gives_the_same(size, channels):
    expected = np.load(GOLDEN / "opencv.npz")["x".join(map(str, (*size, channels)))]
    images = list(make_opencv.exposures(*size, channels).squeeze())
    fused = Fusion("identity", Mertens(), range_policy=None, color="per-channel")(
        [image.astype(np.float32) / 255 for image in images]
    )
    # a hundredth of a gray level: OpenCV computes in single precision, and weights are ratios of
    # products of small numbers
    np.testing.assert_allclose(fused, expected, atol=4e-5)


def fuse(images, color=None, **parameters):
    """Fuse gray images (k, h, w) in 0..255."""
    features = torch.as_tensor(np.asarray(images, dtype=np.float64))[:, None, None]
    scene = Scene(sources=features / 255, read_color=None if color is None else lambda: color)
    return Mertens(**parameters).fuse(features, scene)[0, 0].numpy()


def test_only_good_exposure_by_hand():
    """One pixel: weights exp(-d^2 / 0.08) with d = 0.5 and 0.1."""
    weights = np.exp([-0.25 / 0.08, -0.01 / 0.08])
    expected = weights @ [255, 0.6 * 255] / weights.sum()
    fused = fuse([[[255.0]], [[0.6 * 255]]], contrast=0)
    np.testing.assert_allclose(fused, expected)


def test_a_colorful_source_outweighs_a_gray_one():
    color = torch.full((2, 1, 3, 8, 8), 0.5, dtype=torch.float64)
    color[0, :, 0] = 0.8
    fused = fuse([np.full((8, 8), 100), np.full((8, 8), 50)], color, contrast=0, exposure=0)
    np.testing.assert_allclose(fused, 100, atol=1e-6)


@given(st.integers(0, 99))
@settings(max_examples=10)
def test_transposed_images_give_the_result_transposed(seed):
    images = np.random.default_rng(seed).uniform(0, 255, (3, 13, 16))
    turned = fuse(images.transpose(0, 2, 1))
    np.testing.assert_allclose(turned, fuse(images).T, atol=1e-9)


def test_tiles_give_the_whole_image():
    sources = list(make_opencv.exposures(150, 131, 3))
    strategy = Mertens(levels=3)
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, color="per-channel", tile=tile)(sources)
        for tile in (10**6, 64)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    fused = fuse(make_opencv.exposures(21, 30, 1)[..., 0])
    assert np.square(fused).sum() == pytest.approx(7028175.001, rel=1e-6)
