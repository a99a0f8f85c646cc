"""The regression board: its verdicts, and a run on a small set."""

import importlib
import json
import math
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.plugins.host import installed

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAN = math.nan


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def verdicts(load):
    return load("board_verdicts")


@pytest.fixture
def difference(verdicts):
    """Return a function that makes the difference of a candidate from a trivial rule."""

    def make(mean, best_mean=1.0, **changes):
        values = {"metric": "Qabf", "direction": 1, "best": "max", "images": 20, "better_on": 10}
        return verdicts.Difference(mean=mean, best_mean=best_mean, **{**values, **changes})

    return make


@pytest.fixture
def gain(difference):
    """A significant gain, so that only failures decide."""
    return difference(1.1, metric="SSIM", p=0.001)


@pytest.mark.parametrize(
    ("mean", "best_mean", "direction", "expected"),
    [
        (1.1, 1.0, 1, 0.1),
        (0.9, 1.0, 1, -0.1),
        (0.9, 1.0, -1, 0.1),
        (1.1, 1.0, -1, -0.1),
        (-9.0, -10.0, 1, 0.1),
        (-11.0, -10.0, 1, -0.1),
        (0.0, 0.0, 1, 0.0),
        (0.1, 0.0, 1, math.inf),
        (0.1, 0.0, -1, -math.inf),
    ],
)
def test_a_gain_is_positive_where_the_candidate_is_better(
    difference, mean, best_mean, direction, expected
):
    assert difference(mean, best_mean, direction=direction).gain == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mean", "p", "passed"),
    [
        (0.95, 0.01, False),
        (0.95, 0.05, True),  # not significant
        (0.95, NAN, True),
        (0.97, 0.01, True),  # exactly 3 %, which floats make a little more
        (0.9699, 0.01, False),
        (0.98, 0.0001, True),
        (1.0, 1.0, True),
    ],
)
def test_a_large_set_fails_by_a_significant_loss_of_more_than_3_percent(
    verdicts, difference, gain, mean, p, passed
):
    assert verdicts.judge([difference(mean, p=p), gain]).passed is passed


def test_where_lower_is_better_a_higher_mean_is_a_loss(verdicts, difference, gain):
    losses = [difference(mean, direction=-1, p=0.01) for mean in (1.03, 1.04)]
    assert [verdicts.judge([loss, gain]).passed for loss in losses] == [True, False]


def test_a_large_set_needs_a_significant_gain(verdicts, difference):
    assert not verdicts.judge([difference(1.2, p=0.06), difference(0.99, p=0.01)]).passed
    verdict = verdicts.judge([difference(1.001, p=0.04), difference(0.99, p=0.01)])
    assert verdict.passed
    assert verdict.gains == ["Qabf"]


def test_a_small_set_fails_by_a_mean_that_is_worse_by_more_than_3_percent(verdicts, difference):
    gain = difference(1.1, metric="SSIM", images=6, better_on=6)
    for mean, passed in [(0.97, True), (0.969, False)]:
        loss = difference(mean, images=6, better_on=0)
        assert verdicts.judge([loss, gain]).passed is passed


@pytest.mark.parametrize(
    ("images", "better_on", "passed"),
    [(6, 5, True), (6, 4, False), (9, 8, True), (9, 7, False), (3, 2, True), (2, 1, False)],
)
def test_a_small_set_needs_all_images_but_one_better(
    verdicts, difference, images, better_on, passed
):
    entry = difference(1.1, images=images, better_on=better_on)
    assert verdicts.judge([entry]).passed is passed


def test_a_candidate_without_a_value_that_the_best_rule_has_fails(verdicts, difference, gain):
    assert not verdicts.judge([difference(1.2, missing=1, p=0.001), gain]).passed
    assert not verdicts.judge([difference(NAN, images=0, missing=20), gain]).passed
    assert not verdicts.judge([]).passed


@pytest.mark.parametrize(
    ("direction", "bound", "failed", "unchecked"),
    [
        (1, 0.97, False, False),  # reached exactly
        (1, 0.971, True, False),
        (-1, 0.96, True, False),
        (-1, 0.98, False, False),
        (1, "rival", False, False),
        (-1, "rival", True, False),
        (1, "unknown", False, True),
    ],
)
def test_a_condition_compares_with_a_number_or_a_method(
    verdicts, load, direction, bound, failed, unchecked
):
    condition = load("board_tasks").Condition("Q", bound)
    means = {"mine": {"Q": 0.97}, "rival": {"Q": 0.5}}
    verdict = verdicts.check_conditions("mine", means, [condition], {"Q": direction})
    assert (bool(verdict.failures), bool(verdict.unchecked)) == (failed, unchecked)


def test_a_condition_fails_where_the_candidate_has_no_value(verdicts, load):
    conditions = [load("board_tasks").Condition(name, 1.0) for name in ("Q", "unmeasured")]
    verdict = verdicts.check_conditions("mine", {"mine": {"Q": NAN}}, conditions, {"Q": 1})
    assert len(verdict.failures) == len(verdict.unchecked) == 1


