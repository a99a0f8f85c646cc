"""`fusionlab train`, from a folder of images to weights that fuse."""

import json
import signal
import sys

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.training.autoencoder import AutoencoderTrainer

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("photos", 3), ("held-out", 1)):
        (tmp_path / name).mkdir()
        for n in range(count):
            pixels = RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)
            iio.imwrite(tmp_path / name / f"{n}.png", pixels)
    return tmp_path


def run(*args):
    fixed = ["train", "photos", "--validation", "held-out", "-o", "runs", "--tag", "mine"]
    return CliRunner().invoke(main, [*fixed, "--size", "32", "--iterations", "6", *args])


def resume(*args):
    return CliRunner().invoke(main, ["train", "-o", "runs", "--resume", *args])


def test_a_training_ends_with_weights_that_fuse(folder):
    result = run("--lambda", "10", "--data-note", "noise")
    assert result.exit_code == 0, result.output
    assert "images    3, and 1 held out" in result.stdout
    assert "loss      mse + 10 x ssim" in result.stdout
    assert "stages    6 iterations of 2 x 32x32 in fp32" in result.stdout
    card = json.loads((folder / "runs/mine.json").read_text())
    assert card["settings"]["ssim_weight"] == 10
    assert card["data"]["description"] == "noise"
    fused = CliRunner().invoke(
        main,
        ["fuse", "--backbone", "densefuse@runs/mine.safetensors", "photos/0.png", "photos/1.png"],
    )
    assert fused.exit_code == 0, fused.output
    assert "densefuse@mine-" in fused.stdout


def test_ctrl_c_saves_and_resume_goes_on(folder, monkeypatch):
    step = AutoencoderTrainer._step

    def interrupted(self):
        if self.iteration == 3:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)  # called, as in test_autoencoder
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderTrainer, "_step", interrupted)
        result = run()
    assert result.exit_code == 130
    assert "stopped at iteration 4, saved; resume with 'fusionlab train -o runs --resume'" in (
        result.stderr
    )
    assert "runs already holds a run (last.pt); resume it" in run().stderr
    result = resume()
    assert result.exit_code == 0, result.output
    assert "from      iteration 4" in result.stdout
    assert (folder / "runs/mine.safetensors").exists()
    result = resume("--preset", "paper")
    assert "leave out --preset" in result.stderr
    result = resume("--lambda", "7")
    assert result.exit_code == 2
    assert "made with other settings (ssim_weight 100.0, now 7.0)" in result.stderr


def test_a_run_can_be_resumed_from_another_folder_than_it_was_started_in(folder, monkeypatch):
    assert run().exit_code == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    result = CliRunner().invoke(main, ["train", "-o", "../runs", "--resume"])
    assert result.exit_code == 0, result.output
    assert "from      iteration 6" in result.stdout


def test_a_damaged_note_of_what_was_asked_for_is_one_sentence(folder):
    assert run().exit_code == 0
    for text in ("{", "[]", "3", "{}"):
        (folder / "runs/run.json").write_text(text)
        assert "Error: runs/run.json is damaged" in resume().stderr
    (folder / "runs/run.json").write_text('{"data": 7}')
    assert "runs/run.json is damaged" in resume().stderr


def test_without_images_to_validate_on_every_tenth_is_held_out(folder):
    result = CliRunner().invoke(
        main, ["train", "photos", "-o", "own", "--size", "32", "--iterations", "2"]
    )
    assert result.exit_code == 0, result.output
    assert "images    2, and 1 held out" in result.stdout
    assert (folder / "own/own.json").exists()  # named like the folder


