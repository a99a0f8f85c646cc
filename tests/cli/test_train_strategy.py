"""`fusionlab train-strategy`, from an image set to networks that fuse."""

import json
import shlex

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.training.learned_strategy import StrategyTrainer

PLUGIN = '''
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from fusionlab import LearnedStrategy, StrategyRef, hookimpl


@hookimpl
def fusionlab_strategies():
    return [StrategyRef("blend", f"{__name__}:Blend", "Blend.")]


@dataclass(frozen=True)
class Blend(LearnedStrategy):
    """Blend."""

    edge: Annotated[int, Interval(ge=1, le=3), "Edge of the kernel, less one, halved."] = 1

    @property
    def support(self):
        return self.edge

    def network(self, level):
        import torch

        class Net(torch.nn.Module):
            def __init__(inner):
                super().__init__()
                count, size = level.channels, 2 * self.edge + 1
                inner.layer = torch.nn.Conv2d(count, count, size, padding=self.edge)

            def forward(inner, features):
                return inner.layer(features.mean(dim=0))

        return Net()

    def losses(self, fused, sources, merged, features):
        return {"all": (fused - sources.mean(dim=0)).square().mean()}
'''


@pytest.fixture
def here(tmp_path, monkeypatch, install):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        for n in range(4):
            pixels = rng.integers(0, 256, (20, 24), dtype=np.uint8)
            iio.imwrite(tmp_path / "set" / letter / f"{n}.png", pixels)
    install("lab-blend", PLUGIN)
    return tmp_path


FIXED = ["--size", "8", "--iterations", "6", "--batch", "2", "--backbone", "identity"]


def run(*args):
    return CliRunner().invoke(main, args)


def train(*args):
    return run("train-strategy", "blend", "set", "-o", "runs/mine", *FIXED, *args)


def test_from_a_set_to_an_image_and_back_to_the_command(here):
    result = train("--edge", "2", "--data-note", "noise", "--license", "MIT")
    assert result.exit_code == 0, result.output
    assert "3, and 1 held out" in result.output
    card = json.loads((here / "runs/mine/mine.json").read_text())
    assert card["strategy"]["name"] == "blend"
    assert card["strategy"]["parameters"] == "checkpoint=none,edge=2"
    assert (card["data"]["description"], card["license"]) == ("noise", "MIT")
    fuse = ["fuse", "--backbone", "identity", "--strategy", "blend", "--edge", "2"]
    own = ["--checkpoint", "runs/mine/mine.safetensors"]
    result = run(*fuse, *own, "--record", "set/a/0.png", "set/b/0.png", "-o", "f.png")
    assert result.exit_code == 0, result.output
    name = f"identity/blend,checkpoint=mine-{card['sha256'][:8]},edge=2"
    assert name in result.output
    record = json.loads((here / "f.png.json").read_text())
    assert record["networks"] == {"tag": "mine", "sha256": card["sha256"]}
    explained = run("explain", "f.png").output
    assert "--checkpoint mine.safetensors" in explained
    for suffix in ("safetensors", "json"):  # where the command expects them
        (here / f"mine.{suffix}").write_bytes((here / f"runs/mine/mine.{suffix}").read_bytes())
    before = (here / "f.png").read_bytes()
    (line,) = [line for line in explained.splitlines() if "fusionlab fuse" in line]
    words = shlex.split(line[line.index("fusionlab fuse") :])[1:]
    assert run(*words, "--overwrite").exit_code == 0
    assert (here / "f.png").read_bytes() == before


def test_it_can_be_evaluated(here):
    assert train().exit_code == 0
    path = "runs/mine/mine.safetensors"
    result = run(
        "evaluate", "set", "--method", f"identity/blend,checkpoint={path}", "--metrics", "EN"
    )
    assert result.exit_code == 0, result.output
    assert "identity/blend,checkpoint=mine-" in result.output


def test_a_second_run_needs_another_folder_or_resume(here):
    assert train().exit_code == 0
    result = train()
    assert result.exit_code == 2
    assert "already holds a run" in result.output
    assert train("--resume").exit_code == 0
    result = train("--resume", "--seed", "3")
    assert result.exit_code == 2
    assert "made with other settings (seed 0, now 3" in result.output