@pytest.fixture
def scored():
    """Return a function that makes scores of (method, metric) -> values of the images."""

    def make(values):
        plugins = installed()
        metrics = dict.fromkeys(metric for _, metric in values)
        methods = dict.fromkeys(method for method, _ in values)
        count = max(map(len, values.values()))
        rows = [
            ScoreRow(str(i), method, {metric: values[method, metric][i] for metric in metrics})
            for method in methods
            for i in range(count)
        ]
        columns = [Metric.find(metric, plugins) for metric in metrics]
        return Scores([*methods], [*map(str, range(count))], columns, rows), rows

    return make


def test_each_metric_has_its_own_best_rule_and_p_values_are_corrected(verdicts, scored):
    ramp = np.linspace(1, 2, 10)
    scores, rows = scored(
        {
            ("one", "SD"): ramp,
            ("one", "RMSE"): ramp,
            ("two", "SD"): ramp + 1,
            ("two", "RMSE"): ramp + 1,
            ("mine", "SD"): ramp + 2,
            ("mine", "RMSE"): ramp + 0.1,
        }
    )
    sd, rmse = verdicts.differences_from_best(scores, rows, "mine", ["one", "two"])
    assert (sd.best, rmse.best) == ("two", "one")  # RMSE is better when lower
    assert (sd.better_on, rmse.better_on) == (10, 0)
    assert (sd.gain, rmse.gain) == pytest.approx((1 / 2.5, -0.1 / 1.5))
    # all ten differences agree: 2 / 2^10, times two for two metrics
    assert (sd.p, rmse.p) == pytest.approx((2 * 2 / 2**10,) * 2)


def test_each_trivial_rule_is_compared_alone(verdicts, scored):
    values = {
        ("low", "SD"): [1, 2, 3.0],
        ("high", "SD"): [3, 4, 5.0],
        ("near", "SD"): [2.01, 3, 4.0],
        ("mine", "SD"): [2, 3, 4.0],
    }
    results = verdicts.against_each(*scored(values), "mine", ["low", "high", "near"])
    assert results == {
        "low": {"better": ["SD"], "worse": []},
        "high": {"better": [], "worse": ["SD"]},
        "near": {"better": [], "worse": []},
    }


def test_ties_count_for_neither_and_small_sets_have_no_p_value(verdicts, scored):
    scores, rows = scored({("one", "SD"): [1, 2, 3.0], ("mine", "SD"): [1, 3, 3.0]})
    (entry,) = verdicts.differences_from_best(scores, rows, "mine", ["one"])
    assert (entry.better_on, entry.images, entry.missing) == (1, 3, 0)
    assert math.isnan(entry.p)


def test_missing_values_are_counted_and_a_rule_that_lacks_some_is_not_the_best(verdicts, scored):
    values = {
        ("one", "SD"): [1, 2, 3.0],
        ("two", "SD"): [NAN, 9, 9.0],
        ("mine", "SD"): [1, NAN, 3.0],
    }
    scores, rows = scored(values)
    (entry,) = verdicts.differences_from_best(scores, rows, "mine", ["one", "two"])
    assert (entry.best, entry.images, entry.missing) == ("one", 2, 1)
    (entry,) = verdicts.differences_from_best(scores, rows, "mine", ["two"])
    assert (entry.best, entry.images, entry.missing) == ("two", 1, 1)


def test_a_metric_without_values_is_left_out(verdicts, scored):
    values = {("one", "SD"): [NAN, NAN], ("mine", "SD"): [NAN, NAN]}
    assert verdicts.differences_from_best(*scored(values), "mine", ["one"]) == []


def test_the_board_of_the_project_can_be_read(load):
    tasks = load("board_tasks").read_tasks(BENCHMARKS / "board.toml")
    assert [*tasks] == ["infrared", "focus", "exposure", "medical"]
    assert tasks["exposure"].color == "luma"
    assert [entry.at_least for entry in tasks["exposure"].conditions_of("mef_brackets")] == [0.97]
    assert not tasks["exposure"].conditions_of("exposure_gen")
    for task in tasks.values():
        for method in (*task.trivial, *task.candidates):
            assert load("board_tasks").is_installed(method)
        for metric in task.metrics:
            assert Metric.find(metric.removesuffix("_truth"), installed()).direction


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x = [", "cannot read"),
        ("", "no task"),
        ("infrared = 3", "expected a table"),
        ("[focus]\nsets = ['a']", "metrics, trivial must be given"),
        ("[x]\nsets = ['s']\nmetrics = ['SD']\ntrivial = ['max']", "it has no default"),
        ("{demo}\ncolors = 'luma'", "unknown keys: colors"),
        ("{demo}\nconditions = [{metric = 'EN', at_least = 1}]", "not measured: EN"),
        ("{demo}\nconditions = [{metric = 'SD', at_most = 1}]", "unknown keys of a condition"),
        ("{demo}\nconditions = [{metric = 'SD'}]", "at_least"),
    ],
)
def test_a_board_that_cannot_be_read_is_refused(load, tmp_path, text, part):
    demo = "[demo]\nsets = ['s']\nmetrics = ['SD']\ntrivial = ['identity/mean']\ndefault = 'max'"
    path = tmp_path / "board.toml"
    path.write_text(text.replace("{demo}", demo))
    with pytest.raises(FusionlabError, match=part):
        load("board_tasks").read_tasks(path)


