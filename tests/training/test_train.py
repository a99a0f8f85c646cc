"""From folders of images to exported weights, in one call from Python."""

from dataclasses import dataclass, replace
from typing import ClassVar

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, LearnedStrategy, load_backbone
from fusionlab.training.settings import AutoencoderSettings, Stage, StrategySettings
from fusionlab.training.train import train_backbone, train_strategy

SETTINGS = AutoencoderSettings(stages=(Stage(16, 3),), validate_every=2)


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "pairs" / letter).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (20, 24), dtype=np.uint8)
            iio.imwrite(tmp_path / "pairs" / letter / f"{number}.png", pixels)
    return tmp_path / "pairs"


def test_a_backbone_is_trained_exported_and_resumed(tmp_path, pairs):
    seen = []
    options = {"backbone": "densefuse", "cache": tmp_path / "cache"}
    card = train_backbone([pairs], tmp_path / "mine", SETTINGS, progress=seen.append, **options)
    assert [step.iteration for step in seen] == [2, 3]
    assert (card.tag, card.backbone, card.validation["images"]) == ("mine", "densefuse", 1)
    fusion = Fusion(f"densefuse@{tmp_path}/mine/mine.safetensors", range_policy=None)
    assert fusion.backbone.card.to_json() == card.to_json()
    with pytest.raises(FusionlabError) as caught:
        train_backbone([pairs], tmp_path / "mine", SETTINGS, **options)
    assert (caught.value.code, caught.value.option) == ("run-exists", "resume")
    again = train_backbone([pairs], tmp_path / "mine", SETTINGS, resume=True, **options)
    assert again == card


def test_a_backbone_is_trained_with_its_parameters(tmp_path, pairs):
    options = {"backbone": "nestfuse,width=1", "cache": tmp_path / "cache"}
    card = train_backbone([pairs], tmp_path / "mine", SETTINGS, **options)
    assert card.backbone == "nestfuse,width=1"
    backbone = load_backbone(f"nestfuse@{tmp_path}/mine/mine.safetensors,width=1")
    assert [level.channels for level in backbone.levels] == [4, 7, 10, 13]
    with pytest.raises(FusionlabError) as caught:
        load_backbone(f"nestfuse@{tmp_path}/mine/mine.safetensors,width=2")
    assert caught.value.code == "other-network"
    assert str(caught.value).endswith("more")  # one tensor is named, the others are counted
    options["backbone"] = "nestfuse,width=2"
    with pytest.raises(FusionlabError) as caught:
        train_backbone([pairs], tmp_path / "mine", SETTINGS, resume=True, **options)
    assert caught.value.code == "other-run"


@dataclass(frozen=True)
class Weighted(LearnedStrategy):
    """One weight for each source, learned."""

    max_k: ClassVar[int] = 2
    support: ClassVar[int] = 0

    def network(self, level):
        return torch.nn.Conv3d(2, 1, 1)

    def fuse(self, features, scene):
        return scene.network(features.movedim(0, 1))[:, 0]

    def losses(self, fused, sources, merged, features):
        return {"mean": (fused - sources.mean(dim=0)).square().mean()}


def test_a_strategy_is_trained_exported_and_resumed(tmp_path, pairs):
    settings = StrategySettings(size=8, iterations=4, batch=2)
    card = train_strategy(Weighted(), [pairs], tmp_path / "mine", settings, backbone="identity")
    assert card.strategy == {
        "name": "Weighted",
        "parameters": "checkpoint=none",
        "backbone_sha256": None,
    }
    more = {"backbone": "identity", "resume": True}
    assert train_strategy(Weighted(), [pairs], tmp_path / "mine", settings, **more) == card
    start = Weighted(checkpoint=str(tmp_path / "mine/mine.safetensors"))
    after = train_strategy(start, [pairs], tmp_path / "next", settings, backbone="identity")
    assert after.parent["sha256"] == card.sha256
    assert after.strategy["parameters"] == f"checkpoint=mine-{card.sha256[:8]}"


@dataclass(frozen=True)
class WeightedPixels(Weighted):
    """The same, on images only."""

    domain = "pixels"


def test_a_pixel_strategy_is_trained_on_the_backbone_that_fuses_with_it(tmp_path, pairs):
    settings = StrategySettings(size=8, iterations=1, batch=2)
    card = train_strategy(WeightedPixels(), [pairs], tmp_path / "mine", settings)
    assert card.backbone == "identity"
    strategy = WeightedPixels(checkpoint=str(tmp_path / "mine/mine.safetensors"))
    assert Fusion(strategy=strategy).networks is not None


def test_what_cannot_be_trained_is_refused_before_an_image_is_decoded(tmp_path, pairs):
    for settings, code in (
        (replace(SETTINGS, batch=100), "too-few-images"),
        (replace(SETTINGS, stages=(Stage(16, 3),), seed=1), "not-trainable"),
    ):
        backbone = "identity" if code == "not-trainable" else "densefuse"
        with pytest.raises(FusionlabError) as caught:
            train_backbone([pairs], tmp_path / "mine", settings, backbone=backbone)
        assert caught.value.code == code
    assert not (tmp_path / "mine").exists()
