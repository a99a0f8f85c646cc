"""`fusionlab check`, as a user types it."""

import json

import pytest
import torch
from click.testing import CliRunner

from fusionlab.cli import main

PLUGIN = """
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from fusionlab import Law, Strategy, StrategyRef, hookimpl


@hookimpl
def fusionlab_strategies():
    return [
        StrategyRef("first", f"{__name__}:First", "The first source."),
        StrategyRef("nearsighted", f"{__name__}:Nearsighted", "The pixel to the right."),
    ]


@dataclass(frozen=True)
class First(Strategy):
    '''The first source, or the one of this number.'''

    support = 0
    number: Annotated[int, Interval(ge=0, le=1), "Which source."] = 0

    @property
    def laws(self):
        return frozenset({Law.IDEMPOTENCE, Law.PERMUTATION})

    def fuse(self, features, scene):
        return features[self.number]


class Nearsighted(First):
    '''Says that it looks at no other pixel.'''

    laws = frozenset()

    def fuse(self, features, scene):
        return features[0].roll(1, -1)
"""


@pytest.fixture(autouse=True)
def _plugin(install, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install("lab-first", PLUGIN)


def run(*args):
    return CliRunner().invoke(main, ["check", *args])


def laws(*names):
    return [word for name in names for word in ("--law", name)]


def test_a_strategy_that_keeps_its_laws_has_exit_code_0(tmp_path):
    result = run("first", *laws("determinism", "idempotence", "flips"))
    assert result.exit_code == 0, result.output
    rows = [line.split()[:3] for line in result.stdout.splitlines()[:3]]
    assert rows == [
        ["determinism", "required", "yes"],
        ["idempotence", "yes", "yes"],
        ["flips", "no", "yes"],
    ]
    assert "could be declared" in result.stdout.splitlines()[2]
    assert "lab-first:first keeps all required and declared laws" in result.stdout
    assert list(tmp_path.glob(".hypothesis")) == []


def test_a_broken_law_is_shown_with_an_input_and_has_exit_code_1():
    result = run("first,number=1", *laws("permutation"))
    assert result.exit_code == 1
    assert "First(number=1)" in result.stdout
    assert "breaks 1 of its required and declared laws: permutation" in result.stderr


def test_what_follows_from_a_wrong_support_comes_after_it_and_says_so():
    result = run("nearsighted", *laws("tiles", "support"))
    assert result.exit_code == 1
    support, tiles = result.stdout.splitlines()
    assert support.split()[:3] == ["support", "required", "NO"]
    assert "pixels away: expected" in support
    assert tiles.split() == ["tiles", "required", "NO", "first", "correct", "support"]


def test_the_threads_of_torch_are_given_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run("first", *laws("idempotence")).exit_code == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_as_json_there_is_an_object_for_every_law():
    result = run("first", *laws("idempotence"), "--json")
    (row,) = json.loads(result.stdout)
    assert (row["law"], row["declared"], row["held"]) == ("idempotence", "yes", "yes")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["first", "--law", "gravity"], "there is no law 'gravity'; known: "),
        (["nothing"], "there is no strategy 'nothing'"),
        (["first,number=2"], "number"),
        (["first,color=red"], "has no parameter 'color'"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(args, sentence):
    result = run(*args)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not result.stdout


def test_ctrl_c_says_how_far_it_came(monkeypatch):
    def examine(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("fusionlab.testing.examine", examine)
    result = run("first", *laws("idempotence"))
    assert result.exit_code == 130
    assert "stopped after 0 of 1 laws" in result.stderr
