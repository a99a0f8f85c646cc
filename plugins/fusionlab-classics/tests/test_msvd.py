"""MSVD against the images of its authors' program, by hand, and its laws."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import Fusion, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics import msvd
from fusionlab_classics.msvd import MSVD

GOLDEN = Path(__file__).parent / "golden"
ORACLE = Path(__file__).parents[4] / "shared" / "oracle" / "comparators"
EVAL = Path(__file__).parents[4] / "shared" / "data" / "eval"

FLIPPED = {
    # which vectors of the infrared image had a positive first component in the authors' run
    "s64": ([1, -1, 1, -1], [1, 1, 1, 1]),
    "s61": ([1, 1, -1, -1], [1, 1, -1, -1]),
}


def pair(name):
    images = [iio.imread(GOLDEN / "synthetic" / f"{name}_{kind}.png") for kind in ("ir", "vi")]
    return torch.tensor(np.array(images), dtype=torch.float64)[:, None, None]


def scene(features):
    return Scene(sources=features / 255)


def stretched(fused):
    values = fused[0, 0].numpy()
    return np.floor((values - values.min()) / np.ptp(values) * 255 + 0.5)


@pytest.mark.parametrize("name", FLIPPED)
def test_with_the_signs_of_the_authors_run_the_image_is_that_of_their_program(name):
    features, method = pair(name), MSVD(variant="authors")
    gram = method.statistics(features, scene(features))["gram"]
    signs = torch.tensor(FLIPPED[name], dtype=torch.float64)[:, None, None, None, :]
    bases = msvd.first_component_negative(msvd.singular_vectors(gram)[0]) * signs
    even = method._even(features, scene(features))
    blocks = msvd.merge(msvd.to_blocks(even), bases, first_wins=True)
    fused = msvd.from_blocks(blocks, even.shape[-2:])
    expected = iio.imread(GOLDEN / "msvd" / f"{name}.png")
    np.testing.assert_array_equal(stretched(fused), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["08", "01"])
def test_with_aligned_vectors_a_real_image_is_that_of_the_authors(name):
    if not ORACLE.is_dir():
        pytest.skip("the authors' images of real pairs are not at hand")
    images = [iio.imread(EVAL / "tno20" / folder / f"{name}.png") for folder in "ab"]
    features = torch.tensor(np.array(images), dtype=torch.float64)[:, None, None]
    fused = MSVD().fuse(features, scene(features))
    expected = iio.imread(ORACLE / "msvd" / f"{name}.png")
    np.testing.assert_array_equal(stretched(fused), expected)


def test_blocks_and_back():
    maps = torch.arange(16.0).view(1, 4, 4)
    blocks = msvd.to_blocks(maps)
    assert blocks[0, :, 0].tolist() == [0, 4, 1, 5]
    assert blocks[0, :, 1].tolist() == [2, 6, 3, 7]
    assert torch.equal(msvd.from_blocks(blocks, (4, 4)), maps)


def test_by_hand():
    """One block each, along the axes (1, 1, 1, 1)/2: approximations 200 and 100, no details."""
    features = torch.tensor([100.0, 50]).view(2, 1, 1, 1, 1).expand(2, 1, 1, 2, 2)
    fused = MSVD().fuse(features, scene(features))
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 2), 75.0))


def test_opposite_vectors_do_not_cancel():
    bases = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    bases[1] *= torch.tensor([1, -1, 1, -1])
    strengths = torch.tensor([4.0, 3, 2, 1]).expand(3, 4)
    aligned = msvd.align(bases, strengths)
    torch.testing.assert_close(aligned.mean(dim=0).abs(), torch.eye(4, dtype=torch.float64))


def test_a_black_source_halves_the_approximation_and_leaves_the_details():
    features = torch.zeros(2, 1, 1, 6, 8, dtype=torch.float64)
    features[1] = 100 + 50 * torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    fused = MSVD().fuse(features, scene(features))
    image = features[1]
    gram = MSVD().statistics(features, scene(features))["gram"][1]
    vectors = msvd.singular_vectors(gram)[0]
    coefficients = vectors.mT @ msvd.to_blocks(image)
    coefficients[..., 0, :] /= 2
    expected = msvd.from_blocks(vectors @ coefficients, (6, 8))
    torch.testing.assert_close(fused, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 2), (31, 40)])
@pytest.mark.parametrize("variant", ["corrected", "authors"])
def test_any_size_gives_an_image_of_that_size(size, variant):
    generator = torch.Generator().manual_seed(0)
    features = 255 * torch.rand(3, 2, 1, *size, generator=generator)
    fused = MSVD(variant=variant).fuse(features, scene(features))
    assert fused.shape == features.shape[1:]
    assert fused.isfinite().all()


@pytest.mark.parametrize("tile", [16, 17, 23])
def test_tiles_of_odd_size_share_no_block(tile):
    images = list(np.random.default_rng(0).uniform(0, 1, (2, 53, 61)))
    whole = Fusion("identity", MSVD(), range_policy=None, tile=99).fuse(images).image
    tiled = Fusion("identity", MSVD(), range_policy=None, tile=tile).fuse(images).image
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


class TestMSVD(StrategyLaws):
    strategy = MSVD
