"""The choice of the most active source, by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.choose_max import ChooseMax


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, activity, r, border="inside"):
    """The rule in float64, pixel by pixel; no ties except where all are zero."""
    _, channels, height, width = features.shape
    x = np.abs(features.astype(np.float64))
    maps = {"l1": x.sum(1), "l2": np.sqrt((x**2).sum(1)), "linf": x.max(1)}[activity]
    padded = np.pad(maps, ((0, 0), (r, r), (r, r)), mode="reflect") if border == "reflect" else None
    fused = np.empty((channels, height, width))
    for y, x_ in np.ndindex(height, width):
        window = maps[
            :, max(0, y - r) : min(height, y + r + 1), max(0, x_ - r) : min(width, x_ + r + 1)
        ]
        if padded is not None:
            window = padded[:, y : y + 2 * r + 1, x_ : x_ + 2 * r + 1]
        sums = window.sum(axis=(1, 2))
        fused[:, y, x_] = features[sums.argmax(), :, y, x_] if sums.any() else 0
    return fused


def test_the_choice_by_hand():
    """l1 of 3 against 4 takes the second source with all its channels."""
    features = torch.tensor([[0.0, -3.0], [2.0, 2.0]]).view(2, 1, 2, 1, 1)
    rule = ChooseMax(r=0)
    assert rule.weights(features, scene(features)).flatten().tolist() == [0, 1]
    assert rule.fuse(features, scene(features)).flatten().tolist() == [2, 2]


@pytest.mark.parametrize(("activity", "winner"), [("l1", 0), ("l2", 1), ("linf", 2)])
def test_each_norm_can_choose_another_source(activity, winner):
    """Sums 12, 11, 9; Euclidean 6, 7.8, 7.6; strongest 3, 6, 7.5."""
    features = torch.tensor([[3.0, 3, 3, 3], [5, -6, 0, 0], [-7.5, 1, 0.5, 0]])
    features = features.view(3, 1, 4, 1, 1)
    weights = ChooseMax(activity, r=0).weights(features, scene(features)).flatten()
    assert weights.tolist() == [float(i == winner) for i in range(3)]


def test_a_window_overrules_a_single_pixel():
    features = torch.full((2, 1, 1, 5, 5), 1.0)
    features[0] = 2.0
    features[1, 0, 0, 2, 2] = 5.0
    chosen = ChooseMax(r=0).weights(features, scene(features))[1, 0, 0]
    assert chosen.sum() == chosen[2, 2] == 1
    assert ChooseMax(r=1).weights(features, scene(features))[1].sum() == 0


def test_ties_are_shared_by_those_who_tie():
    features = torch.tensor([4.0, -4.0, 1.0, 4.0, 0.0]).view(5, 1, 1, 1, 1)
    weights = ChooseMax().weights(features, scene(features)).flatten()
    torch.testing.assert_close(weights, torch.tensor([1, 1, 0, 1, 0]) / 3)


def test_equal_sums_of_gray_levels_tie_in_every_orientation():
    """A source and its shuffled pixels have the same sum; rounding must not choose between."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(1, 256, (1, 1, 1, 7, 7), generator=generator).float()
    other = one.flatten()[torch.randperm(49, generator=generator)].view_as(one)
    weights = ChooseMax(r=3).weights(torch.cat([one, other]), scene(one))
    assert weights[:, 0, 0, 3, 3].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("r", [0, 1, 7])
@pytest.mark.parametrize("activity", ["l1", "l2", "linf"])
def test_an_independent_program_in_float64_agrees(k, r, activity):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where no source is active
    tensor = torch.from_numpy(features)[:, None]
    fused = ChooseMax(activity, r).fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, activity, r), rtol=1e-6)


def test_the_mirrored_border_agrees_too():
    features = np.random.default_rng(4).normal(0, 50, (2, 4, 9, 8)).astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    fused = ChooseMax(r=4, border="reflect").fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, "l1", 4, "reflect"), rtol=1e-6)


def test_a_mirrored_window_wider_than_the_image_is_refused():
    features = torch.ones(2, 1, 1, 4, 9)
    with pytest.raises(FusionlabError, match="r = 4 needs an image larger than 4 pixels, got 9x4"):
        ChooseMax(r=4, border="reflect").fuse(features, scene(features))


def test_gradients_reach_the_chosen_source_only():
    features = torch.tensor([[1.0], [3.0]]).view(2, 1, 1, 1, 1).requires_grad_()
    ChooseMax().fuse(features, scene(features)).sum().backward()
    assert features.grad.flatten().tolist() == [0, 1]


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = ChooseMax().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-336.881717, abs=1e-3)
