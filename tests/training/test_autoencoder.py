"""Training a backbone: it learns, and an interruption at any moment does not change the result."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused

from fusionlab import Card, FusionlabError
from fusionlab.plugins.factory import build_backbone
from fusionlab.plugins.host import installed
from fusionlab.training.autoencoder import AutoencoderTrainer
from fusionlab.training.export import export_weights
from fusionlab.training.log import read_log
from fusionlab.training.settings import AutoencoderSettings, Stage
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 256, 256), dtype=np.uint8)
HELD_OUT = IMAGES[:2, :80, :80]  # small: validation takes most of the time of these runs
SETTINGS = AutoencoderSettings(
    stages=(Stage(16, 7), Stage(24, 5)), validate_every=4, validation_images=1, lr_decay=5
)


def make(folder, settings=SETTINGS, backbone=DenseFuse):
    return AutoencoderTrainer(backbone, IMAGES, HELD_OUT, settings, folder)


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


def test_the_loss_falls(tmp_path):
    """Smooth images, 60 iterations: the error must at least halve."""
    ramps = np.tile(np.arange(256, dtype=np.uint8), (4, 256, 1))
    settings = AutoencoderSettings(stages=(Stage(32, 60),), learning_rate=1e-3, validate_every=1000)
    training = AutoencoderTrainer(DenseFuse, ramps, ramps[:1], settings, tmp_path)
    before, _ = training.measure(training.backbone, ramps[:1])
    assert training.run()["mae"] < before["mae"] / 2


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop", [1, 4, 6, 11])
def test_a_run_killed_and_resumed_ends_with_the_same_bits(tmp_path, stop, ema_decay):
    """Killed without warning: only what the last validation saved is left."""
    settings = replace(SETTINGS, ema_decay=ema_decay, flips=True)
    whole = make(tmp_path / "whole", settings)
    whole.run()

    class Killed(BaseException):
        pass

    first = make(tmp_path / "cut", settings)
    step = first._step

    def until():
        if first.iteration == stop:
            raise Killed
        return step()

    first._step = until
    first.save()
    with pytest.raises(Killed):
        first.run()
    second = make(tmp_path / "cut", settings)
    second.resume()
    assert second.iteration <= stop
    final = second.run()
    assert same(second.backbone.state_dict(), whole.backbone.state_dict())
    assert same(second.best, whole.best)
    assert second.best_iteration == whole.best_iteration
    assert final == whole.measure(whole.backbone, HELD_OUT)[0]
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["_step", "_update_best"])
def test_ctrl_c_waits_for_the_end_of_an_iteration_and_saves(tmp_path, place, number):
    """Wherever it comes, in an update or in a validation, the run ends with the same bits."""
    whole = make(tmp_path / "whole")
    whole.run()
    cut = make(tmp_path / "cut")
    work = getattr(cut, place)

    def interrupted():
        if cut.iteration == (4 if place == "_update_best" else 5):
            # called instead of sent: a SIGINT ended workers of pytest-xdist now and then
            signal.getsignal(number)(number, None)
        return work()

    setattr(cut, place, interrupted)
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert signal.getsignal(number) is handler
    again = make(tmp_path / "cut")
    again.resume()
    assert again.iteration == (4 if place == "_update_best" else 6)
    again.run()
    assert same(again.backbone.state_dict(), whole.backbone.state_dict())
    assert same(again.best, whole.best)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_the_best_weights_are_those_of_the_smallest_validation_loss(tmp_path):
    """A learning rate far too large from the second stage on: the last weights are not best."""
    training = make(tmp_path, replace(SETTINGS, lr_decay=0, validation_images=2))
    step = training._step

    def spoiled():
        if training.iteration == 9:
            for parameter in training.backbone.parameters():
                parameter.data.mul_(3)
        return step()

    training._step = spoiled
    final = training.run()
    losses = {
        line["iteration"]: line["loss"]
        for line in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
        if "loss" in line
    }
    assert min(losses, key=losses.get) == 8
    assert final["pixel"] + 100 * (1 - final["ssim"]) == pytest.approx(losses[8], rel=1e-6)


class Off(torch.nn.Module):
    """Gives an image back, a little brighter."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, images):
        return images + self.by


def test_a_validation_by_hand(tmp_path):
    """A network that returns its input plus two gray levels."""
    training = make(tmp_path)
    figures, loss = training.measure(Off(2 / 255), HELD_OUT)
    assert figures["images"] == 2
    assert figures["pixel"] == pytest.approx(4, rel=1e-4)
    assert figures["mae"] == pytest.approx(2, rel=1e-4)
    assert figures["psnr"] == pytest.approx(10 * np.log10(255**2 / 4), abs=1e-3)
    assert 0.99 < figures["ssim"] < 1
    assert loss == pytest.approx(figures["pixel"] + 100 * (1 - figures["ssim"]))


