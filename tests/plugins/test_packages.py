"""Each package in plugins/: installed by pip, used, tested by its own tests, and gone again."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.plugins.host import load_plugins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TESTPATHS = PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
SLOW = {"fusionlab-nonlocal"}
"""Whose own tests take half a minute; the others show the same."""

USE = """
import json, sys
from click.testing import CliRunner
from fusionlab.cli import main
from fusionlab.plugins.host import load_plugins

plugins = load_plugins()
report = {"loaded": {plugin.name: plugin.status for plugin in plugins.loaded}, "strategies": []}
for found in plugins.strategies.registrations:
    if found.plugin in sys.argv[1:]:
        name = found.ref.name
        command = ["fuse", "--strategy", name, "a.png", "b.png", "-o", f"{name}.png"]
        result = CliRunner().invoke(main, command)
        file = sys.modules[found.ref.load().__module__].__file__
        report["strategies"].append([found.plugin, name, file, result.exit_code, result.output])
print(json.dumps(report))
"""
"""Fuses with every strategy of the named packages, in one process."""


def python(folder, *args, site=""):
    """Run python in a folder, with or without the packages installed in `site`."""
    paths = [str(site), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def strategies_here():
    """Return the strategies of this process, which never sees the folder of packages."""
    return {(found.plugin, found.ref.name) for found in load_plugins().strategies.registrations}


@pytest.fixture(scope="module")
def used(made_once):
    """Install all packages at once, and fuse with each strategy; return the folder and the report.

    The folder has the packages in `site/`, the images, and what was fused.
    """

    def use(folder):
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        target = ["--no-build-isolation", "--no-index", "--target", folder / "site"]
        python(folder, *pip, *target, *PACKAGES)
        for number, name in enumerate("ab"):
            pixels = np.random.default_rng(number).integers(0, 256, (50, 60), dtype=np.uint8)
            iio.imwrite(folder / f"{name}.png", pixels)
        names = [package.name for package in PACKAGES]
        report = python(folder, "-c", USE, *names, site=folder / "site")
        (folder / "report.json").write_text(report, encoding="utf-8")

    folder = made_once("packages", use)
    return folder, json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_installed_packages_load_and_add_their_strategies_and_no_others(used):
    """Compared with those of this process; a package that is installed here adds nothing."""
    _, report = used
    here = {plugin.name: plugin.status for plugin in load_plugins().loaded}
    packages = {package.name for package in PACKAGES}
    assert report["loaded"] == here | dict.fromkeys(packages, "ok")
    offered = {(plugin, name) for plugin, name, *_ in report["strategies"]}
    assert {plugin for plugin, _ in offered} >= packages - {"fusionlab-cnn"}
    assert {pair for pair in strategies_here() if pair[0] in packages} == {
        pair for pair in offered if pair[0] in here
    }


def test_each_strategy_fuses_where_its_package_is_installed_and_nowhere_else(used):
    folder, report = used
    here = strategies_here()
    missing = folder / "missing.png"
    sources = [str(folder / name) for name in ("a.png", "b.png")]
    for plugin, name, file, exit_code, output in report["strategies"]:
        assert Path(file).is_relative_to(folder / "site")  # not what is installed here
        assert exit_code == 0, output
        assert f"/{name}" in output
        assert iio.imread(folder / f"{name}.png").shape == (50, 60)
        if (plugin, name) not in here:
            command = ["fuse", "--strategy", name, *sources, "-o", str(missing)]
            without = CliRunner().invoke(main, command)
            assert without.exit_code == 2
            assert f"there is no strategy '{name}'" in without.stderr
    assert not missing.exists()


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(package, marks=[pytest.mark.slow] if package.name in SLOW else [])
        for package in PACKAGES
        if f"plugins/{package.name}/tests" not in TESTPATHS  # these run anyway
    ],
    ids=lambda package: package.name,
)
def test_a_package_passes_its_own_tests_and_leaves_no_trace(package, used, tmp_path):
    folder, _ = used
    before = strategies_here()
    settings = ["-c", package / "pyproject.toml", "-p", "no:cacheprovider", "-q"]
    tested = python(tmp_path, "-m", "pytest", *settings, package / "tests", site=folder / "site")
    assert " passed" in tested
    assert strategies_here() == before


def test_the_table_of_packages_names_each_of_them():
    table = (ROOT / "plugins" / "README.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| [`")]
    assert [row.split("`")[1] for row in rows] == [package.name for package in PACKAGES]
