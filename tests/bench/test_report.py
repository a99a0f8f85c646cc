"""The figures as JSON, and as a table."""

import json
from importlib.metadata import version

import pytest
import torch

from fusionlab.bench.cases import Case
from fusionlab.bench.machine import describe_machine
from fusionlab.bench.measuring import Refusal, Row
from fusionlab.bench.report import Report
from fusionlab.bench.throughput import PeakThroughput
from fusionlab.bench.timing import Timings

CASE = Case("any/strategy", width=1000, height=500)
TIMES = Timings(1.5, (0.25, 0.25, 0.5))  # quartiles 0.25 and 0.375
PEAKS = (PeakThroughput(1024, 2e10), PeakThroughput(1024, 4e10))


def row(case=CASE, **changes):
    given = {
        "method": "any@tag/strategy,r=1",
        "times": TIMES,
        "on_device": None,
        "macs": 3 * 10**9,
        "throughputs": PEAKS,
        "peak": 5 * 2**20,
    }
    return Row(case, **{**given, **changes})


@pytest.fixture
def machine():
    return describe_machine(torch.device("cpu"))


def test_the_machine_is_described_in_plain_values(machine):
    assert json.loads(json.dumps(machine)) == machine
    assert machine["device"] == "cpu"
    assert machine["gpu"] is None
    assert machine["processor"]
    assert machine["threads"] == torch.get_num_threads()
    assert machine["versions"]["torch"] == version("torch")  # without +cu130 of a CUDA build
    assert {"python", "fusionlab-imaging", "numpy"} <= set(machine["versions"])


def test_json_holds_everything_unrounded(machine):
    report = Report(machine, [row()]).as_dict()
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {"machine", "timed", "share", "stream", "rows", "best"}
    assert report["rows"] == [
        {
            "method": "any@tag/strategy,r=1",
            "width": 1000,
            "height": 500,
            "sources": 2,
            "channels": 1,
            "engine": "eager",
            "precision": "fp32",
            "chosen_engine": "",
            "problem": None,
            "time": {"median": 0.25, "spread": 0.125, "first": 1.5, "rounds": 3},
            "time_on_device": None,
            "images_per_second": 4.0,
            "megapixels_per_second": 2.0,
            "macs": 3 * 10**9,
            "peak_throughputs": [
                {"edge": 1024, "macs_per_second": 2e10},
                {"edge": 1024, "macs_per_second": 4e10},
            ],
            "share": pytest.approx(0.4),
            "peak_bytes": 5 * 2**20,
            "stream": None,
        }
    ]


def test_a_refused_case_is_a_row_with_its_problem(machine):
    (refused,) = Report(machine, [Refusal(CASE, "it does not run")]).as_dict()["rows"]
    assert refused["problem"] == "it does not run"
    assert refused["engine"] == "eager"
    assert "time" not in refused


def test_the_table_shows_what_differs_and_the_facts_what_does_not(machine):
    half = Case("any/strategy", width=1000, height=500, precision="bf16")
    report = Report(machine, [row(), row(half, peak=None)])
    heads, _, first, second = report.to_text().splitlines()
    assert heads.split()[:2] == ["precision", "s"]
    assert first.split() == ["fp32", "0.25", "50%", "1.5", "4", "2", "40%", "20", "40", "5"]
    assert second.split()[0] == "bf16"
    assert second.split()[-1] == "-"
    facts = report.facts()
    assert facts["size"] == "1000x500"
    assert "precision" not in facts
    assert "no files" in facts["timed"]


def test_without_a_share_there_is_a_dash(machine):
    text = Report(machine, [row(macs=0, throughputs=())]).to_text()
    assert text.splitlines()[-1].split()[-3:] == ["-", "-", "5"]


def test_what_was_refused_stands_below(machine):
    openvino = Case("any/strategy", width=1000, height=500, engine="openvino")
    text = Report(machine, [row(), Refusal(openvino, "it is not there")]).to_text()
    assert text.splitlines()[-1] == "refused: openvino: it is not there"


def test_on_cuda_the_time_on_the_device_has_its_columns(machine):
    report = Report({**machine, "gpu": "Some GPU"}, [row(on_device=Timings(9, (0.125,)))])
    assert "on device, s" in report.to_text()
    assert report.to_text().splitlines()[-1].split()[3:5] == ["0.125", "0%"]
    assert "synchronizations" in report.facts()["timed"]
    assert "Some GPU" in report.facts()["device"]
