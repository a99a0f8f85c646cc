"""Matrices, overlaps and the laws of each model."""

import numpy as np
import pytest

from fusionlab_registration import geometry

SIZE = (120, 160)


def test_resizing_keeps_the_outer_corners():
    matrix = geometry.resized(SIZE, (40, 320))
    np.testing.assert_allclose(
        geometry.apply(matrix, geometry.corners(SIZE)), geometry.corners((40, 320))
    )


def test_a_shift_by_half_the_width_leaves_half_the_overlap():
    matrix = np.array([[1, 0, 80], [0, 1, 0], [0, 0, 1.0]])
    assert geometry.area(geometry.overlap_polygon(matrix, SIZE, SIZE)) == pytest.approx(9600)


@pytest.mark.parametrize("matrix", [np.diag([-1.0, 1, 1]), np.diag([1.0, 0, 1])])
def test_what_mirrors_or_collapses_leaves_no_overlap(matrix):
    assert geometry.area(geometry.overlap_polygon(matrix, SIZE, SIZE)) == 0


def test_the_shape_of_a_similarity_is_its_rotation_and_scale():
    shape = geometry.shape(geometry.turned(np.radians(12), 1.3, (0, 0), (5, 6)), SIZE)
    assert shape["rotation"] == pytest.approx(12)
    assert shape["scale"] == pytest.approx(1.3)
    assert shape["anisotropy"] == pytest.approx(1)
    assert shape["perspective"] == pytest.approx(1)


@pytest.mark.parametrize("model", geometry.MODELS)
def test_a_matrix_of_a_model_is_its_own_nearest(model):
    matrix = {
        "translation": np.array([[1, 0, 3.5], [0, 1, -2], [0, 0, 1]]),
        "similarity": geometry.turned(0.2, 0.9, (0, 0), (5, 6)),
        "affine": np.array([[1.1, 0.2, 3], [-0.1, 0.9, 4], [0, 0, 1]]),
        "homography": np.array([[1.1, 0.2, 3], [-0.1, 0.9, 4], [1e-4, -2e-4, 1]]),
    }[model]
    np.testing.assert_allclose(geometry.restricted(matrix, model, SIZE), matrix, atol=1e-9)