def test_images_that_come_back_exactly_have_no_error(tmp_path):
    figures, loss = make(tmp_path).measure(Off(0), HELD_OUT)
    assert (figures["pixel"], figures["psnr"]) == (0, float("inf"))
    assert loss == pytest.approx(0, abs=1e-4)  # 1 - SSIM in float32, a hundred times


def test_every_setting_takes_part(tmp_path):
    short = replace(SETTINGS, stages=(Stage(16, 2), Stage(16, 3)), lr_decay=3, validate_every=100)

    def weights(**change):
        settings = replace(short, **change)
        training = AutoencoderTrainer(DenseFuse, IMAGES, HELD_OUT[:1], settings, tmp_path)
        training.run()
        return training.best["c1.weight"], training.optimizer.param_groups[0]["lr"]

    plain, rate = weights()
    assert rate == pytest.approx(1e-4 / 3)  # the last of three iterations of decay
    for change in (
        {"ssim_weight": 0.0},
        {"stages": (Stage(16, 2), Stage(16, 3, "bf16"))},
        {"stages": (Stage(16, 2), Stage(24, 3))},
        {"lr_decay": 0},
        {"lr_schedule": "cosine"},
        {"flips": True},
        {"ema_decay": 0.9},
        {"pixel_loss": "euclidean"},
        {"structure_loss": "contrast-structure"},
    ):
        assert not torch.equal(weights(**change)[0], plain), change


def test_a_training_that_diverges_says_so_and_logs_no_nan(tmp_path):
    with pytest.raises(FusionlabError, match="training diverged before iteration 4") as caught:
        make(tmp_path, replace(SETTINGS, learning_rate=1e30, lr_decay=0)).run()
    assert (caught.value.code, caught.value.option) == ("diverged", "learning_rate")
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()


def test_training_goes_on_from_given_weights_and_their_card_says_so(tmp_path):
    first = make(tmp_path / "first")
    path = tmp_path / "first" / "one.safetensors"
    parent = export_weights(path, first, first.run(), "densefuse")
    second = AutoencoderTrainer(
        DenseFuse, IMAGES, HELD_OUT, SETTINGS, tmp_path / "second", start=path
    )
    assert same(second.backbone.state_dict(), first.best)
    assert all(p.requires_grad for p in second.backbone.parameters())
    card = export_weights(tmp_path / "two.safetensors", second, second.run(), "densefuse")
    assert card.parent["sha256"] == parent.sha256
    with pytest.raises(FusionlabError, match="other weights to start from") as caught:
        make(tmp_path / "second").resume()
    assert caught.value.code == "other-run"


def test_resuming_with_other_settings_or_without_a_checkpoint_is_refused(tmp_path):
    def refusal(trainer):
        with pytest.raises(FusionlabError) as caught:
            trainer.resume()
        return caught.value.code, str(caught.value)

    code, _ = refusal(make(tmp_path))
    assert code == "nothing-to-resume"
    make(tmp_path).save()
    for trainer, difference in (
        (
            make(tmp_path, replace(SETTINGS, ssim_weight=1.0)),
            "settings (ssim_weight 100.0, now 1.0)",
        ),
        (
            AutoencoderTrainer(DenseFuse, IMAGES[::-1], HELD_OUT, SETTINGS, tmp_path),
            "training images",
        ),
        (
            AutoencoderTrainer(DenseFuse, IMAGES, IMAGES[2:4, :80, :80], SETTINGS, tmp_path),
            "validation images",
        ),
    ):
        code, message = refusal(trainer)
        assert code == "other-run"
        assert f"was made with other {difference}; resume" in message
    (tmp_path / "last.pt").write_bytes(b"damaged")
    code, _ = refusal(make(tmp_path))
    assert code == "damaged-state"


NAMES_BEFORE = {"averaging": "ema_decay", "cooldown": "lr_decay", "schedule": "lr_schedule"}


