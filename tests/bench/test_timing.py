"""Timing: how often functions are called, and the statistics of their durations."""

import pytest
import torch

from fusionlab.bench import timing
from fusionlab.bench.timing import TimingBudget, Timings, seconds_of, time_in_turns

CPU = torch.device("cpu")


class Clock:
    """A clock that moves only when told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def takes(self, *seconds):
        """Return a function that takes so long at each call; the last duration repeats."""
        left = list(seconds)

        def work():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_call_takes_as_long_as_the_clock_says(clock):
    assert seconds_of(clock.takes(3.5), CPU) == 3.5


def test_the_median_and_the_distance_of_the_quartiles_are_those_worked_out_by_hand():
    timings = Timings(first=9.0, seconds=(4.0, 1.0, 2.0, 8.0, 3.0))  # sorted: 1 2 3 4 8
    assert timings.median == 3.0
    assert timings.spread == 2.0  # from 2, a quarter of the way, to 4
    assert Timings(9.0, (1.5,)).spread == 0


def test_the_first_call_stands_apart(clock):
    timings = time_in_turns({"it": clock.takes(50, 1)}, CPU, TimingBudget(rounds=3, seconds=0))
    assert timings["it"] == Timings(50, (1, 1, 1))


def test_rounds_go_on_until_there_are_enough_of_them(clock):
    timings = time_in_turns({"slow": clock.takes(10)}, CPU, TimingBudget(rounds=4, seconds=1))
    assert timings["slow"].seconds == (10,) * 4


def test_rounds_go_on_until_they_have_taken_long_enough(clock):
    timings = time_in_turns({"fast": clock.takes(0.5)}, CPU, TimingBudget(rounds=2, seconds=3))
    assert timings["fast"].seconds == (0.5,) * 6


def test_several_calls_take_turns_and_each_gets_its_seconds(clock):
    calls, work = [], clock.takes(1)
    works = {name: lambda name=name: (calls.append(name), work()) for name in "ab"}
    timings = time_in_turns(works, CPU, TimingBudget(rounds=1, seconds=2))
    assert calls == list("ab" * 3)
    assert all(times.seconds == (1, 1) for times in timings.values())


def test_on_cuda_the_device_is_idle_before_and_after_a_call(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(str(device)))
    seconds_of(lambda: events.append("work"), torch.device("cuda:1"))
    assert events == ["cuda:1", "work", "cuda:1"]


def test_on_cuda_two_calls_do_not_count(monkeypatch):
    """A compiled graph is recorded by the second."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    calls = []
    works = {"it": lambda: calls.append(1)}
    timings = time_in_turns(works, torch.device("cuda"), TimingBudget(rounds=3, seconds=0))
    assert len(calls) == 5
    assert len(timings["it"].seconds) == 3