def test_a_run_is_resumed_with_the_options_it_was_started_with(here, monkeypatch):
    """From any folder, and also where it began from a checkpoint given by a relative path."""
    assert train("--edge", "2", "--tag", "first").exit_code == 0
    more = ["--edge", "2", "--checkpoint", "runs/mine/first.safetensors"]

    def interrupted(self):
        self.stop.requested = self.iteration == 2
        step(self)

    step = StrategyTrainer._step
    with monkeypatch.context() as patch:
        patch.setattr(StrategyTrainer, "_step", interrupted)
        result = run("train-strategy", "blend", "set", "-o", "next", *FIXED, *more)
    assert result.exit_code == 130
    resume = "resume with 'fusionlab train-strategy -o next --resume'"
    assert f"stopped at iteration 3, saved; {resume}" in result.stderr
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    result = run("train-strategy", "-o", "../next", "--resume")
    assert result.exit_code == 0, result.output
    assert "from      iteration 3" in result.stdout
    card = json.loads((here / "next/next.json").read_text())
    assert card["strategy"]["parameters"].endswith("edge=2")
    assert card["settings"]["iterations_done"] == 6
    result = run("train-strategy", "-o", "../nothing", "--resume")
    assert result.exit_code == 2
    assert "there is nothing to resume: ../nothing/run.json does not exist" in result.stderr


def test_a_checkpoint_is_where_the_next_run_begins(here):
    assert train("--iterations", "300", "--learning-rate", "0.01").exit_code == 0
    path = "runs/mine/mine.safetensors"
    more = ["--checkpoint", path, "--learning-rate", "1e-9"]
    fixed = [*FIXED, "--iterations", "1"]
    result = run("train-strategy", "blend", "set", "-o", "runs/next", *fixed, *more)
    assert result.exit_code == 0, result.output
    losses = [
        json.loads((here / f"runs/{name}/{name}.json").read_text())["validation"]["all"]
        for name in ("mine", "next")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    cards = [
        json.loads((here / f"runs/{name}/{name}.json").read_text()) for name in ("mine", "next")
    ]
    assert cards[1]["parent"]["sha256"] == cards[0]["sha256"]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["l1norm", "set"], "'l1norm' has no networks, so there is nothing to train"),
        (["nope", "set"], "there is no strategy 'nope'"),
        (["blend", "nowhere"], "nowhere"),
        (["blend", "set", "--edge", "9"], "--edge"),
        (["blend", "set", "--size", "99"], "too few for crops of 99"),
        (["blend", "set", "--tag", "a b"], "a b"),
        (["blend"], "SET"),
    ],
)
def test_mistakes_cost_a_sentence_and_leave_nothing(here, args, reason):
    result = run("train-strategy", *args, "-o", "runs/x", *FIXED[2:])
    assert result.exit_code == 2
    assert reason in result.output
    assert "Traceback" not in result.output


def test_help_shows_the_options_of_the_strategy(here):
    text = run("train-strategy", "blend", "--help").output
    assert "--edge" in text
    assert "Options of strategy blend (from lab-blend)" in text
    assert run("train-strategy", "--help").exit_code == 0


def test_the_card_of_a_run_that_goes_on_names_backbone_and_parent(here):
    """The path of the checkpoint has a slash, which also parts backbone and strategy."""
    assert train().exit_code == 0
    result = run(
        "train-strategy", "blend", "set", "-o", "next", *FIXED,
        "--checkpoint", "runs/mine/mine.safetensors",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    card, parent = (
        json.loads((here / path).read_text()) for path in ("next/next.json", "runs/mine/mine.json")
    )
    assert card["backbone"] == parent["backbone"] == "identity"
    assert card["parent"] == parent


def test_weights_for_a_backbone_of_another_shape_are_refused_by_name(here):
    assert train().exit_code == 0
    result = run(
        "fuse", "--strategy", "blend", "--checkpoint", "runs/mine/mine.safetensors",
        "--backbone", "densefuse", "set/a/0.png", "set/b/0.png", "-o", "x.png",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "were trained on the features of identity, not of densefuse" in result.output
