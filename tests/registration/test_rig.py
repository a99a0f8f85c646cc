"""One transform for a camera rig."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.registration.rig import estimate_rig, fit
from fusionlab.registration.transform import MODELS, Transform, corners_of

SIZE = (360, 270)
TRUTH = {
    "translation": [[1, 0, 4.2], [0, 1, -3], [0, 0, 1]],
    "similarity": [[1.03, -0.02, 3], [0.02, 1.03, 1], [0, 0, 1]],
    "affine": [[1.03, 0.01, 3], [-0.02, 0.99, 2], [0, 0, 1]],
    "homography": [[1.03, 0.01, 3], [-0.02, 0.99, 2], [1e-4, -5e-5, 1]],
}


def noisy(model, seed, pixels):
    """Return an estimate whose corners are off by a normal distribution."""
    rng = np.random.default_rng(seed)
    corners = corners_of(SIZE)
    moved = Transform(TRUTH[model], SIZE, SIZE, model)(corners)
    matrix = fit(corners, moved + rng.normal(0, pixels, moved.shape), model)
    return Transform(matrix, SIZE, SIZE, model)


@pytest.mark.parametrize("model", MODELS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_exact_points_give_back_the_matrix(model, seed):
    points = np.random.default_rng(seed).random((9, 2)) * SIZE
    truth = Transform(TRUTH[model], SIZE, SIZE, model)
    np.testing.assert_allclose(fit(points, truth(points), model), truth.matrix, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_a_minority_of_wrong_estimates_changes_nothing(model):
    truth = Transform(TRUTH[model], SIZE, SIZE, model)
    right = [noisy(model, seed, 0.5) for seed in range(8)]
    wrong = [noisy(model, seed, 40) for seed in range(100, 103)]
    rig = estimate_rig([*right, *wrong], pairs=12)
    assert rig.agreeing == (True,) * 8 + (False,) * 3
    assert rig.transform.displacement(truth) < 0.8  # 0.5 / sqrt(8) per coordinate, four corners
    assert rig.transform.displacement(estimate_rig(right, 8).transform) < 1e-9
    assert rig.spread < 2 < min(rig.distances[8:])


def test_one_estimate_of_all_is_itself():
    estimate = noisy("homography", 1, 1)
    rig = estimate_rig([estimate] * 3, 3)
    np.testing.assert_allclose(rig.transform.matrix, estimate.matrix, atol=1e-9)
    assert rig.spread < 1e-9


@pytest.mark.parametrize(
    ("estimates", "code", "message"),
    [
        ([noisy("affine", seed, 0) for seed in range(2)], "no-rig", "only 2 of 9 pairs"),
        (
            [noisy("affine", seed, 0) for seed in range(2)]
            + [Transform(TRUTH["affine"], (36, 27), SIZE, "affine")],
            "mixed-sizes",
            "same sizes",
        ),
    ],
)
def test_what_does_not_agree_is_refused(estimates, code, message):
    with pytest.raises(FusionlabError, match=message) as caught:
        estimate_rig(estimates, 9)
    assert caught.value.code == code


def test_two_camps_are_refused():
    near = [noisy("translation", seed, 0.1) for seed in range(2)]
    far = [
        Transform([[1, 0, 80 + 200 * n], [0, 1, 90], [0, 0, 1]], SIZE, SIZE, "translation")
        for n in range(3)
    ]
    with pytest.raises(FusionlabError, match="agree") as caught:
        estimate_rig([*near, *far], 5)
    assert caught.value.code == "no-rig"
