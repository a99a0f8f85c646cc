"""Hundreds of damaged images: each gives an image or a sentence, nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("count", "cut"), [(250, 150), pytest.param(5000, 1000, marks=pytest.mark.slow)]
)
def test_damaged_images_cost_a_sentence_and_bounded_memory(count, cut):
    """In a process of its own: a decoder could crash it, and its peak memory is its own.

    Each run tries other images; what it prints when it fails has the seed that repeats it. The
    files of tests/corpus/images are tried in every run.
    """
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, str(script), "--count", str(count), "--cut", str(cut)],
        capture_output=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", "a decoder prints"
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["replayed"] > 10
    tried = count + cut + report["replayed"]
    assert report["read"] + report["refused"] + report["fused"] == 2 * tried
