"""Two runs at once into one folder, each in a process of its own: one of them is refused."""

import os
import subprocess
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from faulty_files import whole

pytestmark = pytest.mark.slow

FUSE = "fuse --backbone identity --record -o out"
EVALUATE = "evaluate --metrics EN -o out --executor threads:1"
TRAIN = "train photos --validation held -o out --tag mine --size 32 --iterations"
PAIRS = {
    "fuse, the same": [f"{FUSE} ir vis --strategy mean"] * 2,
    "fuse, other images": [f"{FUSE} {pair} --strategy mean" for pair in ("ir vis", "ir2 vis2")],
    "fuse, other settings": [f"{FUSE} ir vis --strategy {name}" for name in ("mean", "max")],
    "evaluate, the same": [f"{EVALUATE} ir vis --method identity/mean"] * 2,
    "evaluate, other images": [
        f"{EVALUATE} {pair} --method identity/mean" for pair in ("ir vis", "ir2 vis2")
    ],
    "evaluate, other settings": [
        f"{EVALUATE} ir vis --method identity/{name}" for name in ("mean", "max")
    ],
    "train, the same": [f"{TRAIN} 20"] * 2,
    "train, other settings": [f"{TRAIN} {count}" for count in (20, 24)],
}
REFUSED = (
    "another run is writing into out",
    "already contains",
    "of an earlier run",
    "holds a run",
)
"""What the second says: that the first is running, or has just ended."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, prefix in (("ir", ""), ("vis", ""), ("ir2", "other"), ("vis2", "other")):
        Path(name).mkdir()
        for number in range(60):
            pixels = rng.integers(0, 256, (16, 24), dtype=np.uint8)
            iio.imwrite(f"{name}/{prefix}{number}.png", pixels)
    Path("photos").mkdir()
    Path("held").mkdir()
    for path in ("photos/0.png", "photos/1.png", "held/0.png"):
        iio.imwrite(path, rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    return tmp_path


def start(python, line):
    return subprocess.Popen(
        [python, "-m", "fusionlab", *line.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(process):
    _, error = process.communicate()
    return process.returncode, error


def comparable(files):
    return {
        name: sorted(content.splitlines()) if name.endswith(".jsonl") else content
        for name, content in files.items()
        if not name.endswith(("run.json", ".npy", ".lock"))
    }


@pytest.mark.parametrize("lines", PAIRS.values(), ids=PAIRS.keys())
def test_of_two_runs_at_once_one_is_right_and_one_is_refused(folder, python, lines):
    alone = []
    for line in lines:
        assert finished(start(python, line))[0] == 0
        alone.append(comparable(whole(folder / "out")))
        (folder / "out").rename(folder / f"alone{len(alone)}")
    processes = [start(python, line) for line in lines]
    codes, errors = zip(*map(finished, processes), strict=True)
    assert sorted(codes) == [0, 2], errors
    winner = codes.index(0)
    assert any(text in errors[1 - winner] for text in REFUSED), errors
    assert len(errors[1 - winner].splitlines()) == 1, errors
    assert comparable(whole(folder / "out")) == alone[winner]
    assert not [*folder.rglob(".fusionlab-*")]
