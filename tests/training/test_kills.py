"""SIGKILL at random moments, and the same bits at the end."""

import os
import random
import signal
import subprocess
import sys
import time

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fusionlab.cli import main

KILLS = 20


def arguments(output, iterations):
    return [
        *("train", "photos", "-o", output, "--tag", "mine", "--cache", "decoded"),
        *("--size", "16", "--iterations", iterations, "--validate-every", "15", "--flips"),
        *("--ema-decay", "0.9", "--lr-decay", "30", "--lr-schedule", "cosine"),
    ]


def changed(path):
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_with_the_same_bits(tmp_path, monkeypatch):
    """The undisturbed run and the last one are in this process, the killed ones in others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 256, (64, 64), dtype=np.uint8)
        iio.imwrite(tmp_path / "photos" / f"{number}.png", image)
    iterations = str(30 + 30 * KILLS)  # a checkpoint and a few more before every kill
    result = CliRunner().invoke(main, arguments("whole", iterations))
    assert result.exit_code == 0, result.output
    moments = random.Random(0)
    folder = tmp_path / "cut"
    for _ in range(KILLS):
        again = ["--resume"] if (folder / "run.json").exists() else []
        with subprocess.Popen(
            [sys.executable, "-m", "fusionlab", *arguments("cut", iterations), *again],
            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as running:
            before = changed(folder / "last.pt")
            wait_for = "run.json" if not again else "last.pt"  # the first: before any checkpoint
            while running.poll() is None and changed(folder / wait_for) in (0, before):
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.2))
            running.kill()
        assert running.returncode == -signal.SIGKILL
    result = CliRunner().invoke(main, ["train", "-o", "cut", "--resume"])
    assert result.exit_code == 0, result.output
    for name in ("mine.safetensors", "mine.json", "log.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list(folder.glob(".fusionlab-partial-*"))
