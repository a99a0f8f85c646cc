"""The wavelet transform against PyWavelets, by hand, in tiles, and the laws of the strategy."""

import numpy as np
import pytest
import pywt
import torch
from scipy.ndimage import correlate, maximum_filter

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.dwt import DWT, analyzed, synthesized

each_wavelet = pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "bior4.4", "coif1"])


def test_laws_hold_for_a_few_inputs(broken_laws):
    assert not broken_laws(DWT)


@pytest.mark.slow
class TestLaws(StrategyLaws):
    strategy = DWT
    parameters = DWT(), DWT(wavelet="haar", levels=2)


def fuse(images, **parameters):
    features = torch.as_tensor(np.asarray(images, dtype=np.float64))[:, None, None]
    return DWT(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


@each_wavelet
@pytest.mark.parametrize("shape", [(20, 31), (17, 16), (9, 9)])
def test_the_transform_is_that_of_pywavelets(wavelet, shape):
    (image,) = random_images(1, *shape)
    bands = analyzed(torch.tensor(image), pywt.Wavelet(wavelet))
    low, details = pywt.dwt2(image, wavelet, mode="symmetric")
    for band, expected in zip(bands, (low, details[1], details[0], details[2]), strict=True):
        np.testing.assert_allclose(band, expected, atol=1e-10)
    restored = synthesized(bands, pywt.Wavelet(wavelet))
    np.testing.assert_allclose(restored[: shape[0], : shape[1]], image, atol=1e-9)


def voted(bands):
    maxima = maximum_filter(np.abs(bands), (1, 3, 3), mode="constant")
    wins = maxima == maxima.max(axis=0)
    votes = [correlate(win.astype(int), np.ones((3, 3), int), mode="constant") for win in wins]
    winners = votes == np.max(votes, axis=0)
    return (bands * winners).sum(axis=0) / winners.sum(axis=0)


@each_wavelet
@pytest.mark.parametrize("k", [2, 3])
def test_pywavelets_fuses_alike(wavelet, k):
    images = random_images(k, 53, 61)
    levels = min(3, pywt.dwt_max_level(53, pywt.Wavelet(wavelet).dec_len))
    each = [pywt.wavedec2(image, wavelet, "symmetric", levels) for image in images]
    low = np.mean([coefficients[0] for coefficients in each], axis=0)
    details = [
        tuple(voted(np.stack([c[level][band] for c in each])) for band in range(3))
        for level in range(1, levels + 1)
    ]
    expected = pywt.waverec2([low, *details], wavelet, "symmetric")[:53, :61]
    np.testing.assert_allclose(fuse(images, wavelet=wavelet, levels=3), expected, atol=1e-9)


def test_haar_by_hand():
    """One block: approximations are averaged, the strongest of each detail is kept."""
    fused = fuse([[[10, 10], [10, 10]], [[0, 4], [0, 4]]], wavelet="haar", levels=1)
    np.testing.assert_allclose(fused, [[4, 8], [4, 8]])


@each_wavelet
def test_tiles_give_the_whole_image(wavelet):
    sources = list(random_images(2, 150, 233).astype(np.uint8))
    strategy = DWT(wavelet=wavelet, levels=2)
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, tile=tile)(sources) for tile in (10**6, 50)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_an_unknown_wavelet_is_refused():
    with pytest.raises(FusionlabError) as refused:
        DWT(wavelet="mexh")
    assert (refused.value.code, refused.value.option) == ("no-wavelet", "wavelet")


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    fused = fuse(100 * np.sin(np.arange(2 * 21 * 30.0).reshape(2, 21, 30)) + 128)
    assert np.square(fused).sum() == pytest.approx(13792922.604, rel=1e-6)
