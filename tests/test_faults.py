"""Every command that writes, with a file system that fails at each of its calls in turn.

After each failure the earlier outputs are whole, no partial file and no lock is left, the command
has said one sentence and has not ended with 0, and it can be run again, or resumed, to the bytes of
an undisturbed run.
"""

import errno
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner
from faulty_files import FaultyFiles, whole

from fusionlab.cli import main
from fusionlab.runs import folder_run

STUDY = """
[study]
metrics = ["EN"]
save_images = true
executor = "threads:1"
[sets]
all = "../in/set"
[[methods]]
method = { grid = ["identity/mean", "identity/max"] }
"""
TRAIN = "train ../in/photos --validation ../in/held-out -o run --tag mine --size 32 --iterations 4"
TRAIN_STRATEGY = (
    "train-strategy blend ../in/photo-pairs -o run --tag mine --size 8 --iterations 4 --batch 2 "
    "--backbone identity"
)
EVALUATE = (
    "evaluate ../in/set --method identity/mean --method identity/max --metrics EN -o out "
    "--save-images --executor threads:1"
)
FILES = (
    "fuse --backbone identity ../in/set/a/0.png ../in/set/b/0.png -o x.png --record "
    "--save-weights maps --save-index i.png"
)
FOLDER = (
    "fuse --backbone identity ../in/set/a ../in/set/b -o out --record --save-weights maps "
    "--save-index index"
)
SEQUENCE = "fuse --backbone identity --strategy l1norm ../in/set --sequence --rate 25 --record"

GROWING = (
    "fusionlab-manifest.jsonl",
    "fusionlab-sequence.jsonl",
    "rows.jsonl",
    "images.jsonl",
    "log.jsonl",
)
"""What grows line by line: compared once a run is finished."""
CACHE = ".npy"
"""Decoded images, which a training keeps in memory where the disk is full."""
PASSING = ("status.json", "run.json")
"""What says how far a run is and how it was started: differs from run to run."""


@dataclass(frozen=True)
class Command:
    """A command that writes below the current folder."""

    name: str
    line: str
    """What is tested; the inputs are in `../in/`."""
    again: str = ""
    """Options that let it continue; empty: it is run as it is."""
    earlier: str = ""
    """A command that is run before, whose outputs are replaced; it may not fail."""
    instead: str = ""
    """What continues it where it is another command."""


COMMANDS = [
    Command("fuse files", f"{FILES} --strategy l1norm", again="--overwrite"),
    Command(
        "fuse files over others",
        f"{FILES} --strategy l1norm --overwrite",
        earlier=f"{FILES} --strategy l2norm",
    ),
    Command("fuse folders", f"{FOLDER} --strategy l1norm", again="--resume"),
    Command(
        "fuse folders over others",
        f"{FOLDER} --strategy l1norm --overwrite",
        again="--resume",
        earlier=f"{FOLDER} --strategy l2norm",
    ),
    Command("fuse a sequence to frames", f"{SEQUENCE} -o out", again="--resume"),
    Command("fuse a sequence to a stack", f"{SEQUENCE} -o out.tif", again="--resume"),
    Command("fuse a sequence to a video", f"{SEQUENCE} -o out.mkv", again="--resume"),
    Command(
        "fuse a sequence over another",
        f"{SEQUENCE} -o out.mkv --overwrite",
        again="--resume",
        earlier=f"{SEQUENCE} -o out.mkv --limits frame",
    ),
    Command("evaluate", EVALUATE, again="--resume"),
    Command(
        "evaluate more",
        f"{EVALUATE} --method identity/addition --resume",
        earlier=EVALUATE,
    ),
    Command("study run", "study run ../in/grid.toml -o out"),
    Command(
        "study report",
        "study report ../in/grid.toml -o out",
        earlier="study run ../in/grid.toml -o out",
    ),
    Command("train", TRAIN, instead="train -o run --resume"),
    Command("train-strategy", TRAIN_STRATEGY, instead=f"{TRAIN_STRATEGY} --resume"),
    Command("sheet", "sheet ../in/set -o sheet.png", again="--overwrite"),
    Command(
        "sheet over another",
        "sheet ../in/set -o sheet.png --cell 32 --overwrite",
        earlier="sheet ../in/set -o sheet.png",
    ),
    Command("curves", "curves ../in/log -o figures", again="--overwrite"),
    Command("new-strategy", "new-strategy mine --author Me"),
]
NOT_WRITING = [
    "score ../in/set/a/0.png ../in/set/a/0.png ../in/set/b/0.png --metrics EN",
    "pairs ../in/set",
    "bench --size 32x32 --method identity/mean --rounds 1 --seconds 0 --no-memory",
    "explain ../in/x.png",
]


BLEND = """
    from dataclasses import dataclass
    from fusionlab import LearnedStrategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef("blend", f"{__name__}:Blend", "Blend.")]

    @dataclass(frozen=True)
    class Blend(LearnedStrategy):
        "Blend."

        def network(self, level):
            import torch

            class Net(torch.nn.Module):
                def __init__(inner):
                    super().__init__()
                    inner.layer = torch.nn.Conv2d(level.channels, level.channels, 1)

                def forward(inner, features):
                    return inner.layer(features.mean(dim=0))

            return Net()

        def losses(self, fused, sources, merged, features):
            return {"all": (fused - sources.mean(dim=0)).square().mean()}
"""
"""A strategy that is trained in no time."""


