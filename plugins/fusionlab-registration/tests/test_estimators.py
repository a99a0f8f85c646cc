"""Known warps are found again, and what cannot be registered is refused with its reason."""

import inspect

import cv2
import numpy as np
import pytest

from fusionlab_registration import fusionlab_registrations, geometry
from fusionlab_registration.ecc import ecc
from fusionlab_registration.fields import field
from fusionlab_registration.mutual_information import mutual_information
from fusionlab_registration.phase import phase

SIMILARITY = geometry.turned(np.radians(7), 1.08, (83.5, 63.5), (87, 61))
AFFINE = SIMILARITY @ np.array([[1.02, 0.03, 0], [0, 0.98, 0], [0, 0, 1]])
WARPS = {
    "translation": np.array([[1, 0, 5.3], [0, 1, -3.6], [0, 0, 1]]),
    "similarity": SIMILARITY,
    "affine": AFFINE,
    "homography": geometry.unit(AFFINE @ np.array([[1, 0, 0], [0, 1, 0], [2e-4, -3e-4, 1]])),
}
SLOW = [
    pytest.param(estimator, model, marks=pytest.mark.slow)
    for estimator in (mutual_information, ecc)
    for model in geometry.MODELS
]


def two(made, pair, estimator, matrix=SIMILARITY):
    """Return a moving image, which the matrix maps to, and a fixed one."""
    return made.warped(pair[0], matrix), made.part(pair[0 if estimator is ecc else 1])


def test_each_listed_method_is_there_and_takes_what_the_contract_says():
    listed = {ref.name: ref.load() for ref in fusionlab_registrations()}
    assert listed == {"mutual-information": mutual_information, "ecc": ecc, "phase": phase}
    for function in listed.values():
        names = ["moving", "fixed", "model", "moving_valid", "fixed_valid"]
        assert list(inspect.signature(function).parameters) == names


@pytest.mark.parametrize(
    ("estimator", "model"),
    [(mutual_information, "similarity"), (ecc, "similarity"), (phase, "translation"), *SLOW],
)
def test_a_known_warp_is_found_below_the_pixel(made, pair, estimator, model):
    found = estimator(*two(made, pair, estimator, WARPS[model]), model=model)
    assert found.reason is None
    assert found.confidence > 0.5
    # eight parameters are extrapolated to the corners; shapes end before them
    assert made.error(found.matrix, WARPS[model]) < (1.0 if model == "homography" else 0.5)


@pytest.mark.parametrize(("estimator", "model"), [(phase, "translation"), *SLOW])
def test_an_image_lies_on_itself(made, pair, estimator, model):
    image = made.part(pair[0])
    found = estimator(image, image, model=model)
    # what is left is the last step of the search for the optimum
    assert made.error(found.matrix, np.eye(3)) < 0.03
    assert found.confidence > 0.9


@pytest.mark.parametrize(
    ("estimator", "model", "image"),
    [
        (mutual_information, "similarity", np.full((60, 80), 0.5)),
        (ecc, "homography", np.random.default_rng(0).uniform(0, 1, (90, 120))),
        (phase, "translation", np.full((60, 80), 0.5)),
    ],
    ids=["uniform", "noise", "uniform for phase"],
)
def test_an_image_without_structure_is_refused(pair, estimator, model, image):
    image = image.astype(np.float32)
    for images in ((image, pair[0]), (pair[0], image)):
        found = estimator(*images, model=model)
        assert (found.matrix, found.reason) == (None, "insufficient_structure")
        assert found.detail
        assert found.confidence < 0.5


def test_a_mask_that_leaves_nothing_is_refused(pair):
    nothing = np.zeros(pair[0].shape, bool)
    found = mutual_information(*pair, model="similarity", moving_valid=nothing)
    assert found.reason == "insufficient_structure"


