"""Each package in plugins/: installed by pip, used, tested by its own tests, and gone again.

Packages may be installed here for development, too. All processes of these tests run in an
environment that has what is installed here but for these packages; see `environment`.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
NAMES = [package.name for package in PACKAGES]

QUICK = "fusionlab-zca"
"""Whose own tests always run; those of the others are slow and would show the same. Those of
fusionlab-classics also run from the folder of the package, see `testpaths`."""

READERS = {"fusionlab-dicom": {"DICOM", "DICOM-bare"}, "fusionlab-thermal": {"FLIR", "DJI"}}
"""The packages that read formats instead of fusing, and these formats."""

METHODS = {"fusionlab-registration": {"mutual-information", "ecc", "phase"}}
"""The packages that register images instead, and these methods."""

FUSE = """
import json, sys
from click.testing import CliRunner
from fusionlab.cli import main
from fusionlab.plugins.host import load_plugins

files = {found.ref.name: sys.modules[found.ref.load().__module__].__file__
         for found in load_plugins().strategies.registrations}
report = {}
for name in sys.argv[1:]:
    command = ["fuse", "--strategy", name, "a.png", "b.png", "-o", f"{name}.png"]
    result = CliRunner().invoke(main, command)
    report[name] = files.get(name), result.exit_code, result.stdout, result.stderr
print(json.dumps(report))
"""
"""Fuses with each of the named strategies, in one process."""

OWN_TESTS = """
import sys, pytest
package = sys.argv[1]
settings = ["-c", f"{package}/pyproject.toml", "--rootdir", package]
sys.exit(pytest.main([*settings, "-p", "no:cacheprovider", "-q", f"{package}/tests"]))
"""
"""Runs the tests of a package."""


def paths_without_packages(folder):
    """Return what `sys.path` would be if no package were installed.

    A folder that has metadata of a package is replaced by one of links to everything else in it,
    also called `site-packages`: Hypothesis reads the source of all modules elsewhere.
    """
    paths = []
    for number, path in enumerate(path for path in sys.path if Path(path).is_dir()):
        installed = [found for found in distributions(path=[path]) if found.name in NAMES]
        files = {file.parts[0] for found in installed for file in found.files or ()}
        links = folder / str(number) / "site-packages"
        if files:
            links.mkdir(parents=True)
            for file in Path(path).iterdir():
                if file.name not in files:
                    (links / file.name).symlink_to(file)
        if not Path(path).is_relative_to(ROOT / "plugins"):
            paths.append(str(links if files else path))
    return paths


def run(python, folder, paths, *args):
    """Run `python` in a folder, with these paths and the standard library alone."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [python, "-S", *map(str, args)]  # without the files *.pth of site-packages
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def registrations(python, folder, paths, kind="strategies"):
    """Return what is listed of a kind, strategies or others: name -> plugin."""
    listed = run(python, folder, paths, "-m", "fusionlab", kind, "--json")
    assert not listed.stderr
    return {row["name"]: row["plugin"] for row in json.loads(listed.stdout)}


@pytest.fixture(scope="module")
def environment(made_once, python):
    """Install all packages at once; return paths without and with them, and what each lists."""

    def install(folder):
        without = paths_without_packages(folder / "links")
        before = registrations(python, folder, without)
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        target = ["--no-build-isolation", "--no-index", "--target", folder / "site"]
        run(sys.executable, folder, without, *pip, *target, *PACKAGES)
        after = registrations(python, folder, [folder / "site", *without])
        (folder / "listed.json").write_text(json.dumps([without, before, after]), encoding="utf-8")

    folder = made_once("packages", install)
    without, before, after = json.loads((folder / "listed.json").read_text(encoding="utf-8"))
    return without, [str(folder / "site"), *without], before, after


def test_installed_packages_add_their_strategies_and_no_others(environment):
    _, _, before, after = environment
    assert not set(before.values()) & set(NAMES)
    added = {name: plugin for name, plugin in after.items() if name not in before}
    assert set(added.values()) == set(NAMES) - READERS.keys() - METHODS.keys()
    assert before.items() <= after.items()


@pytest.mark.parametrize(("kind", "offers"), [("readers", READERS), ("registrations", METHODS)])
def test_installed_packages_add_their_readers_and_methods_and_no_others(
    environment, tmp_path, python, kind, offers
):
    without, installed, _, _ = environment
    before, after = (registrations(python, tmp_path, paths, kind) for paths in (without, installed))
    expected = {name: package for package, names in offers.items() for name in names}
    assert after.items() - before.items() == expected.items()
    assert before.items() <= after.items()


def test_each_strategy_fuses_where_its_package_is_installed_and_nowhere_else(
    environment, tmp_path, python
):
    without, installed, before, after = environment
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 60), dtype=np.uint8)
        iio.imwrite(tmp_path / f"{name}.png", pixels)
    names = sorted(name for name, plugin in after.items() if plugin in NAMES)

    refused = json.loads(run(python, tmp_path, without, "-c", FUSE, *names).stdout)
    assert set(refused) == set(names)
    for name, (file, exit_code, _, stderr) in refused.items():
        assert file is None
        assert exit_code == 2
        assert f"there is no strategy '{name}'" in stderr
        assert not (tmp_path / f"{name}.png").exists()

    fused = json.loads(run(python, tmp_path, installed, "-c", FUSE, *names).stdout)
    assert set(fused) == set(names)
    for name, (file, exit_code, stdout, stderr) in fused.items():
        assert Path(file).is_relative_to(installed[0])
        assert exit_code == 0, stderr
        assert f"/{name}," in stdout
        assert iio.imread(tmp_path / f"{name}.png").shape == (50, 60)

    assert registrations(python, tmp_path, without) == before


@pytest.mark.parametrize(
    "package",
    [
        pytest.param(package, marks=[] if package.name == QUICK else pytest.mark.slow)
        for package in PACKAGES
    ],
    ids=NAMES,
)
def test_a_package_passes_its_own_tests_and_leaves_no_trace(package, environment, tmp_path, python):
    """With its own settings."""
    without, installed, before, _ = environment
    tested = run(python, tmp_path, installed, "-c", OWN_TESTS, package)
    assert " passed" in tested.stdout, tested.stdout
    assert registrations(python, tmp_path, without) == before


def test_the_table_of_packages_names_each_of_them():
    table = (ROOT / "plugins" / "README.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| [`")]
    assert [row.split("`")[1] for row in rows] == NAMES
