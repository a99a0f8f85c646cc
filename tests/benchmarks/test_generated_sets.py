"""The scripts that make image sets: what they write, and that they write it again."""

import csv
import runpy
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHAPE = (72, 88)
NOISE = 1.0
SHARP = 3.5 * NOISE
"""Noise of one gray level and rounding stay below this in all pixels but one of 2000."""


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs a script with arguments."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def run_script(name, *args):
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")

    return run_script


@pytest.fixture
def focus(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "focus_set.py"))


@pytest.fixture
def photos(tmp_path):
    """Three textured images, gray, gray and color, and one that is too small."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number, channels in enumerate((1, 1, 3)):
        noise = gaussian_filter(rng.standard_normal((*SHAPE, channels)), (0.8, 0.8, 0))
        pixels = np.clip(128 + 90 * noise / noise.std() / 2, 30, 230).astype(np.uint8)
        iio.imwrite(folder / f"{number}.png", pixels.squeeze())
    iio.imwrite(folder / "small.png", np.zeros((20, 90), np.uint8))
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("script", "sources"), [("focus_set.py", "ab"), ("exposure_set.py", "abc")]
)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    run, photos, tmp_path, script, sources
):
    folders = [tmp_path / name for name in ("first", "again", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        run(script, photos, "-o", folder, "--count", 3, "--seed", seed)
    first, again, other = map(contents, folders)
    assert first == again
    assert first.keys() == other.keys()
    assert first != other
    for letter in sources:
        assert sorted(path.name for path in (folders[0] / letter).iterdir()) == [
            "000.png",
            "001.png",
            "002.png",
        ]
    with (folders[0] / "samples.csv").open(encoding="utf-8") as file:
        images = {row["image"] for row in csv.DictReader(file)}
    assert images == {"photos/0.png", "photos/1.png", "photos/2.png"}


def test_more_images_than_fit_are_refused(run, photos, tmp_path):
    with pytest.raises(SystemExit, match="only 3 of 4 fit"):
        run("focus_set.py", photos, "-o", tmp_path / "set", "--count", 4)


@pytest.mark.parametrize("k", [2, 3])
def test_each_layer_is_the_truth_in_the_source_that_is_focused_on_it(run, photos, tmp_path, k):
    """Away from other layers, which are spread by up to their radius and the edge of the disk."""
    radius = 3
    output = tmp_path / "set"
    run("focus_set.py", photos, "-o", output, "--count", 3, "--sources", k, "--radius", 2, radius)
    for number in range(3):
        name = f"{number:03}.png"
        truth = iio.imread(output / "truth" / name).astype(float)
        labels = iio.imread(output / "labels" / name)
        assert truth.shape[:2] == SHAPE
        sharp, blurred = [], []
        for layer, letter in enumerate("abc"[:k]):
            source = iio.imread(output / letter / name)
            inside = distance_transform_edt(labels == layer) > 4 * radius / 2 + 1
            outside = distance_transform_edt(labels != layer) > 4 * radius / 2 + 1
            sharp.append(abs(source - truth)[inside])
            blurred.append(abs(source - truth)[outside])
        assert np.mean(np.concatenate(sharp) > SHARP) < 0.005
        assert np.mean(np.concatenate(sharp)) < NOISE
        assert np.mean(np.concatenate(blurred)) > 5 * NOISE


def test_all_layers_in_focus_give_the_image(focus):
    rng = np.random.default_rng(0)
    light, labels = rng.random((40, 50, 3)), rng.integers(0, 3, (40, 50))
    result = focus["focused_on"](1, light, labels, np.zeros(3), "disk")
    assert np.allclose(result, light, atol=1e-12)


def test_a_near_layer_out_of_focus_spreads_and_a_far_one_ends_at_a_sharp_edge(focus):
    light = np.where(np.arange(60) < 30, 0.2, 0.8) * np.ones((50, 1))
    labels = (light > 0.5).astype(int)
    middle = np.s_[25, :]
    near_blurred = focus["focused_on"](0, light, labels, np.array([0, 4.0]), "disk")[middle]
    far_blurred = focus["focused_on"](1, light, labels, np.array([4.0, 0]), "disk")[middle]
    assert near_blurred[28] > 0.3
    assert near_blurred[20] == pytest.approx(0.2)
    assert far_blurred[29] == pytest.approx(0.2)
    assert far_blurred[30] == pytest.approx(0.8)


def test_a_gaussian_has_the_variance_of_the_disk(focus):
    point = np.zeros((61, 61))
    point[30, 30] = 1
    x = np.arange(61) - 30
    for radius in (2.0, 4.5, 6.0):
        variances = [
            (focus["blur"](point, radius, kind).sum(axis=0) * x**2).sum()
            for kind in ("disk", "gaussian")
        ]
        # the soft edge of the disk adds about a sixth to the variance, in square pixels
        assert 0 < variances[0] - variances[1] < 0.2


def test_exposures_clip_both_ends_and_keep_color(run, photos, tmp_path):
    run("exposure_set.py", photos, "-o", tmp_path / "set", "--count", 3, "--noise", 0)
    colors = 0
    for number in range(3):
        dark, middle, bright = [
            iio.imread(tmp_path / "set" / letter / f"{number:03}.png").astype(int)
            for letter in "abc"
        ]
        assert (dark <= middle).all()
        assert (middle <= bright).all()
        assert (bright == 255).any()
        assert dark.mean() < middle.mean() - 20 < bright.mean() - 40
        unclipped = (bright < 255) & (dark > 40)
        gain = bright[unclipped] / dark[unclipped]
        assert np.allclose(gain, 2 ** (4 / 2.2), rtol=0.03)  # four stops; rounding of dark levels
        colors += dark.ndim == 3
    assert colors == 1
