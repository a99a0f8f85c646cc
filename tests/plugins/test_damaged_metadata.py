"""What is left of a plugin, and what one changes at import, costs a warning, never a command."""

import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from misbehaving import FAILS, IMPORT_EFFECTS

from fusionlab.cli import main
from fusionlab.plugins.host import load_plugins

METADATA = "Metadata-Version: 2.1\nName: lab-left\nVersion: 1.0\n"
POINTS = "[fusionlab.v1]\nany = lab_left\n"

DAMAGED = {
    "no METADATA": (None, POINTS),
    "an empty METADATA": ("", POINTS),
    "no name": ("Metadata-Version: 2.1\nVersion: 1.0\n", POINTS),
    "METADATA that is no text": (b"Name: \xff\n", POINTS),
    "an entry point without a module": (METADATA, "[fusionlab.v1]\nany\n"),
    "an entry point that is no module": (METADATA, "[fusionlab.v1]\nany = no module !\n"),
    "entry points that are no text": (METADATA, b"[fusionlab.v1]\nany = \xff\n"),
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path, with a module for the entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_left.py").write_text("")
    return tmp_path


def write(site, metadata, points, folder="lab_left-1.0.dist-info"):
    (site / folder).mkdir()
    for name, content in (("METADATA", metadata), ("entry_points.txt", points)):
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (site / folder / name).write_bytes(data)


@pytest.mark.parametrize("left", DAMAGED)
def test_a_distribution_that_cannot_be_read_costs_a_warning(site, left):
    write(site, *DAMAGED[left])
    result = CliRunner().invoke(main, ["strategies", "--json"])
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: plugin lab-left 1.0 is ignored: ")
    assert "l1norm" in result.stdout


@pytest.mark.parametrize(
    "left",
    [
        "an entry point without a module",
        pytest.param("entry points that are no text", marks=pytest.mark.slow),
    ],
)
def test_images_are_fused_beside_a_distribution_that_cannot_be_read(site, left):
    """In a new process: torch reads the metadata, too, when it is imported."""
    write(site, *DAMAGED[left])
    for name in "ab":
        iio.imwrite(site / f"{name}.png", np.full((8, 9), 7, np.uint8))
    command = [
        sys.executable,
        "-m",
        "fusionlab",
        "fuse",
        "--backbone",
        "identity",
        "a.png",
        "b.png",
    ]
    path = os.pathsep.join([str(site), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=site, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"plugin lab-left 1.0 is ignored: " in done.stderr
    assert (site / "fused.png").exists()


def test_a_distribution_without_a_version_is_loaded(site):
    write(site, "Metadata-Version: 2.1\nName: lab-left\n", POINTS)
    (plugin,) = [plugin for plugin in load_plugins().loaded if plugin.name == "lab-left"]
    assert (plugin.status, plugin.version) == ("ok", "?")


def test_of_two_distributions_of_one_name_one_is_loaded(site):
    write(site, METADATA, POINTS)
    write(site, METADATA.replace("1.0", "2.0"), POINTS, "lab_left-2.0.dist-info")
    assert [plugin.name for plugin in load_plugins().loaded].count("lab-left") == 1


def state():
    return (
        Path.cwd(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        sys.stdout,
        [entry for entry in warnings.filters if entry[0] == "error"],
    )


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [name for name in IMPORT_EFFECTS if name != "closes-stdout"])
def test_what_a_module_changes_at_import_is_undone(install, name):
    """A stream that is closed cannot be opened again; see the tests of streams."""
    code, outcome = IMPORT_EFFECTS[name]
    install("lab-effect", code)
    warnings.resetwarnings()  # those of the tests make every warning an error
    before, environment = state(), dict(os.environ)
    (plugin,) = [plugin for plugin in load_plugins().loaded if plugin.name == "lab-effect"]
    assert plugin.status == ("broken" if outcome == FAILS else "ok")
    assert state() == before
    assert dict(os.environ) == environment
    told = name in ("changes-folder", "makes-warnings-errors", "changes-the-dtype") or (
        name in ("forbids-gradients", "replaces-signals", "replaces-stdout") or outcome == FAILS
    )
    assert bool(plugin.warning) == told or name == "changes-threads"  # one thread is usual here


@pytest.mark.filterwarnings("default")
def test_what_the_module_of_a_strategy_changes_is_undone_and_told(install, tmp_path):
    install(
        "lab-effect",
        """
        from fusionlab import StrategyRef, hookimpl
        @hookimpl
        def fusionlab_strategies(): return [StrategyRef("odd", "lab_effect_rule:Odd", "Odd.")]
        """,
    )
    (tmp_path / "site-packages" / "lab_effect_rule.py").write_text(
        "import os\nfrom fusionlab_strategies.mean import Mean as Odd\nos.chdir('/')\n"
    )
    folder = Path.cwd()
    with pytest.warns(RuntimeWarning, match="lab_effect_rule has changed the working directory"):
        load_plugins().strategies.find("odd").ref.load()
    assert Path.cwd() == folder
    sys.modules.pop("lab_effect_rule")
