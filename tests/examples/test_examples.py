"""The examples run as they stand, and the images they use are what their script makes."""

import ast
import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a script as its command line does; it returns the output."""

    def run_script(path, *args):
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, args)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.mark.slow
def test_the_images_are_what_their_script_renders(run, tmp_path):
    run(EXAMPLES / "make_street.py", tmp_path)
    images = EXAMPLES / "images"
    names = sorted(path.relative_to(images) for path in images.rglob("*.png"))
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    for name in names:
        assert np.array_equal(iio.imread(tmp_path / name), iio.imread(images / name)), name


def test_the_image_of_the_readme_is_what_the_program_makes(run):
    """At most one gray level: another machine may round a half the other way."""
    path = ROOT / "docs" / "images" / "street.png"
    content = path.read_bytes()
    shipped = iio.imread(path).astype(int)
    try:
        run(EXAMPLES / "readme_image.py")
        assert np.abs(iio.imread(path).astype(int) - shipped).max() <= 1
    finally:
        path.write_bytes(content)


def test_own_strategy(run):
    assert run(EXAMPLES / "own_strategy.py").count("mean weights") == 3


def test_the_python_of_the_readme_runs(tmp_path, python):
    """The blocks as a new user would paste them, one after the other, into a new process."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len(code) == 3
    (tmp_path / "examples").symlink_to(EXAMPLES)
    code.insert(1, "__import__('os').stat('fused.png')")  # which adds no name to the blocks
    subprocess.run([python, "-c", "\n".join(code)], cwd=tmp_path, check=True)
    assert (tmp_path / "fused.png").exists()


def imported_names(path):
    """Return (module, name) of what a script imports or reads of `fusionlab`; name may be empty."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "fusionlab":
            yield "fusionlab", node.attr


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_uses_only_public_names(script):
    public = {
        name: set(importlib.import_module(name).__all__)
        for name in ("fusionlab", "fusionlab.testing", "fusionlab.metrics")
    }
    for module, name in imported_names(script):
        if module.partition(".")[0] == "fusionlab":
            assert module in public, f"{script.name} imports from {module}, which is not public"
            assert not name or name in public[module], f"{module}.{name} is not public"
