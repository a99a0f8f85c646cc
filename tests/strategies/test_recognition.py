"""The laws of every installed task, and what the tasks that ship recognize."""

import numpy as np
import pytest

from fusionlab import Fusion, list_tasks
from fusionlab.imaging.thumbnails import thumbnails
from fusionlab.plugins.host import installed


def scene(size=(96, 128)):
    """Return a gray image with coarse and fine structure, in 0..1."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]] / 20
    coarse = 0.5 + 0.2 * np.sin(rows) * np.cos(1.3 * columns)
    return (coarse + 0.1 * rng.standard_normal(size)).clip(0, 1)


def blurred(image):
    """Return the image without its fine structure."""
    for axis in (0, 1):
        image = sum(np.roll(image, shift, axis) for shift in range(-2, 3)) / 5
    return image


def focus(k):
    """Each source is sharp in a stripe of its own."""
    stripes = np.arange(128) * k // 128
    return [np.where(stripes == number, scene(), blurred(scene())) for number in range(k)]


def exposure(k):
    """Gains of a stop each, through a response curve with a shoulder."""
    return [(1 - np.exp(-1.5 * scene() * 2.0 ** (number - k / 2))) ** 0.8 for number in range(k)]


def infrared(k):
    """Bands that have nothing to do with each other."""
    return [np.roll(scene(), 37 * number, axis=number % 2) for number in range(k)]


def medical(k):
    """An ellipse on black, with other insides in each source."""
    rows, columns = np.mgrid[-1:1:96j, -1:1:128j]
    inside = (rows / 0.8) ** 2 + (columns / 0.6) ** 2 < 1
    return [inside * np.roll(scene(), 29 * number, axis=0) for number in range(k)]


SCENES = {make.__name__: make for make in (focus, exposure, infrared, medical)}


def scores(sources):
    """Return the score of each installed task."""
    (image,) = thumbnails([np.asarray(source, np.float32) for source in sources])
    return {
        entry.ref.name: entry.ref.load()(image.images, image.gray)
        for entry in installed().tasks.registrations
    }


@pytest.mark.parametrize("task", list_tasks())
def test_every_task_builds_a_fusion(task):
    assert Fusion(task=task)(focus(2)).shape == (96, 128)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("task", SCENES)
def test_a_task_that_ships_recognizes_its_scenes_at_any_k(task, k):
    sources = SCENES[task](k)
    values = scores(sources)
    assert max(values, key=values.__getitem__) == task
    assert values[task] > 0.5
    assert scores(sources[::-1]) == pytest.approx(values, abs=1e-6)  # the order of sums changes


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 2), (3, 700), (96, 128, 3)])
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("kind", ["noise", "equal", "black", "constant"])
def test_every_score_lies_in_0_to_1_whatever_the_sources(shape, k, kind):
    rng = np.random.default_rng(1)
    sources = {
        "noise": [rng.random(shape) for _ in range(k)],
        "equal": [np.full(shape, 0.3)] * k,
        "black": [np.zeros(shape)] * k,
        "constant": [np.full(shape, number / k) for number in range(k)],
    }[kind]
    values = scores(sources)
    assert all(0 <= value <= 1 for value in values.values())
    assert scores(sources[::-1]) == pytest.approx(values, abs=1e-6)


def test_a_color_scan_beside_a_gray_one_is_medical_too():
    gray, other = medical(2)
    assert scores([gray, np.stack([other, other / 2, 0 * other], axis=-1)])["medical"] > 0.5


def test_color_photographs_on_black_are_not_medical():
    colored = [np.stack([image, image / 2, image / 3], axis=-1) for image in medical(2)]
    assert scores(colored)["medical"] == 0
