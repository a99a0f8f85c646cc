"""The strategies that weight each source by an activity: l1norm, l2norm, linf, sml and
spatial_frequency, by hand and against independent programs in float64.
"""

import numpy as np
import pytest
import torch

from fusionlab import ActivityStrategy, FusionlabError, Scene
from fusionlab.parameters import params_of
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.l2norm import L2Norm
from fusionlab_strategies.linf import LInf
from fusionlab_strategies.sml import SML
from fusionlab_strategies.spatial_frequency import SpatialFrequency


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def weights(strategy, features):
    return strategy.weights(features, scene(features))


def fuse(strategy, features):
    """Fuse features (k, C, h, w), an array."""
    tensor = torch.from_numpy(features)[:, None]
    return strategy.fuse(tensor, scene(tensor))[0].numpy()


# ------------------------------------------------- the formulas, pixel by pixel in float64


def curvatures(x):
    """|2 phi - phi_left - phi_right| + |2 phi - phi_up - phi_down|, the border pixel repeated."""
    total = np.zeros((x.shape[0], *x.shape[2:]))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    for i, j in np.ndindex(x.shape[2:]):
        for di, dj in ((0, 1), (1, 0)):
            before, after = (
                padded[:, :, i + 1 - di, j + 1 - dj],
                padded[:, :, i + 1 + di, j + 1 + dj],
            )
            total[:, i, j] += np.abs(2 * x[:, :, i, j] - before - after).sum(axis=1)
    return total


def squared_differences(x):
    """Half the squared differences to the neighbors inside the image."""
    height, width = x.shape[2:]
    total = np.zeros((x.shape[0], height, width))
    for i, j in np.ndindex(height, width):
        for v, u in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= v < height and 0 <= u < width:
                total[:, i, j] += ((x[:, :, i, j] - x[:, :, v, u]) ** 2).sum(axis=1) / 2
    return total


ACTIVITIES = {
    L1Norm: lambda x: np.abs(x).sum(axis=1),  # Eq. 5
    L2Norm: lambda x: np.sqrt((x**2).sum(axis=1)),
    LInf: lambda x: np.abs(x).max(axis=1),
    SML: curvatures,
    SpatialFrequency: squared_differences,
}
WITH_BORDER = [L1Norm, L2Norm, LInf]


