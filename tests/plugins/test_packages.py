"""Each package in plugins/: installed by pip, used, tested by its own tests, and gone again."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

DEVELOPED = {package.name for package in PACKAGES} & {found.name for found in distributions()}
"""Packages that are installed here for development; they are blocked where they must be absent."""

SLOW = {"fusionlab-classics", "fusionlab-nonlocal"}
"""Whose own tests take long; the others show the same. Those of fusionlab-classics also run from
the folder of the package, see `testpaths`."""


@pytest.fixture(
    params=[
        pytest.param(package, marks=[pytest.mark.slow] if package.name in SLOW else [])
        for package in PACKAGES
    ],
    ids=lambda package: package.name,
)
def package(request):
    return request.param


def python(folder, *args, site=""):
    """Run python in a folder, with the packages installed in `site`, or without all packages."""
    paths = [str(site), os.environ.get("PYTHONPATH")]
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FUSIONLAB_NO_PLUGIN": "" if site else " ".join(DEVELOPED),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def registrations(folder, site=""):
    """Return the strategies that are found: name -> plugin."""
    listed = python(folder, "-m", "fusionlab", "strategies", "--json", site=site)
    assert listed.returncode == 0, listed.stderr
    assert not listed.stderr
    return {row["name"]: row["plugin"] for row in json.loads(listed.stdout)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install all packages at once; return where, and what there is without and with them."""
    folder = tmp_path_factory.mktemp("packages")
    site = folder / "site"
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    result = python(folder, *pip, "--no-build-isolation", "--no-index", "--target", site, *PACKAGES)
    assert result.returncode == 0, result.stderr
    return site, registrations(folder), registrations(folder, site)


def test_installed_packages_add_their_strategies_and_no_others(installed):
    _, before, after = installed
    added = {name: plugin for name, plugin in after.items() if name not in before}
    assert set(added.values()) == {package.name for package in PACKAGES}
    assert before.items() <= after.items()


def test_a_package_fuses_passes_its_own_tests_and_leaves_no_trace(package, installed, tmp_path):
    site, before, after = installed
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 60), dtype=np.uint8)
        iio.imwrite(tmp_path / f"{name}.png", pixels)
    names = sorted(name for name, plugin in after.items() if plugin == package.name)
    assert names
    for name in names:
        command = ["-m", "fusionlab", "fuse", "--strategy", name, "a.png", "b.png"]
        fused = python(tmp_path, *command, "-o", f"{name}.png", site=site)
        assert fused.returncode == 0, fused.stderr
        assert re.search(rf"/{name}\b", fused.stdout)
        assert iio.imread(tmp_path / f"{name}.png").shape == (50, 60)
        without = python(tmp_path, *command, "-o", "without.png")
        assert without.returncode == 2
        assert f"there is no strategy '{name}'" in without.stderr
        assert not (tmp_path / "without.png").exists()

    settings = ["-c", package / "pyproject.toml", "-p", "no:cacheprovider", "-q"]
    tested = python(tmp_path, "-m", "pytest", *settings, package / "tests", site=site)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout
    assert registrations(tmp_path) == before


def test_the_table_of_packages_names_each_of_them():
    table = (ROOT / "plugins" / "README.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| [`")]
    assert [row.split("`")[1] for row in rows] == [package.name for package in PACKAGES]