def test_edges_of_one_direction_are_degenerate():
    bars = np.random.default_rng(5).uniform(0, 1, (1, 40)).repeat(4, axis=1).repeat(120, axis=0)
    bars = bars.astype(np.float32)
    assert phase(bars, 1 - bars, model="translation").reason == "degenerate"


def test_phase_estimates_nothing_but_a_translation(pair):
    with pytest.raises(ValueError, match="similarity"):
        phase(*pair, model="similarity")


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [mutual_information, ecc])
@pytest.mark.parametrize("seed", range(20, 24))
def test_another_scene_is_refused(made, pair, estimator, seed):
    found = estimator(made.part(made.scene(seed)), made.part(pair[0]), model="similarity")
    assert (found.matrix, found.reason) == (None, "low_confidence")
    assert found.confidence < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [mutual_information, ecc])
@pytest.mark.parametrize("turn", ["turned", "mirrored", "on its side"])
def test_an_image_that_is_turned_or_mirrored_is_out_of_range(made, pair, estimator, turn):
    image = made.part(pair[0])
    turns = {"turned": image[::-1, ::-1], "mirrored": image[:, ::-1], "on its side": image.T[::-1]}
    found = estimator(np.ascontiguousarray(turns[turn]), image, model="similarity")
    assert (found.matrix, found.reason) == (None, "out_of_range")


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [mutual_information, ecc])
def test_swapped_images_give_the_inverse(made, pair, estimator):
    moving, fixed = two(made, pair, estimator)
    there = estimator(moving, fixed, model="similarity").matrix
    back = estimator(fixed, moving, model="similarity").matrix
    # both are means of both directions; what differs is where the last step ends
    assert made.error(np.linalg.inv(back), there) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda i: 1 - i, lambda i: i**0.5, lambda i: i**2])
def test_polarity_and_gamma_change_little_between_modalities(made, pair, change):
    moving, fixed = two(made, pair, mutual_information)
    one = mutual_information(moving, fixed, model="similarity").matrix
    other = mutual_information(change(moving), fixed, model="similarity").matrix
    # a gamma moves the maximum of the gradient of a blurred edge
    assert made.error(other, one) < 0.3


def test_a_field_does_not_depend_on_places_in_memory(made, pair):
    image = np.ascontiguousarray(two(made, pair, mutual_information)[0])
    valid, kept, found = np.ones(image.shape, np.float32), [], set()
    for number in range(24):
        kept.append(np.empty(997 * (number + 1) + 4 * number, np.uint8))  # moves what follows
        found.add(field(image, valid, 1.2).tobytes())
    assert len(found) == 1


@pytest.mark.slow
def test_the_same_images_give_the_same_bits(made, pair):
    images = two(made, pair, mutual_information, WARPS["homography"])
    threads = cv2.getNumThreads()
    found = []
    try:
        for number in (1, 2):
            cv2.setNumThreads(number)
            found.append(mutual_information(*images, model="homography"))
    finally:
        cv2.setNumThreads(threads)
    one, other = found
    assert one.matrix.tobytes() == other.matrix.tobytes()
    assert dict(one.evidence) == dict(other.evidence)


@pytest.mark.slow
def test_images_of_other_sizes_are_at_other_scales(made, pair):
    moving, fixed = two(made, pair, mutual_information)
    large = cv2.resize(fixed, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    found = mutual_information(moving, large, model="similarity")
    to_large = geometry.resized(fixed.shape, large.shape)
    assert made.error(found.matrix @ to_large, SIMILARITY) < 0.5


@pytest.mark.slow
def test_pixels_that_are_no_data_do_not_lead(made, pair):
    moving, fixed = two(made, pair, mutual_information)
    valid = np.ones(moving.shape, bool)
    valid[:, :40] = False
    moving[:, :40] = fixed[:, :40]  # would say: no warp at all
    found = mutual_information(moving, fixed, model="similarity", moving_valid=valid)
    assert made.error(found.matrix, SIMILARITY) < 0.7
