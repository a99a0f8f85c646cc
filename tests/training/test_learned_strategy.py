"""Training the networks of a learned strategy: repeatable, resumable, the backbone untouched."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import pytest
import torch

from fusionlab import Fusion, FusionlabError, LearnedStrategy, Scene
from fusionlab.training.data.samples import Sample
from fusionlab.training.export import export_weights
from fusionlab.training.learned_strategy import StrategyTrainer
from fusionlab.training.log import read_log
from fusionlab.training.settings import StrategySettings
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity


@dataclass(frozen=True)
class Blend(LearnedStrategy):
    """One 1x1 convolution of two sources, trained to weigh them one to three."""

    max_k: ClassVar[int] = 2
    support: ClassVar[int] = 0

    def network(self, level):
        return Mixed(level.channels)

    def losses(self, fused, sources, merged, features):
        wanted = (sources[0] + 3 * sources[1]) / 4
        return {
            "image": (fused - wanted).square().mean(),
            "features": 1e-6 * sum(level.abs().mean() for level in merged),
        }


class Mixed(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = torch.nn.Conv2d(2 * channels, channels, 1)

    def forward(self, features):
        return self.layer(torch.cat([*features], dim=1))


def samples(count=5, k=2, height=20, width=24):
    generator = torch.Generator().manual_seed(0)
    return [
        Sample(str(n), torch.rand(k, 1, height, width, generator=generator)) for n in range(count)
    ]


SETTINGS = StrategySettings(size=8, iterations=12, batch=2, validate_every=5, learning_rate=0.01)


def make(folder, settings=SETTINGS, images=None, backbone=None, strategy=None, **others):
    backbone, strategy = backbone or Identity(), strategy or Blend()
    torch.manual_seed(0)
    networks = torch.nn.ModuleList(strategy.network(level) for level in backbone.levels)
    images = samples() if images is None else images
    return StrategyTrainer(
        strategy, networks, backbone, images[:-1], images[-1:], settings, folder, **others
    )


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_what_the_strategy_asks_for(tmp_path):
    settings = StrategySettings(size=8, iterations=600, batch=4, lr_decay=300, learning_rate=0.02)
    training = make(tmp_path, settings)
    final = training.run()
    assert final["images"] == 1
    assert final["image"] < 1e-5
    weights = training.best["0.layer.weight"].flatten()
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.75]), atol=0.02, rtol=0)


def test_the_log_has_the_terms_of_the_strategy_and_their_sum(tmp_path):
    make(tmp_path).run()
    lines = read_log(tmp_path / "log.jsonl")
    trained = [line for line in lines if "total" in line]
    assert [line["iteration"] for line in trained] == [5, 10, 12]
    for line in trained:
        assert line["total"] == line["image"] + line["features"]
    validated = [line for line in lines if "validation" in line]
    assert all({"images", "image", "features"} == set(line["validation"]) for line in validated)


@pytest.mark.parametrize("stop", [1, 5, 7, 11])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_run_that_goes_on_ends_as_one_that_was_not_disturbed(tmp_path, stop, ema_decay):
    settings = StrategySettings(**{**asdict(SETTINGS), "ema_decay": ema_decay, "flips": True})
    whole = make(tmp_path / "whole", settings)
    whole.run()
    cut = make(tmp_path / "cut", settings)
    step = cut._step

    def until():
        cut.stop.requested = cut.iteration + 1 >= stop
        step()

    cut._step = until
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    again = make(tmp_path / "cut", settings)
    again.resume()
    again.run()
    assert same(again.best, whole.best)
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"settings": StrategySettings(**{**asdict(SETTINGS), "seed": 1})}, "seed 0, now 1"),
        ({"images": samples(6)}, "training images"),
        ({"backbone": DenseFuse()}, "backbone"),
    ],
)
def test_a_run_goes_on_only_as_it_began(tmp_path, others, what):
    first = make(tmp_path)
    first.save()
    with pytest.raises(FusionlabError, match=what) as caught:
        make(tmp_path, **others).resume()
    assert caught.value.code == "other-run"


def test_the_backbone_stays_as_it_is(tmp_path):
    backbone = DenseFuse()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    training = make(tmp_path, backbone=backbone)
    training.run()
    assert same(backbone.state_dict(), before)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_training_fuses_as_the_pipeline_does(tmp_path):
    """What is validated is what a user gets."""
    training = make(tmp_path)
    final = training.run()
    (held_out,) = training.validation_images
    fusion = Fusion(
        Identity(), Blend(), range_policy=None, networks=training.networks.requires_grad_(False)
    )
    fused = fusion([*held_out.sources[:, None]])
    wanted = (held_out.sources[0] + 3 * held_out.sources[1]) / 4
    assert float((fused[0] - wanted).square().mean()) == pytest.approx(final["image"], rel=1e-4)


@pytest.mark.parametrize(
    ("images", "code", "reason"),
    [
        (samples(2), "too-few-images", "a batch needs 2 images"),
        (samples(k=3), "number-of-sources", "Blend takes exactly 2 sources, the images have 3"),
        ([*samples(3), *samples(1, k=3)], "number-of-sources", "0 has 2, 0 3"),
        (samples(height=7), "crop-size", "24x7 pixels, too few for crops of 8"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(tmp_path, images, code, reason):
    with pytest.raises(FusionlabError, match=reason) as caught:
        make(tmp_path, images=images)
    assert caught.value.code == code


def test_a_backbone_with_strides_needs_crops_that_fit(tmp_path):
    class Strided(Identity):
        size_divisor = 3

    with pytest.raises(FusionlabError) as caught:
        make(tmp_path, backbone=Strided())
    assert (caught.value.code, caught.value.option) == ("crop-size", "size")
    settings = StrategySettings(**{**asdict(SETTINGS), "size": 6})
    assert make(tmp_path, settings, backbone=Strided()).run()["images"] == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 0),
        ("iterations", 0),
        ("batch", 0),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("ema_decay", 1.0),
        ("lr_decay", 10_001),
    ],
)
def test_settings_out_of_bounds_are_refused(option, value):
    with pytest.raises(FusionlabError) as caught:
        StrategySettings(**{option: value})
    assert (caught.value.code, caught.value.option) == ("invalid-setting", option)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    class Wild(Blend):
        def losses(self, fused, sources, merged, features):
            return {"all": fused.mean() * float("inf")}

    with pytest.raises(FusionlabError) as caught:
        make(tmp_path, strategy=Wild()).run()
    assert caught.value.code == "diverged"


# ---------------------------------------------------------------- weights


def test_exported_networks_come_with_a_card(tmp_path):
    training = make(tmp_path)
    final = training.run()
    path = tmp_path / "mine.safetensors"
    card = export_weights(
        path, training, final, "identity", "blend", data_note="noise", license_terms="MIT"
    )
    assert card.strategy == {
        "name": "blend",
        "parameters": "checkpoint=none",
        "backbone_sha256": None,
    }
    assert (card.backbone, card.tag, card.validation) == ("identity", "mine", final)
    fused = Fusion("identity", Blend(checkpoint=str(path)))
    assert same(fused.networks.state_dict(), training.best)
    assert fused.card == card
    assert fused.method == f"identity/Blend,checkpoint=mine-{card.sha256[:8]}"


def test_networks_fit_their_backbone_only(tmp_path):
    training = make(tmp_path)
    path = tmp_path / "mine.safetensors"
    export_weights(path, training, training.run(), "identity", "blend")
    with pytest.raises(FusionlabError, match="on the features of identity, not of densefuse"):
        Fusion("densefuse", Blend(checkpoint=str(path)))
    other = make(tmp_path / "other", backbone=Fusion("densefuse@1e2").backbone)
    path = tmp_path / "other.safetensors"
    export_weights(path, other, other.run(), "densefuse@1e2", "blend")
    Fusion("densefuse@1e2", Blend(checkpoint=str(path)))
    reason = "trained on the features of densefuse@1e2, not of densefuse@1e3"
    with pytest.raises(FusionlabError, match=reason):
        Fusion("densefuse@1e3", Blend(checkpoint=str(path)))


def test_a_learned_strategy_without_weights_says_how_to_get_some():
    with pytest.raises(FusionlabError, match="no trained weights; train it, or"):
        Fusion("identity", Blend())
    with pytest.raises(FusionlabError, match="has no weights 'nope'"):
        Fusion("identity", Blend(checkpoint="nope"))
    with pytest.raises(FusionlabError, match="nope.pt was not read: loading a pickle"):
        Fusion("identity", Blend(checkpoint="nope.pt"))
    zeros = torch.zeros(2, 1, 1, 3, 3)
    with pytest.raises(FusionlabError, match="needs its trained networks"):
        Blend().fuse(zeros, Scene(zeros))


class Dropping(Blend):
    """Forgets half of the features at random while it is trained."""

    def network(self, level):
        return torch.nn.Sequential(Mixed(level.channels), torch.nn.Dropout(0.5))


def test_dropout_is_repeatable_and_leaves_the_random_numbers_of_the_caller_alone(tmp_path):
    first = make(tmp_path / "first", strategy=Dropping())
    torch.manual_seed(7)
    first.run()
    here = torch.rand(1)
    second = make(tmp_path / "second", strategy=Dropping())
    torch.manual_seed(8)
    second.run()
    assert same(first.best, second.best)
    torch.manual_seed(7)
    assert torch.equal(here, torch.rand(1))


def test_held_out_images_smaller_than_a_crop_are_refused_before_training(tmp_path):
    small = Sample("small", torch.rand(2, 1, 1, 1))
    with pytest.raises(FusionlabError, match="small has 1x1 pixels") as caught:
        make(tmp_path, images=[*samples(), small])
    assert caught.value.code == "crop-size"


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {"a": 1.0},
        {"a": torch.zeros(2, requires_grad=True)},
        {"a": torch.zeros(())},
        None,
    ],
)
def test_losses_that_cannot_be_minimized_are_refused(tmp_path, losses):
    class Wrong(Blend):
        def losses(self, fused, sources, merged, features):
            return losses

    with pytest.raises(FusionlabError, match="the losses of Wrong") as caught:
        make(tmp_path, strategy=Wrong())
    assert caught.value.code == "invalid-losses"


def test_a_strategy_that_its_own_package_trains_is_refused(tmp_path):
    @dataclass(frozen=True)
    class Elsewhere(LearnedStrategy):
        def network(self, level):
            return Mixed(level.channels)

    with pytest.raises(FusionlabError, match="the README of its package says how") as caught:
        make(tmp_path, strategy=Elsewhere())
    assert caught.value.code == "not-trainable"


def test_networks_without_parameters_are_refused(tmp_path):
    class Empty(Blend):
        def network(self, level):
            return torch.nn.Identity()

        def fuse(self, features, scene):
            return features.mean(dim=0)

    with pytest.raises(FusionlabError, match="Empty have no parameters") as caught:
        make(tmp_path, strategy=Empty())
    assert caught.value.code == "not-trainable"


def test_a_validation_that_is_never_finite_costs_a_sentence(tmp_path):
    class Blind(Blend):
        def losses(self, fused, sources, merged, features):
            loss = fused.square().mean()
            return {"a": loss if torch.is_grad_enabled() else torch.nan * loss}

    with pytest.raises(FusionlabError, match="no validation had a finite loss") as caught:
        make(tmp_path, strategy=Blind()).run()
    assert caught.value.code == "diverged"
