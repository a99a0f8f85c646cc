"""Measure cases: the figures of a row, and rows that cannot be run."""

import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.bench import measuring
from fusionlab.bench.cases import Case
from fusionlab.bench.measuring import Bench, Refusal, Row
from fusionlab.bench.throughput import PeakThroughput
from fusionlab.bench.timing import TimingBudget, Timings
from fusionlab.plugins.host import installed

CPU = torch.device("cpu")
SMALL = {"width": 24, "height": 20}


@pytest.fixture
def bench(monkeypatch):
    """A bench that times one call, on a device with a constant peak throughput."""
    monkeypatch.setattr(measuring, "peak_throughput", lambda *_: PeakThroughput(256, 1e9))
    return Bench(CPU, installed(), budget=TimingBudget(1, 0), memory=False)


def row(**changes):
    given = {
        "case": Case("any/strategy", width=1000, height=500),
        "method": "any/strategy",
        "times": Timings(9, (0.25,)),
        "on_device": None,
        "macs": 3 * 10**9,
        "throughputs": (PeakThroughput(256, 2e10), PeakThroughput(512, 4e10)),
        "peak": None,
    }
    return Row(**{**given, **changes})


def test_speed_is_images_and_megapixels_of_the_result():
    assert row().images_per_second == 4
    assert row().megapixels_per_second == 2


def test_the_share_is_that_of_the_median_of_both_throughputs():
    """3e9 in 0.25 s are 1.2e10 a second, of 3e10."""
    assert row().peak_macs_per_second == 3e10
    assert row().share == pytest.approx(0.4)


def test_the_share_of_a_gpu_is_that_of_the_time_on_it():
    assert row(on_device=Timings(9, (0.125,))).share == pytest.approx(0.8)


def test_without_macs_there_is_no_share():
    assert row(macs=0, throughputs=()).share is None


def test_a_case_is_measured_between_two_throughputs(bench):
    (result,) = bench.run([Case("densefuse@1e2/l1norm", **SMALL)])
    assert result.method == "densefuse@1e2/l1norm,r=1,border=inside"
    assert len(result.times.seconds) == 1
    assert result.macs == 24 * 20 * (2 * 13_968 + 60_048)
    assert result.throughputs == (PeakThroughput(256, 1e9),) * 2
    assert (result.on_device, result.peak) == (None, None)


def test_without_macs_no_throughput_is_measured(bench, monkeypatch):
    monkeypatch.setattr(measuring, "peak_throughput", None)
    (result,) = bench.run([Case("identity/max", **SMALL)])
    assert (result.macs, result.throughputs, result.share) == (0, (), None)


def test_memory_is_that_of_another_process_with_as_many_threads(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(measuring, "peak_on_cpu", lambda *args: asked.append(args) or 123)
    bench = Bench(CPU, installed(), ("other",), TimingBudget(1, 0), memory=True)
    case = Case("identity/max", **SMALL)
    assert bench.measure(case).peak == 123
    assert asked == [(case, torch.get_num_threads(), ("other",))]


def test_a_case_that_is_refused_costs_only_itself(bench):
    cases = [
        Case("identity/max", **SMALL, precision="tf32"),
        Case("identity/nonsense", **SMALL),
        Case("identity/max", **SMALL),
    ]
    tf32, unknown, last = bench.run(cases)
    assert isinstance(tf32, Refusal)
    assert "tf32 is a precision of CUDA" in tf32.problem
    assert isinstance(unknown, Refusal)
    assert "nonsense" in unknown.problem
    assert isinstance(last, Row)


def test_what_torch_raises_becomes_a_sentence(bench, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no room\nfor it")

    monkeypatch.setattr(measuring, "time_in_turns", fail)
    (result,) = bench.run([Case("identity/max", **SMALL)])
    assert result.problem.startswith("there is not enough memory for the measurement")


def test_memory_that_does_not_suffice_ends_another_process_and_nothing_is_timed(bench, monkeypatch):
    def ended(*_):
        raise FusionlabError("the process was ended")

    monkeypatch.setattr(measuring, "peak_on_cpu", ended)
    monkeypatch.setattr(measuring, "time_in_turns", None)
    bench = Bench(CPU, installed(), budget=TimingBudget(1, 0), memory=True)
    assert list(bench.run([case := Case("identity/max", **SMALL)])) == [
        Refusal(case, "the process was ended")
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_on_cuda_the_device_is_timed_apart_and_its_memory_counted(precision):
    bench = Bench(torch.device("cuda"), installed(), budget=TimingBudget(3, 0))
    result = bench.measure(Case("densefuse/l1norm", precision=precision))
    assert len(result.on_device.seconds) == 3
    assert result.peak > 640 * 480 * 64 * 2  # features of a source, in half precision
    assert result.share > 0