def test_a_state_of_an_earlier_version_can_be_resumed(tmp_path):
    """Its settings have other names."""
    first = make(tmp_path)
    first.iteration = 3
    first.save()
    state = torch.load(tmp_path / "last.pt")
    settings = state["settings"]
    for old, new in NAMES_BEFORE.items():
        settings[old] = settings.pop(new)
    torch.save(state, tmp_path / "last.pt")
    second = make(tmp_path)
    second.resume()
    assert second.iteration == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: [state],
        lambda state: {"settings": state["settings"]},
        lambda state: {**state, "settings": 3},
        lambda state: {**state, "losses": None},
        lambda state: {**state, "weights": {}},
        lambda state: {**state, "best": {"c1.weight": torch.zeros(1)}},
    ],
)
def test_a_checkpoint_that_is_not_ours_is_refused_in_a_sentence(tmp_path, damage):
    make(tmp_path).save()
    torch.save(damage(torch.load(tmp_path / "last.pt")), tmp_path / "last.pt")
    with pytest.raises(FusionlabError) as caught:
        make(tmp_path).resume()
    assert caught.value.code == "damaged-state"
    assert "\n" not in str(caught.value)


class Normed(DenseFuse):
    """A stranger's backbone with a layer that behaves differently in training."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)

    def encode(self, images):
        return super().encode(self.norm(images))


def test_validation_leaves_no_trace_in_the_network(tmp_path):
    """Statistics of batches come from training alone; the average has them, too."""
    training = make(tmp_path, replace(SETTINGS, ema_decay=0.5), Normed)
    training.run()
    assert training.average.module.norm.num_batches_tracked > 0
    again = make(tmp_path / "b", replace(SETTINGS, validate_every=1000), Normed)
    for _ in range(3):
        again._step()
    assert again.backbone.norm.num_batches_tracked == 3
    again.measure(again.backbone, HELD_OUT)
    assert again.backbone.norm.num_batches_tracked == 3
    assert again.backbone.training


def test_too_little_memory_is_one_sentence(tmp_path, monkeypatch):
    training = make(tmp_path)

    def fail():
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(training, "_step", fail)
    with pytest.raises(FusionlabError, match="batches of 2 x 16x16 or 24x24") as caught:
        training.run()
    assert (caught.value.code, caught.value.option) == ("out-of-memory", "batch")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), KeyError("lost")])
@pytest.mark.parametrize("place", ["__init__", "encode", "decode"])
def test_a_backbone_that_raises_anything_is_named(tmp_path, place, error):
    def fail(*_, **__):
        raise error

    odd = type("Odd", (DenseFuse,), {place: fail})
    with pytest.raises(FusionlabError, check=refused("backbone-failed")) as caught:
        make(tmp_path, backbone=odd).run()
    assert str(caught.value).startswith(f"the backbone Odd failed: {type(error).__name__}")


def test_the_images_validated_on_the_way_come_from_everywhere(tmp_path, monkeypatch):
    training = AutoencoderTrainer(
        DenseFuse, IMAGES, IMAGES, replace(SETTINGS, validation_images=3), tmp_path
    )
    seen = []
    measure = training.measure

    def noted(backbone, images):
        seen.append([np.flatnonzero((image == IMAGES).all((1, 2)))[0] for image in images])
        return measure(backbone, images)

    monkeypatch.setattr(training, "measure", noted)
    training._update_best()
    assert seen == [[0, 2, 5]]


def test_the_seed_decides_the_start_and_leaves_the_global_generator_alone(tmp_path):
    state = torch.random.get_rng_state()
    a, b = make(tmp_path), make(tmp_path)
    other = make(tmp_path, replace(SETTINGS, seed=1))
    assert same(a.backbone.state_dict(), b.backbone.state_dict())
    assert not same(a.backbone.state_dict(), other.backbone.state_dict())
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_log_has_a_line_for_every_validation(tmp_path):
    make(tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["settings"]["stages"][0] == {"size": 16, "iterations": 7, "precision": "fp32"}
    assert [line["iteration"] for line in lines if "pixel" in line] == [4, 8, 12]
    assert [line["iteration"] for line in lines if "validation" in line] == [4, 8, 12]
    assert lines[-1]["final"]["images"] == 2


def test_exported_weights_are_usable_at_once_and_say_where_they_come_from(tmp_path):
    training = make(tmp_path)
    final = training.run()
    path = tmp_path / "mine.safetensors"
    card = export_weights(
        path, training, final, "densefuse", data_note="noise", license_terms="MIT"
    )
    assert Card.read(path).to_json() == card.to_json()
    assert [stage["size"] for stage in card.settings["stages"]] == [16, 24]
    assert card.settings["best_iteration"] in (4, 8, 12)
    assert card.settings["iterations_done"] == 12
    assert (card.tag, card.data["description"], card.license) == ("mine", "noise", "MIT")
    backbone = build_backbone(f"densefuse@{path}", installed())
    assert same(backbone.state_dict(), training.best)


def test_bf16_trains_too_and_keeps_float32_weights(tmp_path):
    training = make(tmp_path, replace(SETTINGS, stages=(Stage(16, 3, "bf16"),), lr_decay=0))
    training.run()
    assert {value.dtype for value in training.best.values()} == {torch.float32}


def test_settings_that_make_no_sense_are_refused(tmp_path):
    for change, option in [
        ({"stages": ()}, "iterations"),
        ({"stages": (Stage(16, 0),)}, "iterations"),
        ({"stages": (Stage(8, 12),)}, "size"),
        ({"stages": (Stage(257, 12),)}, "size"),
        ({"stages": (Stage(16, 12, "fp8"),)}, "precision"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"ssim_weight": -1.0}, "ssim_weight"),
        ({"lr_decay": 13}, "lr_decay"),
        ({"lr_schedule": "cosine", "lr_decay": 0}, "lr_decay"),
        ({"lr_schedule": "step"}, "lr_schedule"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"pixel_loss": "l1"}, "pixel_loss"),
        ({"structure_loss": "l1"}, "structure_loss"),
        ({"seed": -1}, "seed"),
        ({"validate_every": 0}, "validate_every"),
    ]:
        with pytest.raises(FusionlabError) as caught:
            replace(SETTINGS, **change)
        assert (caught.value.code, caught.value.option) == ("invalid-setting", option), change
    for others, code in [
        ({"backbone": Identity}, "not-trainable"),
        ({"settings": replace(SETTINGS, batch=7)}, "too-few-images"),
        ({"backbone": Strided}, "crop-size"),
    ]:
        with pytest.raises(FusionlabError) as caught:
            make(tmp_path, **others)
        assert caught.value.code == code


class Strided(DenseFuse):
    """A backbone whose strides need sizes that are multiples of 24."""

    size_divisor = 24

    def encode(self, images):
        assert all(edge % 24 == 0 for edge in images.shape[-2:])
        return super().encode(images)


def test_a_backbone_with_strides_trains_on_crops_that_fit(tmp_path):
    """Of the held-out images of 256x256 it sees 240x240."""
    settings = replace(SETTINGS, stages=(Stage(24, 3), Stage(48, 2)))
    training = AutoencoderTrainer(Strided, IMAGES, IMAGES[:2], settings, tmp_path)
    assert training.run()["images"] == 2


def test_the_learning_rate_falls_to_zero_over_its_decay():
    rates = [SETTINGS.learning_rate_at(i) for i in range(12)]
    assert rates[:8] == [1e-4] * 8
    assert rates[8:] == pytest.approx([8e-5, 6e-5, 4e-5, 2e-5])
    assert [SETTINGS.stage_at(i).size for i in (0, 6, 7, 11)] == [16, 16, 24, 24]
    cosine = replace(SETTINGS, lr_schedule="cosine", lr_decay=4)
    expected = [1e-4 * (1 + np.cos(np.pi * i / 4)) / 2 for i in range(4)]
    assert [cosine.learning_rate_at(i) for i in range(8, 12)] == pytest.approx(expected)


def test_what_is_validated_and_exported_is_the_average(tmp_path):
    """An exponential average by hand, from the weights after every iteration."""
    settings = replace(SETTINGS, ema_decay=0.9, validate_every=12)
    training = make(tmp_path, settings)
    step, average = training._step, {}

    def followed():
        step()
        for name, value in training.backbone.state_dict().items():
            old = average.get(name, value)
            average[name] = 0.9 * old + 0.1 * value

    training._step = followed
    training.run()
    for name, value in training.best.items():
        # float32, twelve steps of a few roundings each
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-7)


def test_the_log_holds_the_mean_of_the_iterations_since_its_last_line(tmp_path):
    training = make(tmp_path)
    losses, step = [], training._step

    def noted():
        before = training.loss_sums.clone()
        step()
        losses.append((training.loss_sums - before).tolist())

    training._step = noted
    training.run()
    lines = [line for line in read_log(tmp_path / "log.jsonl") if "pixel" in line]
    for number, line in enumerate(lines):
        pixel, structure = np.mean(losses[4 * number : 4 * number + 4], axis=0)
        assert line["pixel"] == pytest.approx(pixel)
        assert line["structure"] == pytest.approx(structure)
        assert line["total"] == pytest.approx(pixel + 100 * structure)


def test_a_run_killed_before_its_first_checkpoint_begins_its_log_anew(tmp_path):
    make(tmp_path / "whole").run()
    (tmp_path / "cut").mkdir()
    log = tmp_path / "cut/log.jsonl"
    log.write_text('{"iteration": 0, "settings": {}}\n{"iteration": 50, "pixel": 1.0}\n{"itera')
    make(tmp_path / "cut").run()
    assert log.read_text() == (tmp_path / "whole/log.jsonl").read_text()
