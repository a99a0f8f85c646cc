"""Hundreds of damaged images: each gives an image or a sentence, nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("count", [250, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_images_cost_a_sentence_and_bounded_memory(count):
    """In a process of its own: a decoder could crash it, and its peak memory is its own."""
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, str(script), "--count", str(count)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["read"] + report["refused"] + report["fused"] == 2 * count
    # the limit lets 2**28 pixels through; 3 GiB is what they take as RGB with one copy
    assert report["more_mib"] < 3 * 1024
