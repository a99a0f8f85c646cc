"""What the gate counts, on figures."""

import numpy as np
import pytest

from fusionlab_registration import gate, geometry
from fusionlab_registration.agreement import Agreement, agreement
from fusionlab_registration.fit import Images

SIZE = (120, 160)


def agreeing(surprise):
    return Agreement(40, 20, surprise, 0.8)


def test_standing_out_is_worth_one_and_a_half_points_at_most():
    assert gate.score(agreeing(4.0), 100, 100) == 4.0
    assert gate.score(agreeing(4.0), 200, 100) == 5.5
    assert gate.score(agreeing(4.0), 1e9, 1) == 5.5
    assert gate.score(agreeing(0.0), 1e9, 1) < gate.NEEDED


def test_the_confidence_is_a_half_at_the_score_that_is_needed():
    assert gate.confidence(gate.NEEDED) == 0.5
    assert gate.confidence(0) < 0.05
    assert gate.confidence(20) > 0.999


@pytest.mark.parametrize(
    ("matrix", "word"),
    [
        (geometry.turned(np.radians(40), 1, (0, 0), (0, 0)), "rotation"),
        (geometry.turned(0, 2.2, (0, 0), (0, 0)), "scale"),
        (np.diag([1.5, 1, 1]), "anisotropy"),
        (np.array([[1, 0, 0], [0, 1, 0], [0.0031, 0, 1]]), "perspective"),
        (np.diag([-1.0, 1, 1]), "scale"),
        (geometry.turned(np.radians(20), 1.5, (0, 0), (0, 0)), ""),
    ],
)
def test_a_matrix_beyond_the_limits_is_named(matrix, word):
    assert gate.implausible(matrix, SIZE, SIZE).startswith(f"a {word} of" if word else "")
    assert bool(gate.implausible(matrix, SIZE, SIZE)) == bool(word)


def test_the_scale_counts_relative_to_images_of_one_area():
    assert not gate.implausible(geometry.resized(SIZE, (480, 640)), SIZE, (480, 640))


def test_blocks_agree_where_an_image_lies_on_itself_and_nowhere_else(made, pair):
    images = Images(pair[0], pair[0])
    here = agreement(images, np.eye(3))
    # a block with little in it may find a better score beside: few pixels that agree exactly
    assert here.agreeing > 0.9 * here.blocks > 20
    far = agreement(images, np.array([[1, 0, 40], [0, 1, 25], [0, 0, 1.0]]))
    assert far.surprise < 2
    assert agreement(images, np.array([[1, 0, 1e4], [0, 1, 0], [0, 0, 1.0]])).blocks == 0
