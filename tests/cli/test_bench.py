"""`fusionlab bench`, as a user types it."""

import json
from importlib.metadata import version

import pytest
import torch
from click.testing import CliRunner

from fusionlab.bench import measuring
from fusionlab.bench.throughput import PeakThroughput
from fusionlab.cli import main
from fusionlab.engine import choice
from fusionlab.engine.trial import Trial


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(measuring, "peak_throughput", lambda *_: PeakThroughput(256, 1e9))


def run(*args):
    fast = ["--size", "24x20", "--rounds", "1", "--seconds", "0", "--no-memory"]
    engines = [] if "--engine" in args else ["--engine", "eager"]
    return CliRunner().invoke(main, ["bench", *fast, *engines, *args])


def test_without_more_it_is_the_default_method_and_says_what_is_timed():
    result = run()
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert f"torch {version('torch')}" in text
    assert "from arrays in memory to an array in memory" in text
    assert "method densefuse" in text
    assert "images/s" in text


def test_as_json_there_is_a_row_for_every_combination():
    result = run(
        *("--method", "identity/max", "--method", "identity/mean", "--size", "30x8"),
        *("--sources", "2", "--sources", "3", "--channels", "1", "--channels", "3", "--json"),
    )
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    rows = {
        (row["method"], row["width"], row["height"], row["sources"], row["channels"])
        for row in output["rows"]
    }
    assert rows == {
        (method, *size, k, channels)
        for method in ("identity/max", "identity/mean")
        for size in ((24, 20), (30, 8))
        for k in (2, 3)
        for channels in (1, 3)
    }
    assert all(row["time"]["rounds"] == 1 for row in output["rows"])


def test_a_stream_has_frames_per_second_and_latency():
    methods = ("--method", "identity/max", "--method", "identity/mean", "--channels", "3")
    row, _ = json.loads(run(*methods, "--frames", "3", "--json").stdout)["rows"]
    assert row["stream"]["frames"] == 3
    assert row["stream"]["frames_per_second"] > 0
    assert 0 < row["stream"]["latency"]["median"] <= row["stream"]["latency"]["95%"]
    text = run(*methods, "--frames", "3").stdout
    assert "3 frames, from uncompressed" in text
    assert "frames/s    latency, s" in text
    assert "frames/s" not in run(*methods).stdout


def test_threads_are_those_that_are_asked_for_and_then_as_before():
    before = torch.get_num_threads()
    result = run("--method", "identity/max", "--threads", str(before + 1), "--json")
    assert json.loads(result.stdout)["machine"]["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_memory_is_measured_without_the_plugins_that_are_left_out(monkeypatch):
    asked = []
    monkeypatch.setattr(measuring, "peak_on_cpu", lambda *args: asked.append(args[-1]) or 2**20)
    fast = ["--size", "24x20", "--rounds", "1", "--seconds", "0", "--method", "identity/max"]
    fast += ["--engine", "eager"]
    result = CliRunner().invoke(main, ["--no-plugin", "lab-other", "bench", *fast, "--json"])
    (row,) = json.loads(result.stdout)["rows"]
    assert row["peak_bytes"] == 2**20
    assert asked == [("lab-other",)]


def test_one_that_is_refused_says_why_and_the_others_are_measured():
    result = run("--method", "identity/max", "--precision", "fp32", "--precision", "tf32")
    assert result.exit_code == 0
    assert "refused: tf32: tf32 is a precision of CUDA" in result.stdout


def test_nothing_measured_is_exit_code_2():
    result = run("--precision", "tf32", "--json")
    assert result.exit_code == 2
    (row,) = json.loads(result.stdout)["rows"]
    assert "tf32 is a precision of CUDA" in row["problem"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--size", "640"], "expected WIDTHxHEIGHT such as 640x480, got '640'"),
        (["--size", "0x480"], "expected WIDTHxHEIGHT such as 640x480, got '0x480'"),
        (["--sources", "1"], "1 is not in the range x>=2"),
        (["--device", "nonsense"], "the device nonsense is not available"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(args, sentence):
    result = run(*args)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not result.stdout


def test_ctrl_c_shows_what_there_is(monkeypatch):
    calls = []

    def stop(*args):
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return time_in_turns(*args)

    time_in_turns = measuring.time_in_turns
    monkeypatch.setattr(measuring, "time_in_turns", stop)
    result = run("--method", "identity/max", "--method", "identity/mean", "--json")
    assert result.exit_code == 130
    assert [row["method"] for row in json.loads(result.stdout)["rows"]] == ["identity/max"]
    assert "stopped after 1 of 2 rows" in result.stderr


def test_without_an_engine_all_that_auto_chooses_from_are_compared(monkeypatch):
    monkeypatch.setattr(choice, "tried", lambda *_: Trial("eager+eager", 0.5, {}))
    monkeypatch.setattr(choice, "user_cache", lambda: None)
    fast = ["--size", "24x20", "--rounds", "1", "--seconds", "0", "--no-memory"]
    command = ["bench", *fast, "--method", "identity/max"]
    result = CliRunner().invoke(main, [*command, "--json"])
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert [row["engine"] for row in output["rows"]] == ["eager", "openvino", "ncnn", "auto"]
    measured = [row for row in output["rows"] if row["problem"] is None]
    assert measured[-1]["chosen_engine"] == "eager+eager"
    fastest = min(measured, key=lambda row: row["time"]["median"])
    assert output["best"].startswith("fastest here in fp32, on ")
    assert f"the engine {fastest['engine']}" in output["best"]
    lines = CliRunner().invoke(main, command).stdout.splitlines()
    assert any(line.split()[:2] == ["auto", "(eager+eager)"] for line in lines)
    assert lines[-1].startswith("fastest here in fp32, on ")


def test_one_engine_is_not_called_the_fastest():
    result = run("--method", "identity/max", "--method", "identity/mean", "--json")
    assert json.loads(result.stdout)["best"] is None
