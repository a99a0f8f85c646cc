"""`fusionlab train`, from a folder of images to weights that fuse."""

import json
import os
import signal

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.training.loop import Training

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "held-out"):
        (tmp_path / name).mkdir()
        for n in range(3):
            pixels = RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)
            iio.imwrite(tmp_path / name / f"{n}.png", pixels)
    return tmp_path


def run(*args):
    fixed = ["train", "photos", "--validation", "held-out", "-o", "runs", "--tag", "mine"]
    return CliRunner().invoke(main, [*fixed, "--size", "32", "--iterations", "6", *args])


def test_a_training_ends_with_weights_that_fuse(folder):
    result = run("--lambda", "10", "--data-note", "noise")
    assert result.exit_code == 0, result.output
    assert "training densefuse on 3 images, validating on 3, from iteration 0" in result.stdout
    card = json.loads((folder / "runs/mine.json").read_text())
    assert card["settings"]["ssim_weight"] == 10
    assert card["data"]["description"] == "noise"
    fused = CliRunner().invoke(
        main,
        ["fuse", "--backbone", "densefuse@runs/mine.safetensors", "photos/0.png", "photos/1.png"],
    )
    assert fused.exit_code == 0, fused.output
    assert "densefuse@mine-" in fused.stdout


def test_ctrl_c_saves_and_resume_goes_on(folder, monkeypatch):
    step = Training._step

    def interrupted(self):
        if self.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", interrupted)
        result = run()
    assert result.exit_code == 130
    assert "stopped at iteration 4, saved; go on with --resume" in result.stderr
    assert "runs holds a run already; go on with --resume" in run().stderr
    result = run("--resume")
    assert "from iteration 4" in result.stdout
    assert result.exit_code == 0


def test_a_folder_that_cannot_be_made_is_one_sentence(folder):
    (folder / "file").touch()
    result = run("-o", "file/runs")
    assert result.exit_code == 2
    assert "Error: cannot use file/runs: Not a directory" in result.stderr


def test_a_full_disk_is_one_sentence_and_keeps_the_last_checkpoint(folder, monkeypatch):
    import torch

    def full(state, path):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    result = run()
    assert result.exit_code == 2
    assert "Error: cannot save the run to runs/last.pt: PytorchStreamWriter" in result.stderr
    assert [path.name for path in (folder / "runs").iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resume"], "nothing to resume"),
        (["--size", "64"], "one --iterations for each --size, got 1 for 2"),
        (["--backbone", "identity"], "the backbone Identity has nothing to train"),
        (["--batch", "9"], "a batch needs 9 images, there are 3"),
        (["--manifest", "photos/0.png"], "is not a manifest"),
        (["--validation", "nowhere"], "does not exist"),
        (["--tag", "x/y"], "a name consists of letters"),
        (["--device", "toaster"], "the device toaster is not available"),
        (["--seed", "-1"], "the seed must not be negative"),
        (["--lambda", "nan"], "lambda not negative"),
    ],
)
def test_a_mistake_costs_one_sentence(folder, args, message):
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
