"""The example plugin: a real package, installed by pip, with a rule that keeps its promises."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fusionlab import Fusion
from fusionlab_encoders.identity import Identity

PLUGIN = Path(__file__).parents[2] / "plugins" / "fusionlab-guided"


@pytest.fixture
def guided(monkeypatch):
    """The module of the plugin, straight from its folder."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    import fusionlab_guided

    yield fusionlab_guided.Guided
    sys.modules.pop("fusionlab_guided")


def picture(seed, height=50, width=60):
    rng = np.random.default_rng(seed)
    return np.clip(np.cumsum(rng.normal(0, 0.05, (height, width)), 1) + 0.5, 0, 1)


def test_the_weights_are_those_of_he_sun_and_tang(guided):
    """An independent guided filter in float64, written from the paper's equations."""

    def mean(image, r):
        rows, columns = image.shape
        return np.array(
            [
                [
                    image[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].mean()
                    for x in range(columns)
                ]
                for y in range(rows)
            ]
        )

    def filtered(p, guide, r, eps):
        a = (mean(guide * p, r) - mean(guide, r) * mean(p, r)) / (
            mean(guide * guide, r) - mean(guide, r) ** 2 + eps
        )
        b = mean(p, r) - a * mean(guide, r)
        return mean(a, r) * guide + mean(b, r)

    sources = [picture(n, 20, 24) for n in range(3)]
    activity = [mean(np.abs(255 * s), 1) for s in sources]
    smooth = [
        np.maximum(0, filtered(a / sum(activity), s, 3, 1e-2))
        for a, s in zip(activity, sources, strict=True)
    ]
    fused = Fusion(Identity(), guided(radius=3, eps=1e-2)).fuse(sources, weights=True)
    for found, expected in zip(fused.weights, smooth, strict=True):
        # float32: the variance is a difference of squares of 0..1
        np.testing.assert_allclose(found, expected / sum(smooth), atol=2e-5)


def test_tiled_equals_whole_because_the_support_is_right(guided):
    sources = [picture(n) for n in range(2)]
    rule = guided(r=2, radius=4)
    whole = Fusion(Identity(), rule, tile=999)(sources)
    np.testing.assert_allclose(Fusion(Identity(), rule, tile=16)(sources), whole, atol=1e-5)


def test_idempotence_and_convexity(guided):
    a, b = picture(0), picture(1)
    fusion = Fusion(Identity(), guided())
    np.testing.assert_allclose(fusion([a, a, a]), a, atol=1e-6)
    fused = fusion([a, b])
    assert (fused >= np.minimum(a, b) - 1e-6).all()
    assert (fused <= np.maximum(a, b) + 1e-6).all()


def test_it_installs_fuses_with_its_own_option_and_is_gone_when_uninstalled(tmp_path):
    """With pip, into a folder of its own, and through the command line of another process."""
    import imageio.v3 as iio

    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    own = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([*pip, *own, str(PLUGIN)], check=True)
    for name in "ab":
        iio.imwrite(tmp_path / f"{name}.png", (picture(ord(name)) * 255).astype(np.uint8))

    def fusionlab(*args, path):
        return subprocess.run(
            [sys.executable, "-m", "fusionlab", *args],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    command = ["fuse", "--strategy", "guided", "--radius", "3", "a.png", "b.png"]
    there = fusionlab(*command, path=str(site))
    assert there.returncode == 0, there.stderr
    assert "densefuse@1e3-long/guided,r=1,radius=3,eps=0.001" in there.stdout
    assert "guided" in fusionlab("strategies", path=str(site)).stdout
    gone = fusionlab(*command, path="")
    assert gone.returncode == 2
    assert "there is no strategy 'guided'" in gone.stderr
