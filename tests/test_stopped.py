"""Every command that works long, stopped in every way: what is there is whole, and resuming ends
with the same bytes.

The default run has a part of the matrix, the slow tests have all of it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab.storage.locking import LOCK_NAME

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")

PLUGIN = """
    from dataclasses import dataclass
    from fusionlab import LearnedStrategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef("blend", "lab_blend:Blend", "Blend.")]

    @dataclass(frozen=True)
    class Blend(LearnedStrategy):
        @property
        def support(self):
            return 1

        def network(self, level):
            import torch

            class Net(torch.nn.Module):
                def __init__(inner):
                    super().__init__()
                    inner.layer = torch.nn.Conv2d(level.channels, level.channels, 3, padding=1)

                def forward(inner, features):
                    return inner.layer(features.mean(dim=0))

            return Net()

        def losses(self, fused, sources, merged, features):
            return {"all": (fused - sources.mean(dim=0)).square().mean()}
"""

STUDY = """
[study]
metrics = ["EN", "SD", "SSIM"]
executor = "threads:2"
[sets]
all = "set"
[[methods]]
method = { grid = ["identity/mean", "identity/max"] }
"""


@dataclass(frozen=True)
class Command:
    """A command that works long."""

    words: str
    resumed: str
    """The words of the command that resumes it."""
    sign: str
    """A file in `out` that shows that the work has begun, by its second line if it has lines."""


COMMANDS = {
    "fuse": Command(
        "fuse --backbone identity --record set/a set/b -o out",
        "fuse --backbone identity --record set/a set/b -o out --resume",
        "03.png",
    ),
    "fuse a sequence": Command(
        "fuse --backbone identity --record --sequence --rate 1 set/a set/b -o out",
        "fuse --backbone identity --record --sequence --rate 1 set/a set/b -o out --resume",
        "09.png",
    ),
    "evaluate": Command(
        "evaluate set --method identity/mean --method identity/max --metrics EN,SD,SSIM -o out",
        "evaluate set --method identity/mean --method identity/max --metrics EN,SD,SSIM -o out "
        "--resume",
        "rows.jsonl",
    ),
    "study": Command("study run grid.toml -o out", "study run grid.toml -o out", "rows.jsonl"),
    "train": Command(
        "train photos -o out --tag mine --size 32 --iterations 80 --validate-every 20",
        "train -o out --resume",
        "log.jsonl",
    ),
    "train-strategy": Command(
        "train-strategy blend set -o out --tag mine --backbone identity --size 24 "
        "--iterations 200 --validate-every 50",
        "train-strategy -o out --resume",
        "log.jsonl",
    ),
}
STOPS = {
    "SIGKILL": (-9, [signal.SIGKILL]),
    "SIGTERM": (143, [signal.SIGTERM]),
    "SIGHUP": (129, [signal.SIGHUP]),
    "SIGINT": (130, [signal.SIGINT]),
    "SIGINT twice": (130, [signal.SIGINT, signal.SIGINT]),
    "SIGINT and SIGTERM": (130, [signal.SIGINT, signal.SIGTERM]),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with an image set, photos, a study and a plugin."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(30):
        for letter in "ab":
            path = Path("set", letter, f"{number:02}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(path, rng.integers(0, 256, (120, 160), dtype=np.uint8))
    Path("photos").mkdir()
    for number in range(3):
        iio.imwrite(f"photos/{number}.png", rng.integers(0, 256, (64, 64), dtype=np.uint8))
    Path("grid.toml").write_text(STUDY)
    info = Path("site", "lab_blend-1.0.dist-info")
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-blend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fusionlab.v1]\nany = lab_blend\n")
    Path("site", "lab_blend.py").write_text(textwrap.dedent(PLUGIN))
    paths = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return tmp_path


def started(python, words, **options):
    command = (python, "-m", "fusionlab", *words.split())
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


def ended(python, words):
    """Run a command to its end."""
    process = started(python, words)
    _, err = process.communicate()
    assert process.returncode == 0, err


def has_begun(sign):
    path = Path("out", sign)
    if path.suffix == ".jsonl":
        return path.exists() and path.read_bytes().count(b"\n") >= 2
    return path.exists()


def content(folder):
    """Return path -> content of what does not depend on how often a run was interrupted."""
    result = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.name not in ("status.json", "last.pt", "run.json"):
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            result[name] = sorted(data.splitlines()) if name == "rows.jsonl" else data
    return result


def check_whole(folder, *, killed):
    """Check what an interrupted run has left."""
    for path in Path(folder).rglob("*"):
        if not killed:
            assert not path.name.startswith(".fusionlab"), path
        elif path.name.startswith(".fusionlab-partial"):
            continue
        if path.suffix == ".png":
            iio.imread(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
    assert killed or not Path(folder, LOCK_NAME).exists()


def stop_and_resume(python, name, stop, seed):
    command, (code, signals) = COMMANDS[name], STOPS[stop]
    process = started(python, command.words)
    while process.poll() is None and not has_begun(command.sign):
        time.sleep(0.002)
    chance = random.Random(seed)
    time.sleep(chance.random() * 0.1)
    for number in signals:
        process.send_signal(number)
        time.sleep(chance.random() * 0.02)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert "Traceback" not in err
    if code > 0:
        assert len([line for line in err.splitlines() if line.startswith("stopped")]) == 1
    check_whole("out", killed=code < 0)
    ended(python, command.resumed)
    check_whole("out", killed=False)
    return content("out")


@pytest.mark.parametrize(
    ("name", "stop", "seed"),
    [
        ("fuse", "SIGTERM", 0),
        *(
            pytest.param(name, stop, seed, marks=pytest.mark.slow)
            for name in COMMANDS
            for stop in STOPS
            for seed in range(2)
        ),
    ],
)
def test_a_command_that_is_stopped_leaves_whole_files_and_can_be_resumed(
    name, stop, seed, here, python
):
    ended(python, COMMANDS[name].words.replace("-o out", "-o undisturbed"))
    assert stop_and_resume(python, name, stop, seed) == content("undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_stopped_while_it_starts_leaves_nothing(name, number, here):
    """With a true interpreter, from the moment on at which the process handles signals."""
    chance = random.Random(name)
    for _ in range(3):
        process = started(sys.executable, COMMANDS[name].words)
        while process.poll() is None and not handles_signals(process.pid):
            time.sleep(0.001)
        time.sleep(chance.random())
        process.send_signal(number)
        _, err = process.communicate()
        # Python kills itself by SIGINT if the interrupt came through the `exec` of a text, such as
        # where a dataclass is made; a shell cannot tell the two
        killed = -number if number == signal.SIGINT else None
        assert process.returncode in (128 + number, killed), err
        assert err.startswith("stopped")
        assert err.count("\n") == 1
        assert not Path("out").exists() or not [*Path("out").iterdir()]


def handles_signals(pid):
    """Return whether a process has a handler of SIGTERM, as an interpreter alone has not."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line for line in lines if line.startswith("SigCgt")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
