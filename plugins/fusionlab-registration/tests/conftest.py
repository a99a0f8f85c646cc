"""Scenes of our own, in two modalities."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fusionlab_registration import geometry

SIZE, CORNER = (128, 168), (30, 24)
"""Of the part of a scene that is registered: height and width; where it begins, x and y."""


def scene(seed, height=180, width=240):
    """Return shapes of random gray on a random ground, (H, W) in 0..1."""
    rng = np.random.default_rng(seed)
    ground = rng.normal(size=(height // 20, width // 20)).astype(np.float32)
    image = 0.5 + 0.08 * cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(45):
        corners = rng.uniform(-12, 12, (5, 2)) + rng.uniform((0, 0), (width, height))
        points = cv2.convexHull(np.rint(16 * corners).astype(np.int32))
        cv2.fillConvexPoly(image, points, float(rng.uniform(0, 1)), cv2.LINE_AA, shift=4)
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    return np.clip(image + rng.normal(0, 0.01, image.shape), 0, 1).astype(np.float32)


def other_modality(image, seed=7):
    """Return gray values that rise, fall and rise again, with some objects that only it shows."""
    rng = np.random.default_rng(seed)
    out = 0.5 + 0.4 * np.sin(5.5 * image + 0.4) * np.where(image > 0.6, -0.7, 1)
    height, width = image.shape
    for _ in range(4):
        center = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        cv2.circle(out, center, 7, float(rng.uniform(0, 1)), -1, cv2.LINE_AA)
    out = cv2.GaussianBlur(out, (0, 0), 1.0) + rng.normal(0, 0.01, image.shape)
    return np.clip(out, 0, 1).astype(np.float32)


def part(image):
    """Return the part of a scene that is registered."""
    return np.ascontiguousarray(image[CORNER[1] :, CORNER[0] :][: SIZE[0], : SIZE[1]])


def warped(image, matrix):
    """Return what `matrix` maps the part to, with what lies around it in the scene."""
    shift = np.array([[1, 0, CORNER[0]], [0, 1, CORNER[1]], [0, 0, 1.0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpPerspective(image, shift @ np.linalg.inv(matrix), SIZE[::-1], flags=flags)
    return np.ascontiguousarray(out.clip(0, 1))


def error(matrix, truth):
    """Return the largest error at the corners of what both images show, in pixels."""
    return geometry.distance(matrix, truth, geometry.overlap_polygon(truth, SIZE, SIZE))


@pytest.fixture(scope="session")
def made():
    return SimpleNamespace(scene=scene, warped=warped, part=part, error=error)


@pytest.fixture(scope="session")
def pair():
    """Return a scene (180, 240) in both modalities."""
    image = scene(3)
    return image, other_modality(image)