def test_a_folder_whose_name_is_no_tag_needs_one(folder):
    args = ["train", "photos", "--size", "32", "--iterations", "2", "-o", "mein Lauf"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "got 'mein Lauf'; give the weights another name than the folder (--tag)" in result.stderr
    assert CliRunner().invoke(main, [*args, "--tag", "x"]).exit_code == 0


def test_epochs_count_how_often_every_image_is_seen(folder):
    result = CliRunner().invoke(
        main, ["train", "photos", "-o", "own", "--size", "32", "--epochs", "5", "--batch", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "stages    10 iterations of 1 x 32x32 in fp32" in result.stdout


def test_stages_differ_in_size_and_precision(folder):
    result = run("--size", "16", "--iterations", "2", "--precision", "bf16", "--precision", "fp32")
    assert result.exit_code == 0, result.output
    assert "stages    6 iterations of 2 x 32x32 in bf16\n" in result.stdout
    assert "stages    2 iterations of 2 x 16x16 in fp32\n" in result.stdout


def test_the_preset_is_the_paper_and_what_is_explicit_wins(folder):
    """4 epochs of 2 x 256x256 at 1e-4, constant; here with one iteration instead."""
    result = CliRunner().invoke(
        main, ["train", "photos", "--preset", "paper", "-o", "own", "--iterations", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "preset    paper" in result.stdout
    assert "stages    1 iterations of 2 x 256x256 in fp32" in result.stdout
    settings = json.loads((folder / "own/own.json").read_text())["settings"]
    assert (settings["learning_rate"], settings["lr_decay"], settings["ema_decay"]) == (1e-4, 0, 0)
    assert (settings["pixel_loss"], settings["structure_loss"]) == ("mse", "ssim")


def test_a_preset_that_sets_what_is_no_option_is_refused(folder, install):
    install(
        "odd",
        """
        from fusionlab import BackboneRef, Preset, hookimpl

        @hookimpl
        def fusionlab_backbones():
            return [BackboneRef("odd", "fusionlab_encoders.densefuse:DenseFuse", "x")]

        @hookimpl
        def fusionlab_presets():
            return [Preset("mine", "x", trainings={"odd": {"color": "red"}})]
        """,
    )
    options = ("--backbone", "odd", "--preset", "mine")
    assert "the preset mine sets 'color', which is not an option" in run(*options).stderr


def test_several_runs_share_the_decoded_images(folder):
    for name in ("one", "two"):
        assert run("--cache", "decoded", "-o", name).exit_code == 0
    assert len(list((folder / "decoded").glob("*.npy"))) == 2  # to train on, to validate on
    assert not list((folder / "two").glob("*.npy"))


def test_tensorboard_gets_what_the_log_has(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("--tensorboard", "--validate-every", "2").exit_code == 0
    events = EventAccumulator(str(folder / "runs/tensorboard")).Reload()
    lines = map(json.loads, (folder / "runs/log.jsonl").read_text().splitlines())
    logged = {line["iteration"]: line["pixel"] for line in lines if "pixel" in line}
    drawn = {event.step: event.value for event in events.Scalars("pixel")}
    assert drawn == pytest.approx(logged)
    assert [event.step for event in events.Scalars("validation/ssim")] == [2, 4, 6]


def test_without_tensorboard_it_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = run("--tensorboard")
    assert result.exit_code == 2
    assert "install fusionlab-imaging[tensorboard]" in result.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence(folder):
    (folder / "file").touch()
    result = run("-o", "file/runs")
    assert result.exit_code == 2
    assert "Error: cannot make the folder file/runs: Not a directory" in result.stderr


def test_a_full_disk_is_one_sentence_and_keeps_the_last_checkpoint(folder, monkeypatch):
    from fusionlab.training import run_folder

    save, saved = run_folder.atomic_write_all, []

    def full_at_last(files_, **options):
        if [path.name for path in files_] == ["last.pt"]:
            if saved:
                raise FusionlabError("cannot write runs/last.pt: No space left on device")
            saved.append(True)
        return save(files_, **options)

    monkeypatch.setattr(run_folder, "atomic_write_all", full_at_last)
    result = run("--validate-every", "3")
    assert result.exit_code == 2
    assert "No space left on device; fix this and resume the run (--resume)" in result.stderr
    monkeypatch.setattr(run_folder, "atomic_write_all", save)
    assert "from      iteration 3\n" in resume().stdout


def test_a_run_killed_before_its_first_checkpoint_can_be_resumed(folder):
    assert run().exit_code == 0
    weights = (folder / "runs/mine.safetensors").read_bytes()
    (folder / "runs/last.pt").unlink()
    (folder / "runs/mine.safetensors").unlink()
    result = resume()
    assert result.exit_code == 0, result.output
    assert "from" not in result.stdout
    assert (folder / "runs/mine.safetensors").read_bytes() == weights


def test_weights_that_lie_there_are_not_replaced(folder):
    (folder / "runs").mkdir()
    (folder / "runs/mine.safetensors").write_text("precious")
    result = run()
    assert result.exit_code == 2
    assert "runs already holds a run (mine.safetensors)" in result.stderr


def test_two_runs_in_one_folder_are_kept_apart(folder):
    from fusionlab.storage.locking import exclusive_lock

    (folder / "runs").mkdir()
    with exclusive_lock(folder / "runs"):
        result = run()
    assert result.exit_code == 2
    assert "another run is writing into runs; wait for it" in result.stderr


def test_help_comes_whatever_else_is_said(folder):
    for args in (["--preset", "nothing"], ["-o", "nowhere", "--resume"]):
        result = CliRunner().invoke(main, ["train", *args, "--help"])
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage:")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resume"], "nothing to resume: runs/run.json does not exist"),
        (["--size", "64"], "one --iterations for each --size, got 1 for 2"),
        (["--epochs", "2"], "give --iterations or --epochs, not both"),
        (["--precision", "bf16"] * 2, "--precision once, or once for each --size, got 2 for 1"),
        (["--sources", "coco-*"], "there is none (--manifest)"),
        (["--lr-schedule", "cosine"], "needs the number of iterations"),
        (["photos"], "3 images are listed twice"),
        (["--validation", "photos"], "3 images are both trained on and held out"),
        (["--preset", "nothing"], "there is no preset 'nothing'; known: "),
        (
            ["--preset", "paper", "--backbone", "identity"],
            "has no options for the training of identity",
        ),
        (["--backbone", "identity"], "the backbone Identity has no parameters to train"),
        (["--batch", "9"], "a batch needs 9 images, there are 3"),
        (
            ["--manifest", "photos/0.png"],
            "there are only folders (--manifest)",
        ),
        (["--validation", "nowhere"], "does not exist"),
        (["--tag", "x/y"], "a name consists of letters"),
        (["--device", "toaster"], "the device toaster is not available"),
        (["--seed", "-1"], "the seed must not be negative"),
        (["--lambda", "nan"], "must not be negative, got nan (--lambda)"),
    ],
)
def test_a_mistake_costs_one_sentence(folder, args, message):
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
