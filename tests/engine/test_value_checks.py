"""What depends on values is refused in one sentence, on a GPU after everything has been queued."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fusionlab import Fusion, FusionlabError, Strategy, WeightedStrategy
from fusionlab.cli import main
from fusionlab.engine import pipeline
from fusionlab.engine.value_checks import ValueChecks, value_checks

CPU, GPU = torch.device("cpu"), torch.device("cuda")

PLANES = torch.linspace(0, 1, 2 * 64 * 192).view(2, 1, 1, 64, 192)


def fails(message, *values):
    raise FusionlabError(f"{message}: {values}", code=message)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Let a fusion on the CPU read the values that it checks when a fusion on a GPU does."""

    @contextmanager
    def late(device):
        with value_checks(GPU) as checks:
            yield checks

    monkeypatch.setattr(pipeline, "value_checks", late)


class Wrong(WeightedStrategy):
    """Weights that sum to two where a tile begins, and to one elsewhere."""

    support, tiles = 0, 0

    def weights(self, features, scene):
        type(self).tiles += 1
        return torch.full_like(features, 1.0 if scene.left == 0 else 0.5)


class Huge(Strategy):
    support = 0

    def fuse(self, features, scene):
        return features[0] * (1e9 if scene.left == 0 else 1)


class NotFinite(Huge):
    def fuse(self, features, scene):
        return features[0] / 0


class WrongThenFailing(Wrong):
    def weights(self, features, scene):
        if scene.left:
            raise ArithmeticError("does not converge")
        return super().weights(features, scene)


def failure_of(strategy):
    with pytest.raises(FusionlabError) as caught:
        Fusion("identity", strategy(), tile=64).fuse_planes(PLANES)
    return caught.value


@pytest.mark.parametrize("strategy", [Wrong, Huge, NotFinite])
def test_the_sentence_is_that_of_a_cpu(strategy, request):
    at_once = failure_of(strategy)
    request.getfixturevalue("as_on_a_gpu")
    late = failure_of(strategy)
    assert (late.code, str(late)) == (at_once.code, str(at_once))


def test_nothing_is_read_before_all_tiles_are_computed(as_on_a_gpu):
    Wrong.tiles = 0
    failure_of(Wrong)
    assert Wrong.tiles == 3


def test_wrong_values_are_named_where_they_make_a_later_call_fail(as_on_a_gpu):
    assert failure_of(WrongThenFailing).code == "weights"


def test_nothing_is_written_where_a_check_fails_at_the_end(
    as_on_a_gpu, install, tmp_path, monkeypatch
):
    install(
        "lab-odd",
        """
        from fusionlab import Strategy, StrategyRef, hookimpl

        class Nothing(Strategy):
            support = 0
            def fuse(self, features, scene): return features[0] / 0

        @hookimpl
        def fusionlab_strategies(): return [StrategyRef("nothing", f"{__name__}:Nothing", "Odd.")]
        """,
    )
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        iio.imwrite(name, np.arange(64 * 70, dtype=np.uint8).reshape(64, 70))
    command = "fuse --backbone identity --strategy nothing --tile 64 a.png b.png -o x.png"
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 2
    assert "the strategy Nothing of lab-odd returned values that are not finite" in result.output
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["a.png", "b.png"]


def test_checks_are_made_in_the_order_of_the_values():
    checks = ValueChecks(at_once=False)
    one, two = torch.tensor(1.0), torch.tensor(2.0, dtype=torch.float64)
    checks.add([one], lambda value: None)
    checks.add([two, two], partial(fails, "first"))
    checks.add([one], partial(fails, "second"))
    with pytest.raises(FusionlabError, match=r"first: \(2.0, 2.0\)"):
        checks.settle()
    checks.settle()  # each check is made once


def test_on_a_cpu_a_check_is_made_at_once():
    with value_checks(CPU) as checks, pytest.raises(FusionlabError):
        checks.add([torch.tensor(1.0)], partial(fails, "now"))