def reference(cls, features, r, border="inside"):
    """Fuse features (k, C, h, w) with zeros beyond the border and (2r+1)^2 in the denominator."""
    k, _, height, width = features.shape
    mode = "reflect" if border == "reflect" else "constant"
    activity = ACTIVITIES[cls](features.astype(np.float64))
    padded = np.pad(activity, ((0, 0), (r, r), (r, r)), mode=mode)
    fused = np.empty(features.shape[1:])
    for i, j in np.ndindex(height, width):
        averaged = padded[:, i : i + 2 * r + 1, j : j + 2 * r + 1].mean(axis=(1, 2))  # Eq. 6
        total = averaged.sum()
        w = averaged / total if total > 0 else np.full(k, 1 / k)  # Eq. 7
        fused[:, i, j] = w @ features[:, :, i, j]
    return fused


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("r", [0, 1, 2, 5, 7])
@pytest.mark.parametrize("cls", ACTIVITIES)
def test_an_independent_program_in_float64_agrees(cls, r, k):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where no source is active
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(
        fuse(cls(r=r), features), reference(cls, features, r), rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize("r", [1, 4])
@pytest.mark.parametrize("cls", WITH_BORDER)
def test_the_mirrored_border_agrees_too(cls, r):
    features = np.random.default_rng(r).normal(0, 50, (2, 4, 9, 8)).astype(np.float32)
    fused = fuse(cls(r=r, border="reflect"), features)
    np.testing.assert_allclose(fused, reference(cls, features, r, "reflect"), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
@pytest.mark.parametrize("cls", ACTIVITIES)
def test_images_of_one_row_or_column_agree_too(cls, shape):
    features = np.random.default_rng(0).normal(size=(2, 3, *shape)).astype(np.float32)
    np.testing.assert_allclose(
        fuse(cls(), features), reference(cls, features, cls().r), rtol=1e-5, atol=1e-6
    )


# ------------------------------------------------- what all of them share


@pytest.mark.parametrize("cls", ACTIVITIES)
def test_they_are_activity_strategies_and_have_these_parameters(cls):
    assert issubclass(cls, ActivityStrategy)
    parameters = ["r", "border"] if cls in WITH_BORDER else ["r"]
    assert [parameter.name for parameter in params_of(cls)] == parameters


@pytest.mark.parametrize("cls", WITH_BORDER)
def test_a_mirrored_window_wider_than_the_image_is_refused(cls):
    features = torch.ones(2, 1, 1, 4, 9)
    with pytest.raises(FusionlabError, match="r = 4 needs an image larger than 4 pixels, got 9x4"):
        cls(r=4, border="reflect").fuse(features, scene(features))


@pytest.mark.parametrize("cls", ACTIVITIES)
def test_a_window_wider_than_the_image_is_the_mean_of_the_image(cls):
    features = np.random.default_rng(0).normal(0, 50, (3, 2, 4, 5)).astype(np.float32)
    means = torch.from_numpy(ACTIVITIES[cls](features.astype(np.float64)).mean(axis=(1, 2)))
    everywhere = weights(cls(r=64), torch.from_numpy(features)[:, None])
    expected = (means / means.sum()).float().view(3, 1, 1, 1, 1).expand_as(everywhere)
    torch.testing.assert_close(everywhere, expected)


@pytest.mark.parametrize("r", [0, 1, 3])
@pytest.mark.parametrize("cls", ACTIVITIES)
def test_they_look_exactly_as_far_as_their_support(cls, r):
    features = torch.randn(2, 1, 1, 1, 12, generator=torch.Generator().manual_seed(0))
    changed, strategy = features.clone(), cls(r=r)
    changed[1, ..., -1] += 100
    moved = weights(strategy, features) != weights(strategy, changed)
    assert strategy.support == r + (cls in (SML, SpatialFrequency))
    assert moved[0, 0, 0, 0].tolist() == [x >= 11 - strategy.support for x in range(12)]


@pytest.mark.parametrize(
    ("cls", "total"),
    [
        (L1Norm, -15.3769083),
        (L2Norm, -5.959285),
        (LInf, -18.358919),
        (SML, -16.730146),
        (SpatialFrequency, -6.142946),
    ],
)
def test_pinned_values(cls, total):
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = cls().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(total, abs=1e-3)


# ------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("cls", "sources", "first", "fused"),
    [
        # activities |1| + |-3| = 4 and |2| + |10| = 12
        (L1Norm, [[1.0, -3.0], [2.0, 10.0]], 0.25, [1.75, 6.75]),
        # norms |(3, -4)| = 5 and |(0, 15)| = 15
        (L2Norm, [[3.0, -4.0], [0.0, 15.0]], 0.25, [0.75, 10.25]),
        # strongest channels |-6| and 2, though the second source has the larger sum
        (LInf, [[1.0, -6.0, 0.0], [2.0, 2.0, 2.0]], 0.75, [1.25, -4.0, 0.5]),
    ],
)
def test_a_single_pixel_by_hand(cls, sources, first, fused):
    features = torch.tensor(sources).view(2, 1, -1, 1, 1)
    torch.testing.assert_close(
        weights(cls(r=0), features).flatten(), torch.tensor([first, 1 - first])
    )
    torch.testing.assert_close(
        cls(r=0).fuse(features, scene(features)).flatten(), torch.tensor(fused)
    )


@pytest.mark.parametrize(
    ("cls", "rows", "first"),
    [
        # a slope has no curvature except at its ends, where the border pixel is repeated:
        # source 1: 1, 0, 0, 1; source 2: 0, 3, 6, 3
        (SML, [[1.0, 2, 3, 4], [0, 0, 3, 0]], [1, 0, 0, 0.25]),
        # halves of squares: source 1 has 2, 2, 0, 0, source 2 has 0, 8, 8, 0
        (SpatialFrequency, [[1.0, 3, 3, 3], [0, 0, 4, 4]], [1, 0.2, 0, 0.5]),
    ],
)
def test_a_row_of_pixels_by_hand(cls, rows, first):
    features = torch.tensor(rows).view(2, 1, 1, 1, 4)
    torch.testing.assert_close(weights(cls(r=0), features)[0].flatten(), torch.tensor(first))


def test_eq_6_by_hand():
    """Source 1 is active in one corner pixel; a window of 3x3 spreads that over its neighbors."""
    features = torch.zeros(2, 1, 1, 3, 3)
    features[0, 0, 0, 0, 0] = 9.0
    features[1] = 1.0
    # at the corner the window holds 4 pixels: 9/4 against 1; in the middle all 9: 1 against 1
    expected = [[2.25 / 3.25, 1.5 / 2.5, 0], [1.5 / 2.5, 1 / 2, 0], [0, 0, 0]]
    torch.testing.assert_close(weights(L1Norm(r=1), features)[0, 0, 0], torch.tensor(expected))


# ------------------------------------------------- what only one of them does


def test_l2norm_averages_norms_and_not_squares():
    """Source 1 has 5 in one of two pixels: 2.5 in both; the root of the mean square is 3.5."""
    features = torch.zeros(2, 1, 2, 1, 2)
    features[0, 0, :, 0, 0] = torch.tensor([3.0, 4.0])
    features[1, 0, 0] = 2.5
    halves = weights(L2Norm(r=1), features)
    torch.testing.assert_close(halves, torch.full_like(halves, 0.5))


@pytest.mark.parametrize("cls", [L2Norm, LInf])
def test_with_one_channel_all_norms_are_l1norm(cls):
    features = torch.randn(5, 2, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        cls(r=2).fuse(features, scene(features)), L1Norm(r=2).fuse(features, scene(features))
    )


def test_linf_averages_the_strongest_channels():
    """Different channels may lead in different pixels: the mean of 6 and 2 in both."""
    features = torch.zeros(2, 1, 2, 1, 2)
    features[0, 0, :, 0] = torch.tensor([[6.0, 0.0], [0.0, -2.0]])
    features[1] = 12.0
    assert weights(LInf(r=1), features).flatten().tolist() == [0.25, 0.25, 0.75, 0.75]


def test_the_curvatures_of_a_saddle_do_not_cancel_in_sml():
    """x^2 - y^2 has no Laplacian; its modified Laplacian is 2 + 2 inside."""
    x = torch.arange(5.0)
    features = torch.stack([x[None] ** 2 - x[:, None] ** 2, 2 * x[None] ** 2 + 0 * x[:, None]])
    halves = weights(SML(r=0), features.view(2, 1, 1, 5, 5))
    assert (halves[:, ..., 1:-1, 1:-1] == 0.5).all()


def test_twice_the_contrast_weighs_four_times_as_much_in_spatial_frequency():
    features = torch.rand(1, 1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    second = weights(SpatialFrequency(r=2), torch.cat([features, 2 * features]))[1]
    torch.testing.assert_close(second, torch.full_like(second, 0.8))


@pytest.mark.parametrize("cls", [SML, SpatialFrequency])
def test_flat_sources_weigh_the_same_whatever_their_level(cls):
    """A bright border is no edge: only changes inside the image count."""
    features = torch.tensor([255.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 1, 3, 4, 5)
    halves = weights(cls(), features)
    assert torch.equal(halves, torch.full_like(halves, 0.5))
