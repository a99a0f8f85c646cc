"""The script for a GPU: packed, measured at toy size on a CPU, trained in parts, and reported."""

import importlib
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu.sh"

WORKER = """
import sys, time
for word in sys.argv[1:]:
    name, equals, _ = word.partition("=")
    if equals:
        print("begin", name, flush=True)
        if name == "{bad}":
            {action}
        print("end", name, flush=True)
"""


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a module of the script, and forget them all in the end."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "gpu"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if Path(path).parent == BENCHMARKS / "gpu":
            del sys.modules[name]


def call(*words):
    command = [str(SCRIPT), *map(str, words)]
    return subprocess.run(
        command, env={**_environment(), "PYTHON": sys.executable}, check=False, timeout=600
    ).returncode


def _environment():
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("action", "problem"), [("time.sleep(60)", "too long"), ("sys.exit(3)", ""), ("1 / 0", "")]
)
def test_a_part_that_fails_costs_itself_only(load, tmp_path, monkeypatch, capfd, action, problem):
    measure = load("measure")
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER.format(bad="small", action=action))
    monkeypatch.setattr(measure, "WORKER", worker)
    monkeypatch.setattr(measure, "GRACE", 0.2)
    monkeypatch.setitem(measure.PARTS, "small", 1)
    names = ["speed", "small", "large"]
    began = time.monotonic()
    assert measure.measure(tmp_path, "cpu", 20, names, toy=True) == 1
    assert time.monotonic() - began < 20
    output = capfd.readouterr().out
    assert [line for line in output.splitlines() if line.startswith("end")] == [
        line for line in output.splitlines() if line.startswith(("end speed", "end large"))
    ]
    assert output.count("end ") == 2
    assert problem in output


def test_a_device_that_is_not_there_costs_one_sentence(load, tmp_path, monkeypatch, capfd):
    measure = load("measure")
    worker = tmp_path / "worker.py"
    worker.write_text("import sys; print('no such device'); sys.exit(3)")
    monkeypatch.setattr(measure, "WORKER", worker)
    with pytest.raises(SystemExit) as caught:
        measure.measure(tmp_path, "cuda", 20, ["speed", "small"], toy=True)
    assert caught.value.code == 2
    assert capfd.readouterr().out.count("no such device") == 1


def test_rows_are_kept_as_they_come_and_none_is_begun_without_time(load, tmp_path):
    part = load("part").Part("odd", tmp_path, torch.device("cpu"), True, seconds=0.1)

    def row(name):
        if name == "fails":
            raise RuntimeError("no kernel\nimage")
        time.sleep(0.12)
        return {"written before": json.loads((tmp_path / "odd.json").read_text())}

    part.rows("rows", ["fails", "slow", "late"], row)
    rows = json.loads((tmp_path / "odd.json").read_text())["rows"]
    assert rows["fails"] == {"problem": "RuntimeError: no kernel image"}
    assert rows["slow"]["written before"]["rows"] == {"fails": rows["fails"]}
    assert rows["late"] == {"problem": "no time was left"}


def test_what_a_machine_needs_is_what_fusionlab_needs_without_what_it_has(load):
    pack = load("pack")
    torch_and_its_own = {"torch", *pack.needed(["torch"], set())}
    needed = pack.needed(["fusionlab-imaging"], torch_and_its_own | {"scipy"})
    assert {"fusionlab-imaging", "click", "imagecodecs", "pluggy", "rich", "pygments"} <= set(
        needed
    )
    assert not {"torch", "jinja2", "scipy", "openvino", "tomli"} & set(needed)
    assert str(needed["click"].specifier) == "<9,>=8.3"


def test_as_many_images_as_fit_become_one_file_always_the_same(load, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(9):
        iio.imwrite(tmp_path / f"{number}.png", rng.integers(0, 256, (40, 300, 3), dtype=np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    write_tar = load("data").write_tar
    assert write_tar([tmp_path], tmp_path / "all.tar", 10**7) == 9
    count = write_tar([tmp_path], tmp_path / "few.tar", 60_000)
    assert 1 <= count < 9
    assert (tmp_path / "few.tar").stat().st_size <= 60_000
    with tarfile.open(tmp_path / "few.tar") as tar:
        image = iio.imread(tar.extractfile("000000.jpg").read())
    assert image.shape == (34, 256)
    again = tmp_path / "again.tar"
    assert write_tar([tmp_path / "all.tar"], again, 10**7) == 9
    assert write_tar([tmp_path], tmp_path / "second.tar", 60_000) == count
    assert (tmp_path / "second.tar").read_bytes() == (tmp_path / "few.tar").read_bytes()


@pytest.mark.slow
def test_every_part_ends_at_toy_size_on_a_cpu_and_the_page_shows_it(tmp_path):
    results, page = tmp_path / "results", tmp_path / "page.md"
    words = ("--device", "cpu", "--toy", "--seconds", "400")
    assert call("measure", "-o", results, *words) == 0
    files = sorted(results.iterdir())
    assert len(files) == 8  # what comes back from a machine that is lent
    assert all(json.loads(path.read_text())["finished"] for path in files)
    assert call("report", results, "-o", page) == 0
    text = page.read_text()
    assert text.count("\n## ") == 8
    assert "| eager:fp32 " in text
    assert "It did not come to" not in text


@pytest.mark.slow
def test_a_training_in_parts_has_the_curve_of_one_in_one_piece(tmp_path):
    one, first, second = (tmp_path / name for name in ("one", "first", "second"))
    toy = ("--device", "cpu", "--toy", "--iterations", 400, "--seconds", 400)
    assert call("train", "-o", one, *toy) == 0
    whole = json.loads((one / "train.json").read_text())
    assert whole["finished"]
    assert call("train", "-o", first, *toy, "--stop-at", 20) == 0
    stopped = json.loads((first / "train.json").read_text())
    assert not stopped["finished"]
    assert call("train", "-o", second, *toy, "--start-from", first) == 0
    parts = json.loads((second / "train.json").read_text())
    assert parts["finished"]
    assert parts["resumed_from"] >= 20
    assert len(list(second.iterdir())) <= 8  # what comes back from a machine that is lent
    for key in ("training", "validation", "final", "settings"):
        assert parts[key] == whole[key]
