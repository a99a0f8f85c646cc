"""Majorities by hand, of many sources, in tiles, and with wrong names."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab_strategies.majority import Majority


def weights(features, **parameters):
    """Return the weights (k, h, w) of features (k, h, w)."""
    features = torch.as_tensor(features)[:, None, None]
    return Majority(**parameters).weights(features, Scene(sources=features))[:, 0, 0].numpy()


@pytest.mark.parametrize("k", [2, 3, 5])
def test_every_pixel_takes_the_source_that_wins_most_of_its_window(k):
    features = np.random.default_rng(0).uniform(0, 1, (k, 9, 11))
    winners = features.argmax(axis=0)
    actual = weights(features, r=1, of="l1norm;r:0")
    for y, x in np.ndindex(9, 11):
        window = winners[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        votes = np.bincount(window.ravel(), minlength=k)
        wins = votes == votes.max()
        np.testing.assert_allclose(actual[:, y, x], wins / wins.sum())


def test_an_island_is_removed_and_an_edge_stays():
    features = np.ones((2, 20, 20))
    features[0, :, 10:] = 2
    features[1, :, :10] = 2
    features[1, 4:6, 14:16] = 9
    expected = np.broadcast_to(np.arange(20) >= 10, (20, 20))
    np.testing.assert_array_equal(weights(features, r=2, of="l1norm;r:0")[0], expected)


def test_the_index_map_of_a_focus_stack_has_no_islands():
    rng = np.random.default_rng(0)
    sharp = rng.uniform(0, 255, (60, 90))
    blurred = np.full_like(sharp, sharp.mean()) + rng.normal(0, 1, sharp.shape)
    strip = np.arange(90) // 30
    sources = [np.where(strip == n, sharp, blurred).astype(np.uint8) for n in range(3)]
    index = Fusion("identity", "majority,r=4,of=sml;r:2").fuse(sources, weights=True).index
    np.testing.assert_array_equal(index[:, 5:25], 0)
    np.testing.assert_array_equal(index[:, 35:55], 1)
    np.testing.assert_array_equal(index[:, 65:85], 2)
    assert (np.diff(index.astype(int), axis=1) >= 0).all()


def test_tiles_give_the_whole_image_with_weights_that_need_statistics():
    sources = list(np.random.default_rng(0).uniform(0, 1, (2, 70, 90)))
    method = "majority,r=3,of=saliency"
    whole = Fusion("identity", method, range_policy=None, tile=10**4)(sources)
    np.testing.assert_array_equal(
        Fusion("identity", method, range_policy=None, tile=32)(sources), whole
    )


def test_the_support_is_that_of_the_votes_and_the_weights():
    assert Majority(r=3, of="l1norm;r:4").support == 3 + 4
    assert Majority(of="saliency").two_pass


@pytest.mark.parametrize(("name", "code"), [("max", "not-weights"), ("nothing", "unknown-name")])
def test_what_does_not_weight_the_sources_is_refused(name, code):
    with pytest.raises(FusionlabError) as error:
        Majority(of=name)
    assert error.value.code == code