BOARD = """
[demo]
sets = ["small", "elsewhere"]
metrics = ["SD", "RMSE", "PSNR_truth"]
trivial = ["identity/mean", "identity/max"]
if_installed = ["not_there"]
default = "identity/choose_max"
conditions = [{ metric = "SD", at_least = 1000, sets = ["small"] }]

[other]
sets = ["small"]
metrics = ["SD"]
trivial = ["identity/mean"]
default = "identity/max"
conditions = [{ metric = "SD", at_least = "identity/mean" }]
"""


@pytest.fixture
def board(load, tmp_path, capsys):
    """Return a function that runs a small board: exit code, what is printed, and messages."""
    rng = np.random.default_rng(0)
    for folder in ("a", "b", "truth"):
        path = tmp_path / "sets" / "small" / folder
        path.mkdir(parents=True)
        for stem in "123":
            iio.imwrite(path / f"{stem}.png", rng.integers(0, 256, (48, 48), dtype=np.uint8))
    (tmp_path / "board.toml").write_text(BOARD)

    def run(*arguments):
        fixed = [tmp_path / "sets", "-o", tmp_path / "out", "--board", tmp_path / "board.toml"]
        code = load("board").main([*map(str, fixed), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_a_board_is_printed_written_and_resumed(board, tmp_path):
    path, scores = tmp_path / "board.json", tmp_path / "out" / "demo" / "small" / "rows.jsonl"
    code, table, messages = board("--task", "demo", "--json", path)
    # of random images, the larger pixel has more contrast than the average, and a larger error
    assert "identity/choose_max: FAIL, better in SD" in table
    assert "elsewhere is left out" in messages
    entry = json.loads(path.read_text())["demo"]["small"]
    (result,) = entry["candidates"].values()
    assert code == 1
    assert [*result["metrics"]] == ["SD", "RMSE", "PSNR_truth"]
    assert entry["images"] == 3
    assert entry["trivial"] == ["identity/mean", "identity/max"]
    assert result["metrics"]["RMSE"]["best"] == "identity/mean"
    assert result["metrics"]["RMSE"]["gain_percent"] < -3
    assert [text.partition(":")[0] for text in result["failures"]] == ["RMSE", "PSNR_truth", "SD"]
    assert "does not reach the 1000" in result["failures"][-1]

    before = scores.read_text()
    assert board("--task", "demo")[:2] == (code, table)
    assert scores.read_text() == before, "nothing was computed again"
    board("--task", "other", "--json", path)
    assert [*json.loads(path.read_text())] == ["demo", "other"]


def test_a_board_passes_if_all_candidates_do(board):
    code, table, _ = board("--task", "other", "--only", "small")
    assert code == 0
    assert "identity/max: pass, better in SD" in table
    code, table, _ = board(
        "--task", "other", "--method", "other=identity/mean", "--method", "other=identity/max"
    )
    assert code == 1
    assert "identity/max: pass, better in SD" in table
    assert "other, small: identity/mean FAILS" in table
    assert "identity/max FAILS" not in table


def test_a_candidate_that_does_not_fit_the_set_fails(load, scored):
    scores, rows = scored({("one", "SD"): [1, 2, 3.0]})
    report = SimpleNamespace(rows=rows, left_out={"pair": "it needs 2 sources, the set has 3"})
    task = load("board_tasks").Task("demo", ("set",), ("SD",), ("one",), ("pair",))
    result = load("board").entry_of(report, scores, task, "set")["candidates"]["pair"]
    assert not result["passed"]
    assert result["failures"] == ["it is left out: it needs 2 sources, the set has 3"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--task", "nothing"], "there is no task nothing"),
        (["--only", "nothing"], "no task has a set nothing"),
        (["--only", "elsewhere"], "there is no folder elsewhere"),
        (["--method", "identity/max"], "expected TASK=METHOD"),
        (["--method", "demo=max", "--task", "other"], "that task is not chosen"),
        (["--method", "demo=identity/nothing", "--only", "small"], "nothing"),
        (["--board", "missing.toml"], "cannot read the board"),
    ],
)
def test_errors_are_a_sentence_and_exit_code_2(board, arguments, part):
    code, _, messages = board(*arguments)
    assert code == 2
    assert part in messages
