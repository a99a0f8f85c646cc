"""Transforms between pixel grids."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.registration.transform import MODELS, Transform, corners_of

FIXED, MOVING = (40, 30), (64, 50)
EXAMPLES = {
    "translation": [[1, 0, 3.5], [0, 1, -2], [0, 0, 1]],
    "similarity": [[1.5, -0.2, 3], [0.2, 1.5, 1], [0, 0, 1]],
    "affine": [[1.6, 0.1, 0], [-0.05, 1.4, 2], [0, 0, 1]],
    "homography": [[1.6, 0.1, 0], [-0.05, 1.4, 2], [1e-3, -5e-4, 1]],
}


def example(model):
    return Transform(EXAMPLES[model], FIXED, MOVING, model)


@pytest.mark.parametrize("model", MODELS)
def test_the_inverse_leads_back(model):
    points = np.random.default_rng(0).random((7, 2)) * FIXED
    transform = example(model)
    back = transform.inverse()
    assert (back.fixed, back.moving) == (MOVING, FIXED)
    np.testing.assert_allclose(back(transform(points)), points, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_a_transform_survives_json_to_the_last_bit(model):
    transform = example(model)
    copy = Transform.from_json(json.loads(json.dumps(transform.to_json())))
    assert (copy.matrix == transform.matrix).all()
    assert (copy.fixed, copy.moving, copy.model) == (FIXED, MOVING, model)


def test_a_chain_applies_the_first_one_first():
    first, second = example("similarity"), Transform(EXAMPLES["homography"], MOVING, (99, 98))
    chain = second.after(first)
    points = np.array([[0.0, 0], [10, 20], [39, 29]])
    np.testing.assert_allclose(chain(points), second(first(points)), atol=1e-12)
    assert chain.model == "homography"
    with pytest.raises(FusionlabError, match="chained"):
        first.after(second)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("given_model", MODELS)
def test_a_matrix_must_belong_to_its_model(model, given_model):
    if MODELS.index(model) <= MODELS.index(given_model):
        assert Transform(EXAMPLES[model], FIXED, MOVING, given_model).model == given_model
    else:
        with pytest.raises(FusionlabError, match=f"not a {given_model}") as caught:
            Transform(EXAMPLES[model], FIXED, MOVING, given_model)
        assert caught.value.code == "bad-transform"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((3, 3)), "last entry"),
        (np.diag([1, 1, np.nan]), "finite"),
        (np.diag([-1, 1, 1]), "mirror"),
        (np.diag([1, 0, 1]), "mirror"),
        ([[1, 0, 0], [0, 1, 0], [-0.1, 0, 1]], "in front of the camera"),
        (np.eye(2), "3x3"),
        ("abc", "3x3"),
        ([[10**400, 0, 0], [0, 1, 0], [0, 0, 1]], "3x3"),
    ],
)
def test_a_matrix_that_is_no_view_is_refused(matrix, message):
    with pytest.raises(FusionlabError, match=message):
        Transform(matrix, FIXED, MOVING)


@pytest.mark.parametrize(
    "damage",
    [
        {"model": "rigid"},
        {"model": 3},
        {"matrix": [[1, 0], [0, 1]]},
        {"matrix": [["1", 0, 0], [0, 1, 0], [0, 0, 1]]},
        {"matrix": [[True, 0, 0], [0, 1, 0], [0, 0, 1]]},
        {"fixed": [40]},
        {"fixed": [40, -30]},
        {"moving": None},
    ],
)
def test_damaged_json_is_refused(damage):
    with pytest.raises(FusionlabError) as caught:
        Transform.from_json(example("translation").to_json() | damage)
    assert caught.value.code == "bad-transform"


def test_steps_say_how_fine_the_moving_image_is():
    np.testing.assert_allclose(Transform(np.diag([2.5, 4, 1]), FIXED, MOVING).steps, (2.5, 4))
    turned = [[0, -3, 90], [3, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(Transform(turned, FIXED, MOVING, "similarity").steps, (3, 3))


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_the_displacement_of_a_shift_is_its_length(x, y):
    moved = Transform([[1, 0, x], [0, 1, y], [0, 0, 1]], FIXED, FIXED, "translation")
    assert moved.displacement(Transform.identity(FIXED)) == pytest.approx(np.hypot(x, y))


def test_corners_are_centers_of_pixels():
    assert corners_of((4, 3)).tolist() == [[0, 0], [3, 0], [3, 2], [0, 2]]
