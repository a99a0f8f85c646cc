"""`fusionlab watch`: what is printed, what is refused, and how it ends."""

import json
import signal
import subprocess
import time

import imageio.v3 as iio
import make_sequence
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import FusionlabError
from fusionlab.cli import main


def run(command, *args):
    """Run a command, and let no exception of ours pass for an exit code."""
    result = CliRunner().invoke(main, [command, *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def cam(tmp_path, monkeypatch):
    """Four pairs in `cam/ir` and `cam/vis` of the current folder."""
    monkeypatch.chdir(tmp_path)
    make_sequence.write_frames(tmp_path / "cam", make_sequence.frames(32, 24, 4, bits=8))
    return tmp_path


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch):
    """Damaged files fail at once, instead of after two seconds."""
    monkeypatch.setattr("fusionlab.sequences.watch.GRACE", 0.05)


WATCH = ("watch", "cam", "-o", "live", "--existing", "--idle", "0.1")


def images(folder):
    return [iio.imread(path) for path in sorted(folder.glob("*.png"))]


def test_images_are_those_of_fuse(cam):
    """The method is that of the task of the first set, as for a folder."""
    assert run(*WATCH).exit_code == 0
    assert run("fuse", "cam", "-o", "out", "--task", "infrared").exit_code == 0
    assert len(images(cam / "live")) == 4
    assert np.array_equal(images(cam / "live"), images(cam / "out"))


def test_each_image_is_a_line_and_the_end_is_a_summary(cam):
    result = run(*WATCH, "--strategy", "mean", "--backbone", "identity")
    assert result.stderr == "watching cam; Ctrl-C ends it\n"
    *lines, summary, time_, output = result.stdout.splitlines()
    assert lines == [
        "method    identity/mean",
        "range     clip",
        "color     auto",
        "scale     auto",
        "device    cpu",
        "watching  cam/ir/ with cam/vis/",
        *[f"fused    live/00000{number}.png" for number in range(4)],
    ]
    assert summary == "summary  4 fused, 0 failed, 0 dropped, 0 incomplete, 0 waiting"
    assert time_.startswith("time     ")
    assert output == "output   live/"


def test_json_has_a_line_for_each_set_and_for_the_summary(cam):
    (cam / "cam/vis/000001.png").write_bytes(b"no image")
    (cam / "cam/ir/extra.png").write_bytes(b"alone")
    result = run(*WATCH, "--wait", "0.05", "--json", "--every", "0.001")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    sets = {line["name"]: line for line in lines if "name" in line}
    assert {name: line["status"] for name, line in sets.items()} == {
        "000000": "fused",
        "000001": "failed",
        "000002": "fused",
        "000003": "fused",
        "extra": "incomplete",
    }
    assert "000001.png" in sets["000001"]["problem"]
    assert "--" not in sets["000001"]["problem"]
    assert any("progress" in line for line in lines)
    summary = lines[-1]["summary"]
    assert (summary["fused"], summary["failed"], summary["incomplete"]) == (3, 1, 1)
    assert summary["task"] == "infrared"


def test_a_run_in_which_every_set_fails_says_so_by_its_code(cam):
    for path in (cam / "cam/vis").iterdir():
        path.write_bytes(b"no image")
    result = run(*WATCH)
    assert result.exit_code == 2
    assert result.stderr.count("failed: ") == 4


def test_limits_carry_over_from_set_to_set(cam):
    """A range that is measured in each frame would let the first and the last differ."""
    arguments = ("--strategy", "mean", "--range", "minmax", "--scale", "full", "--overwrite")
    seen = {}
    for limits in ("first", "frame", "fixed=0,255"):
        assert run(*WATCH, *arguments, "--limits", limits).exit_code == 0
        seen[limits] = images(cam / "live")
    assert np.array_equal(seen["first"][0], seen["frame"][0])
    assert not np.array_equal(seen["first"][3], seen["frame"][3])
    assert not np.array_equal(seen["fixed=0,255"][0], seen["frame"][0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing", "-o", "live"], "missing does not exist"),
        (["cam", "-o", "live", "--limits", "two-pass"], "--limits two-pass"),
        (["cam", "-o", "live", "--temporal", "0.5", "--strategy", "gtf"], "temporal"),
        (
            ["cam", "-o", "live", "--limits", "fixed=0,9", "--scale", "minmax", "--strategy=mean"],
            "(--scale)",
        ),
        (["cam", "-o", "cam/ir", "--existing"], "cam/ir is watched"),
        (["cam", "-o", "live.png"], "folder"),
        (["cam/ir", "-o", "live", "--transforms", "rig.json"], "rig.json"),
        (["cam/{}_ir.png", "-o", "live"], "at least two"),
        (["cam", "-o", "live", "--strategy", "meen"], "mean"),
    ],
)
def test_what_cannot_work_is_refused_before_a_file_comes(cam, arguments, words):
    result = run("watch", *arguments, "--for", "0.01")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") <= 4
    assert not (cam / "live").exists()


def test_a_folder_that_cannot_be_written_any_more_ends_it_with_a_summary(cam, monkeypatch):
    from fusionlab.sequences import watch

    write = watch.atomic_write_all

    def full_after_two(files, **options):
        if any(path.stem > "000001" for path in files):
            raise FusionlabError("cannot write live: No space left on device", code="unwritable")
        return write(files, **options)

    monkeypatch.setattr(watch, "atomic_write_all", full_after_two)
    result = run(*WATCH, "--strategy", "mean")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: cannot write live: No space left on device\n")
    assert "summary  2 fused" in result.stdout


def test_a_method_that_turns_out_not_to_do_ends_it_at_the_first_set(cam):
    """The task of the first set chooses it, and it has no weights to smooth."""
    result = run(*WATCH, "--temporal", "0.5")
    assert result.exit_code == 2
    assert result.stderr.count("Error: ") == 1
    assert "(--temporal)" in result.stderr
    assert not images(cam / "live")


def test_a_record_says_how_an_image_was_made(cam):
    assert run(*WATCH, "--record", "--limits", "first").exit_code == 0
    record = json.loads((cam / "live/000003.png.json").read_text(encoding="utf-8"))
    assert record["task"] == {"name": "infrared", "detected": True}
    assert record["temporal"]["limits"] == "first"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(cam, python, number):
    """Files that come later are fused, and those of the start are not."""
    command = [python, "-m", "fusionlab", "watch", "cam", "-o", "live", "--strategy", "mean"]
    with subprocess.Popen(
        command, cwd=cam, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr.readline().startswith("watching cam")
        make_sequence.write_frames(cam / "new", make_sequence.frames(32, 24, 1, bits=8))
        time.sleep(0.2)
        for source in ("ir", "vis"):
            (cam / "new" / source / "000000.png").rename(cam / "cam" / source / "later.png")
        for line in process.stdout:
            if line.startswith("fused"):
                break
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert line.split()[1] == "live/later.png"
    assert rest.startswith("summary  1 fused, 0 failed, 0 dropped, 0 incomplete, 0 waiting\n")
    assert "latency" in rest
    assert errors == ""
    assert process.returncode == 0
    assert [path.name for path in (cam / "live").iterdir()] == ["later.png"]
