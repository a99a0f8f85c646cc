"""The promises of SECURITY.md: each names a test that exists; some of the tests are here."""

import ast
import json
import pickle
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.training.run_folder import STATE, load_state

ROOT = Path(__file__).parents[1]
PROMISES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
][2:]

CONNECTING = """
import json, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise AssertionError(f"{event} {args[1:]}")

sys.addaudithook(refuse)
from fusionlab.cli import main
for words in json.loads(sys.argv[1]):
    main(words, standalone_mode=False)
"""
"""A program that runs commands, and fails when one of them opens a connection."""


def mark(path):
    """A function that leaves a mark where a pickle calls it."""
    Path(path).touch()


class Hostile:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return mark, (str(self.path),)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("ir", "vis")):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 20), dtype=np.uint8)
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(f"{name}/1.png")
    return tmp_path


def test_there_are_promises():
    assert len(PROMISES) > 5


@pytest.mark.parametrize(("promise", "test"), PROMISES, ids=[row[1][:90] for row in PROMISES])
def test_a_promise_names_a_test_that_exists(promise, test):
    file, name = re.fullmatch(r"`([\w/.-]+\.py)::(test_\w+)`", test).groups()
    functions = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    assert promise.endswith(".")
    assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors"])
def test_a_pickle_is_refused_without_being_read(folder, suffix):
    weights = f"weights{suffix}"
    Path(weights).write_bytes(pickle.dumps(Hostile(folder / "mark")))
    Path("weights.json").write_text("{}")
    arguments = ["--backbone", f"densefuse@{weights}", "ir/1.png", "vis/1.png", "-o", "f.png"]
    result = CliRunner().invoke(main, ["fuse", *arguments])
    assert result.exit_code == 2
    assert "weights" in result.stderr
    assert not Path("mark").exists()
    assert not Path("f.png").exists()


def test_the_state_of_a_training_cannot_run_code(folder):
    torch.save({"settings": {}, "step": Hostile(folder / "mark")}, folder / STATE)
    with pytest.raises(FusionlabError) as caught:
        load_state(folder)
    assert caught.value.code == "damaged-state"
    assert not Path("mark").exists()
    torch.load(folder / STATE, weights_only=False)  # the file is as hostile as this test needs
    assert Path("mark").exists()


def test_no_connection_is_opened(folder, python):
    commands = [
        ["fuse", "ir/1.png", "vis/1.png", "-o", "fused.png"],
        ["evaluate", "ir", "vis", "--method", "identity/max", "--metrics", "EN", "-o", "table"],
    ]
    subprocess.run([python, "-c", CONNECTING, json.dumps(commands)], check=True)
    assert Path("fused.png").exists()
    assert any(Path("table").iterdir())