def noise(rng, path, shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, rng.integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture(scope="module")
def root(made_once):
    """A folder with the inputs of all commands in `in/`."""

    def make(folder):
        rng = np.random.default_rng(0)
        for number in range(4):
            for letter in "ab":
                if number < 2:
                    noise(rng, folder / f"in/set/{letter}/{number}.png", (16, 24))
                noise(rng, folder / f"in/photo-pairs/{letter}/{number}.png", (16, 24))
            noise(rng, folder / f"in/photos/{number}.png", (40, 40, 3))
        noise(rng, folder / "in/held-out/0.png", (40, 40, 3))
        (folder / "in/grid.toml").write_text(STUDY)
        (folder / "in/log").mkdir()
        lines = [{"iteration": 0, "settings": {}}]
        lines += [
            {"iteration": n, "pixel": 1 / n, "structure": 0.1, "total": 1.0} for n in range(1, 9)
        ]
        (folder / "in/log/log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder / "in")
            succeeded("fuse --backbone identity set/a/0.png set/b/0.png -o x.png --record")

    return made_once("faults", make)


@pytest.fixture
def place(root, tmp_path, monkeypatch, install):
    """An empty current folder beside the inputs; the order of all calls is the same each time."""
    (tmp_path / "in").symlink_to(root / "in")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(folder_run, "WRITERS", 1)
    install("lab-blend", BLEND)
    return tmp_path / "here"


def run(line, *more):
    return CliRunner().invoke(main, [*line.split(), *more])


def succeeded(line, *more):
    result = run(line, *more)
    assert result.exit_code == 0, f"{line} {more} {result.output!r} {result.exception!r}"


def emptied(place, files):
    """Let a folder hold these files and nothing else."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def comparable(files):
    """Return the content of files without what differs between two undisturbed runs.

    Of a journal, a line that was cut off, or written twice, does not count.
    """
    return {
        name: set(filter(is_json, content.splitlines())) if name.endswith(".jsonl") else content
        for name, content in files.items()
        if Path(name).name not in PASSING and not name.endswith(CACHE)
    }


def is_json(line):
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def check(command, place, number, failure, before, undisturbed):
    """Let one call fail, and return what is wrong then, a sentence each."""
    emptied(place, before)
    with FaultyFiles(place, number, **failure) as files:
        result = run(command.line)
    there = whole(place)
    wrong = [f"left {path.name}" for path in place.rglob(".fusionlab-*")]
    if result.exit_code:
        wrong += [*in_what_is_said(result), *in_what_is_left(there, before, undisturbed)]
    elif comparable(there) != comparable(undisturbed):
        wrong.append("ended with 0 and other files")
    wrong += in_what_follows(command, place, there, undisturbed)
    call = files.calls[number] if number < len(files.calls) else "no call"
    return [f"{command.name}, {failure} at {number} {call}: {text}" for text in wrong]


def in_what_is_said(result):
    if not isinstance(result.exception, SystemExit):
        yield f"raised {result.exception!r}"
    if "Traceback" in result.output:
        yield "printed a traceback"
    if not re.search("^(Error|failed): .+", result.stderr, re.MULTILINE):
        yield f"said nothing: {result.output}"


def in_what_is_left(there, before, undisturbed):
    for name in before.keys() | there.keys():
        if Path(name).name in (*GROWING, *PASSING) or ".parts/" in name:  # of a run to resume
            continue
        if there.get(name) not in (before.get(name), undisturbed.get(name)):
            yield f"lost {name}" if name in before else f"left half of {name}"


def in_what_follows(command, place, there, undisturbed):
    """Run the command again, and say what is wrong with that."""
    whole_already = comparable(there) == comparable(undisturbed)
    more = command.again.split()
    if not (whole_already and not more):
        if command.instead and run(command.instead).exit_code == 0:
            pass
        elif (result := run(command.line, *more)).exit_code:
            yield f"cannot be continued: {result.output!r} {result.exception!r}"
            return
    after, expected = comparable(whole(place)), comparable(undisturbed)
    differing = [name for name in after.keys() | expected if after.get(name) != expected.get(name)]
    if differing:
        yield f"was continued to other files: {differing}"


def undisturbed_run(command, place):
    """Return the files before and after a command, and its calls."""
    emptied(place, {})
    if command.earlier:
        succeeded(command.earlier)
    before = whole(place)
    with FaultyFiles(place) as files:
        succeeded(command.line)
    return before, whole(place), files.calls


def test_a_file_system_that_fails_somewhere_costs_one_sentence_and_nothing_else(place):
    """A part of what the slow test does with every command and every call."""
    command = COMMANDS[2]
    before, after, calls = undisturbed_run(command, place)
    wrong = []
    for number in range(0, len(calls), 11):
        wrong += check(command, place, number, {"code": errno.EIO}, before, after)
    assert not wrong, "\n".join(wrong)


FAILURES = [
    {"code": errno.ENOSPC, "stays": True},
    {"code": errno.ENOSPC},
    {"code": errno.EIO},
    {"code": errno.EACCES},
]


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_whatever_call_fails_nothing_is_lost_and_the_command_can_be_run_again(
    command, place, failure
):
    before, after, calls = undisturbed_run(command, place)
    assert {"open", "write", "fsync", "rename", "close"} <= {kind for kind, _ in calls}
    wrong = []
    for number in range(len(calls)):
        wrong += check(command, place, number, failure, before, after)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("line", NOT_WRITING, ids=lambda line: line.split()[0])
def test_a_command_that_only_reads_writes_nothing(place, root, line):
    with FaultyFiles(root.parent) as files:
        succeeded(line)
    assert files.calls == []
