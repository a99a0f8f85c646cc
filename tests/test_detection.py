"""Detect the task of sources: votes over a batch, and tasks of plugins, sound and broken."""

import numpy as np
import pytest
import torch

import fusionlab
from fusionlab import Fusion, FusionlabError, Task, detect_task, list_tasks

RNG = np.random.default_rng(0)
PAIR = [RNG.integers(0, 256, (20, 30), dtype=np.uint8) for _ in "ab"]

TASKS = """
    from fusionlab import Task, hookimpl

    @hookimpl
    def fusionlab_tasks():
        return [
            Task("bright", "Bright.", "identity/mean", __name__ + ":bright", "x", "gray", "minmax"),
            Task("{name}", "Dark.", "identity/max", __name__ + ":dark", "x"),
        ]

    def bright(thumbnails, gray):
        assert thumbnails.shape[1] == 3 and len(gray) == len(thumbnails)
        return float(thumbnails.mean())

    def dark(thumbnails, gray):
        {body}
"""


@pytest.fixture
def only_mine(only_what_ships, install, monkeypatch):
    """Install the two tasks above and hide those that ship."""

    def install_tasks(body="return 1 - float(thumbnails.mean())", name="dark"):
        install("lab-tasks", TASKS.format(body=body, name=name))
        monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "fusionlab-imaging")

    return install_tasks


def test_the_task_with_the_highest_score_is_detected(only_mine):
    only_mine()
    dark = [np.full((8, 9), value, np.uint8) for value in (10, 30)]
    assert list_tasks() == ["bright", "dark"]
    assert detect_task(dark) == "dark"
    assert detect_task([255 - source for source in dark]) == "bright"
    assert detect_task(dark, scale="0,10") == "bright"
    assert detect_task(dark, scale=["minmax", "0,200"]) == "dark"  # a constant becomes black
    assert detect_task([torch.from_numpy(source) for source in dark]) == "dark"


def test_a_batch_has_the_task_of_most_of_its_images(only_mine):
    only_mine()
    batch = torch.tensor([0.9, 0.2, 0.8])[:, None, None, None].expand(3, 3, 6, 5)
    assert detect_task([batch, batch]) == "bright"
    assert detect_task([1 - batch, 1 - batch]) == "dark"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("return 7", "a score must lie in 0..1, got 7"),
        ("return float('nan')", "got nan"),
        ("return None", "TypeError"),
    ],
)
def test_a_broken_task_costs_a_warning_and_the_others_are_detected(only_mine, body, problem):
    only_mine(body)
    with pytest.warns(RuntimeWarning, match=f"lab-tasks:dark cannot be used: .*{problem}"):
        assert detect_task(PAIR) == "bright"


def test_without_any_task_that_works_it_is_an_error(only_mine, monkeypatch):
    only_mine()
    monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "fusionlab-imaging lab-tasks")
    fusionlab.plugins.host.installed.cache_clear()
    with pytest.raises(FusionlabError) as caught:
        detect_task(PAIR)
    assert caught.value.code == "no-task"


def test_sources_that_cannot_be_fused_are_refused():
    for sources, code in [
        (PAIR[:1], "number-of-sources"),
        ([PAIR[0], PAIR[1][:5]], "size-mismatch"),
        ([PAIR[0], torch.zeros(20, 30)], "mixed-kinds"),
        ([np.full((20, 30), np.inf), PAIR[1]], "not-finite"),
        ([np.full((20, 30), 7.0), PAIR[1]], "out-of-range"),
    ]:
        with pytest.raises(FusionlabError) as caught:
            detect_task(sources)
        assert caught.value.code == code


def test_a_fusion_takes_the_method_and_the_settings_of_its_task(install):
    install("lab-tasks", TASKS.format(body="return 0", name="dark"))
    fusion = Fusion(task="bright")
    assert fusion.method == "identity/mean"
    assert (fusion.color, fusion.range_policy) == ("gray", "minmax")
    assert np.array_equal(
        fusion(PAIR), Fusion("identity", "mean", color="gray", range_policy="minmax")(PAIR)
    )
    fusion = Fusion(task="bright", color="luma", range_policy="clip")
    assert (fusion.color, fusion.range_policy) == ("luma", "clip")
    assert Fusion(task="dark").range_policy == Fusion("identity", "max").range_policy


def test_an_explicit_strategy_replaces_the_method_and_a_backbone_only_the_backbone(install):
    install("lab-tasks", TASKS.format(body="return 0", name="dark"))
    default = Fusion().method.partition("/")[0]
    assert Fusion(strategy="max", task="bright").method == f"{default}/max"
    assert Fusion("densefuse@1e2", task="bright").method == "densefuse@1e2/mean"


def test_an_unknown_task_is_refused_with_the_most_similar_name():
    with pytest.raises(
        FusionlabError, match="there is no task 'infrarde'; did you mean 'infrared'"
    ) as e:
        Fusion(task="infrarde")
    assert e.value.code == "unknown-name"


@pytest.mark.parametrize(
    ("argument", "value"),
    [("name", "auto"), ("name", "a,b"), ("recognizes", "x.y"), ("method", None), ("color", 3)],
)
def test_a_task_that_is_not_valid_is_refused(argument, value):
    values = {"name": "a", "summary": "", "method": "a", "recognizes": "x:y", "evidence": ""}
    with pytest.raises((ValueError, TypeError)):
        Task(**{**values, argument: value})
