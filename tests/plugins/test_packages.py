"""Each package in plugins/: installed by pip, used, tested by its own tests, and gone again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


SLOW = {"fusionlab-nonlocal"}
"""Whose own tests take half a minute; the others show the same."""


@pytest.fixture(
    params=[
        pytest.param(package, marks=[pytest.mark.slow] if package.name in SLOW else [])
        for package in PACKAGES
    ],
    ids=lambda package: package.name,
)
def package(request):
    return request.param


@pytest.fixture
def python(tmp_path):
    """Run python in a folder of its own, with or without the packages installed there."""

    def run(*args, site=""):
        return subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, [site, os.environ.get("PYTHONPATH")])),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def registrations(python, site=""):
    """Which strategies there are: name -> plugin."""
    listed = python("-m", "fusionlab", "strategies", "--json", site=site)
    assert listed.returncode == 0, listed.stderr
    assert not listed.stderr
    return {one["name"]: one["plugin"] for one in json.loads(listed.stdout)}


def test_a_package_installs_fuses_passes_its_own_tests_and_leaves_no_trace(
    package, python, tmp_path
):
    site = str(tmp_path / "site")
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    own = ["--no-deps", "--no-build-isolation", "--no-index", "--target", site]
    installed = python(*pip, *own, package)
    assert installed.returncode == 0, installed.stderr

    before, there = registrations(python), registrations(python, site)
    new = there.keys() - before.keys()
    assert new
    assert all(there[name] == package.name for name in new)
    assert before.keys() <= there.keys()

    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 60), dtype=np.uint8)
        iio.imwrite(tmp_path / f"{name}.png", pixels)
    for name in sorted(new):
        command = ["-m", "fusionlab", "fuse", "--strategy", name, "a.png", "b.png"]
        fused = python(*command, "-o", f"{name}.png", site=site)
        assert fused.returncode == 0, fused.stderr
        assert f"/{name}," in fused.stdout
        assert iio.imread(tmp_path / f"{name}.png").shape == (50, 60)
        gone = python(*command, "-o", "gone.png")
        assert gone.returncode == 2
        assert f"there is no strategy '{name}'" in gone.stderr
        assert not (tmp_path / "gone.png").exists()

    settings = ["-c", package / "pyproject.toml", "-p", "no:cacheprovider", "-q"]
    tested = python("-m", "pytest", *settings, package / "tests", site=site)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout
    assert registrations(python) == before


def test_the_table_of_packages_names_each_of_them():
    table = (ROOT / "plugins" / "README.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| [`")]
    assert [row.split("`")[1] for row in rows] == [package.name for package in PACKAGES]
