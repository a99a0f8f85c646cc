"""Training the networks of a learned strategy: repeatable, resumable, the backbone untouched."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, LearnedStrategy, Scene
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.training.export import export_networks
from fusionlab.training.log import read_log
from fusionlab.training.rules import RuleSettings, RuleTraining
from fusionlab.training.sets import Subject, crops, hold_out, load_subjects
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
            "picture": (fused - wanted).square().mean(),
            "features": 1e-6 * sum(one.abs().mean() for one in merged),
        }


class Mixed(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = torch.nn.Conv2d(2 * channels, channels, 1)

    def forward(self, features):
        return self.layer(torch.cat([*features], dim=1))


def pictures(count=5, k=2, height=20, width=24):
    generator = torch.Generator().manual_seed(0)
    return [
        Subject(str(n), torch.rand(k, 1, height, width, generator=generator)) for n in range(count)
    ]


SETTINGS = RuleSettings(size=8, iterations=12, batch=2, validate_every=5, learning_rate=0.01)


def make(folder, settings=SETTINGS, images=None, backbone=None, strategy=None, **others):
    backbone, strategy = backbone or Identity(), strategy or Blend()
    torch.manual_seed(0)
    networks = torch.nn.ModuleList(strategy.network(level) for level in backbone.levels)
    images = pictures() if images is None else images
    return RuleTraining(
        strategy, networks, backbone, images[:-1], images[-1:], settings, folder, **others
    )


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_what_the_strategy_asks_for(tmp_path):
    settings = RuleSettings(size=8, iterations=600, batch=4, cooldown=300, learning_rate=0.02)
    training = make(tmp_path, settings)
    final = training.complete()
    assert final["images"] == 1
    assert final["picture"] < 1e-5
    weights = training.best["0.layer.weight"].flatten()
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.75]), atol=0.02, rtol=0)


def test_the_log_has_the_terms_of_the_strategy_and_their_sum(tmp_path):
    make(tmp_path).complete()
    lines = read_log(tmp_path / "log.jsonl")
    trained = [line for line in lines if "total" in line]
    assert [line["iteration"] for line in trained] == [5, 10, 12]
    for line in trained:
        assert line["total"] == line["picture"] + line["features"]
    validated = [line for line in lines if "validation" in line]
    assert all({"images", "picture", "features"} == set(line["validation"]) for line in validated)


@pytest.mark.parametrize("stop", [1, 5, 7, 11])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_run_that_goes_on_ends_as_one_that_was_not_disturbed(tmp_path, stop, averaging):
    settings = RuleSettings(**{**asdict(SETTINGS), "averaging": averaging, "flips": True})
    whole = make(tmp_path / "whole", settings)
    whole.complete()
    cut = make(tmp_path / "cut", settings)
    step = cut._step

    def until():
        cut.interrupted = cut.iteration + 1 >= stop
        step()

    cut._step = until
    with pytest.raises(KeyboardInterrupt):
        cut.complete()
    again = make(tmp_path / "cut", settings)
    again.resume()
    again.complete()
    assert same(again.best, whole.best)
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"settings": RuleSettings(**{**asdict(SETTINGS), "seed": 1})}, "seed 0, now 1"),
        ({"images": pictures(6)}, "training images"),
        ({"backbone": DenseFuse()}, "backbone"),
    ],
)
def test_a_run_goes_on_only_as_it_began(tmp_path, others, what):
    first = make(tmp_path)
    first.save()
    with pytest.raises(FusionlabError, match=f"made with other .*{what}"):
        make(tmp_path, **others).resume()


def test_the_backbone_stays_as_it_is(tmp_path):
    backbone = DenseFuse()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    training = make(tmp_path, backbone=backbone)
    training.complete()
    assert same(backbone.state_dict(), before)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_training_fuses_as_the_pipeline_does(tmp_path):
    """What is validated is what a user gets."""
    training = make(tmp_path)
    final = training.complete()
    (held_out,) = training.validation
    fusion = Fusion(
        Identity(), Blend(), range_policy=None, networks=training.networks.requires_grad_(False)
    )
    fused = fusion([*held_out.planes[:, None]])
    wanted = (held_out.planes[0] + 3 * held_out.planes[1]) / 4
    assert float((fused[0] - wanted).square().mean()) == pytest.approx(final["picture"], rel=1e-4)


@pytest.mark.parametrize(
    ("images", "settings", "reason"),
    [
        (pictures(2), SETTINGS, "a batch needs 2 images"),
        (pictures(k=3), SETTINGS, "Blend takes 2 to 2 sources, the images have 3"),
        ([*pictures(3), *pictures(1, k=3)], SETTINGS, "same number of sources; 0 has 2, 0 3"),
        (pictures(height=7), SETTINGS, "24x7 pixels, too few for crops of 8"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(tmp_path, images, settings, reason):
    with pytest.raises(FusionlabError, match=reason):
        make(tmp_path, settings, images)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"iterations": 0},
        {"batch": 0},
        {"seed": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"averaging": 1.0},
        {"cooldown": 10_001},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError):
        RuleSettings(**wrong)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    class Wild(Blend):
        def losses(self, fused, sources, merged, features):
            return {"all": fused.mean() * float("inf")}

    with pytest.raises(FusionlabError, match="diverged"):
        make(tmp_path, strategy=Wild()).complete()


# ---------------------------------------------------------------- images


def test_crops_are_a_function_of_seed_and_iteration():
    images = pictures(7)
    kind = {"batch": 3, "size": 8, "seed": 4, "flips": True}
    first = [crops(images, n, **kind) for n in range(6)]
    assert all(torch.equal(crops(images, n, **kind), first[n]) for n in reversed(range(6)))
    assert first[0].shape == (2, 3, 1, 8, 8)
    assert not torch.equal(first[0], crops(images, 0, **{**kind, "seed": 5}))


def test_an_epoch_shows_every_image_once_and_a_crop_shows_one_place_of_all_sources():
    """Each source holds its image's number, and the place as row and column."""
    place = torch.arange(20)[:, None] * 100.0 + torch.arange(24)
    images = [
        Subject(str(n), torch.stack([place + 1e4 * n, -(place + 1e4 * n)])[:, None])
        for n in range(6)
    ]
    seen = []
    for iteration in range(3):
        found = crops(images, iteration, batch=2, size=8, seed=0, flips=False)
        assert torch.equal(found[0], -found[1])
        assert torch.equal(found.diff(dim=-1)[0], torch.ones(2, 1, 8, 7))
        assert torch.equal(found.diff(dim=-2)[0], torch.full((2, 1, 7, 8), 100.0))
        seen += (found[0, :, 0, 0, 0] // 1e4).tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]


def test_every_tenth_image_is_held_out_and_at_least_one():
    assert [len(part) for part in hold_out(pictures(25))] == [23, 2]
    assert [len(part) for part in hold_out(pictures(3))] == [2, 1]


def test_an_image_that_cannot_be_paired_is_named():
    with pytest.raises(FusionlabError, match="missing in b"):
        load_subjects([ImageSetItem("x", (Path("a/x.png"),), "x is missing in b")])


def test_sets_are_read_as_luminance(tmp_path):
    import imageio.v3 as iio

    gray = np.full((3, 4), 51, np.uint8)
    iio.imwrite(tmp_path / "a.png", gray)
    iio.imwrite(tmp_path / "b.png", np.stack([gray] * 3, axis=2))
    (subject,) = load_subjects([ImageSetItem("x", (tmp_path / "a.png", tmp_path / "b.png"), "")])
    torch.testing.assert_close(subject.planes, torch.full((2, 1, 3, 4), 0.2))


# ---------------------------------------------------------------- weights


def test_exported_networks_come_with_a_card(tmp_path):
    training = make(tmp_path)
    final = training.complete()
    path = tmp_path / "mine.safetensors"
    card = export_networks(
        path, training, "blend", "identity", final, data="noise", license_terms="MIT"
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
    export_networks(path, training, "blend", "identity", training.complete())
    with pytest.raises(FusionlabError, match="on the features of identity, not of densefuse"):
        Fusion("densefuse", Blend(checkpoint=str(path)))
    other = make(tmp_path / "other", backbone=Fusion("densefuse@1e2").backbone)
    path = tmp_path / "other.safetensors"
    export_networks(path, other, "blend", "densefuse@1e2", other.complete())
    Fusion("densefuse@1e2", Blend(checkpoint=str(path)))
    reason = "trained on the features of densefuse@1e2, not of densefuse@1e3"
    with pytest.raises(FusionlabError, match=reason):
        Fusion("densefuse@1e3", Blend(checkpoint=str(path)))


def test_a_learned_strategy_without_weights_says_how_to_get_some():
    with pytest.raises(FusionlabError, match="no trained weights; train some with 'fusionlab tra"):
        Fusion("identity", Blend())
    with pytest.raises(FusionlabError, match="has no weights 'nope'"):
        Fusion("identity", Blend(checkpoint="nope"))
    with pytest.raises(FusionlabError, match="refused unread"):
        Fusion("identity", Blend(checkpoint="nope.pt"))
    zeros = torch.zeros(2, 1, 1, 3, 3)
    with pytest.raises(FusionlabError, match="needs its trained networks"):
        Blend().fuse(zeros, Scene(zeros))


class Dropping(Blend):
    """Forgets half of the features at random while it is trained."""

    def network(self, level):
        return torch.nn.Sequential(Mixed(level.channels), torch.nn.Dropout(0.5))


def test_dropout_is_repeatable_and_leaves_the_random_numbers_of_the_caller_alone(tmp_path):
    one = make(tmp_path / "one", strategy=Dropping())
    torch.manual_seed(7)
    one.complete()
    here = torch.rand(1)
    other = make(tmp_path / "other", strategy=Dropping())
    torch.manual_seed(8)
    other.complete()
    assert same(one.best, other.best)
    torch.manual_seed(7)
    assert torch.equal(here, torch.rand(1))


def test_held_out_images_smaller_than_a_crop_are_refused_before_training(tmp_path):
    small = Subject("small", torch.rand(2, 1, 1, 1))
    with pytest.raises(FusionlabError, match="small has 1x1 pixels"):
        make(tmp_path, images=[*pictures(), small])


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

    with pytest.raises(FusionlabError, match="the losses of Wrong must be scalar tensors"):
        make(tmp_path, strategy=Wrong())


def test_networks_without_parameters_are_refused(tmp_path):
    class Empty(Blend):
        def network(self, level):
            return torch.nn.Identity()

        def fuse(self, features, scene):
            return features.mean(dim=0)

    with pytest.raises(FusionlabError, match="Empty have no parameters"):
        make(tmp_path, strategy=Empty())


def test_a_validation_that_is_never_finite_costs_a_sentence(tmp_path):
    class Blind(Blend):
        def losses(self, fused, sources, merged, features):
            found = fused.square().mean()
            return {"a": found if torch.is_grad_enabled() else torch.nan * found}

    with pytest.raises(FusionlabError, match="no validation gave a finite loss"):
        make(tmp_path, strategy=Blind()).complete()
