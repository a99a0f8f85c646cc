"""Several processes train like one: the same gradients, the same log, the same checkpoints."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fusionlab import FusionlabError
from fusionlab.training import distributed
from fusionlab.training.autoencoder import AutoencoderTrainer
from fusionlab.training.distributed import SINGLE_PROCESS, process_group
from fusionlab.training.settings import AutoencoderSettings, Stage
from fusionlab_encoders.densefuse import DenseFuse

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 256, 256), dtype=np.uint8)
SETTINGS = AutoencoderSettings(
    stages=(Stage(24, 8),), batch=4, validate_every=100, validation_images=1
)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def environment():
    """One thread a process, so that two of them do not fight for two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(tmp_path):
    """Each of two gloo processes sees half of the batch; the averaged gradients are compared."""
    script = tmp_path / "one_step.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            import numpy as np, torch
            from fusionlab.training.autoencoder import AutoencoderTrainer
            from fusionlab.training.distributed import process_group
            from fusionlab.training.settings import AutoencoderSettings, Stage
            from fusionlab_encoders.densefuse import DenseFuse

            folder = Path(sys.argv[1])
            settings = AutoencoderSettings(
                stages=(Stage(24, 8),), batch=4, validate_every=100, validation_images=1
            )
            images = np.load(folder / "images.npy")
            with process_group(torch.device("cpu")) as (processes, device):
                training = AutoencoderTrainer(
                    DenseFuse, images, images[:1], settings, folder, device, processes=processes
                )
                training._step()
                assert len(training.batches(0, 24, processes.rank, processes.world_size)) == 2
                gradients = {n: p.grad for n, p in training.backbone.named_parameters()}
                torch.save(gradients, folder / f"gradients-{processes.rank}.pt")
            """
        )
    )
    np.save(tmp_path / "images.npy", IMAGES)
    command = [*TORCHRUN, str(script), str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone = AutoencoderTrainer(DenseFuse, IMAGES, IMAGES[:1], SETTINGS, tmp_path / "alone")
    alone._step()
    for rank in (0, 1):
        gradients = torch.load(tmp_path / f"gradients-{rank}.pt")
        for name, parameter in alone.backbone.named_parameters():
            # float32 sums of 4 x 576 pixels in another order: 1e-5 of the largest gradient
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-5 * scale)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        iio.imwrite(folder / f"{number}.png", image)
    return folder


def train(photos, output, *options):
    fixed = ["-m", "fusionlab", "train", str(photos), "-o", str(output), "--batch", "2"]
    return [*fixed, "--size", "24", "--tag", "mine", "--validate-every", "5", *options]


def pixels(output):
    lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    return [line["pixel"] for line in lines if "pixel" in line]


def test_torchrun_trains_as_one_process_does(tmp_path, photos):
    options = ["--iterations", "10"]
    done = subprocess.run(
        [*TORCHRUN, *train(photos, tmp_path / "two", *options)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cpu x 2") == 1  # one of them speaks
    alone = [sys.executable, *train(photos, tmp_path / "one", *options)]
    subprocess.run(alone, env=environment(), check=True, capture_output=True)
    two, one = (load_file(tmp_path / name / "mine.safetensors") for name in ("two", "one"))
    for name in one:
        # ten steps of Adam at 1e-4: where a gradient is all rounding, its sign may differ once
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=2e-4)
    assert pixels(tmp_path / "two") == pytest.approx(pixels(tmp_path / "one"), rel=1e-4)


def test_what_torchrun_began_one_process_can_finish(tmp_path, photos):
    """SIGTERM is how torchrun and schedulers say stop: all stop at the same iteration, saved."""
    output = tmp_path / "run"
    command = [*TORCHRUN, *train(photos, output, "--iterations", "400")]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 120
        while not (output / "last.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=120)
    assert "saved; resume with 'fusionlab train -o" in errors
    stopped = torch.load(output / "last.pt")["iteration"]
    assert 5 <= stopped < 400
    done = subprocess.run(
        [sys.executable, "-m", "fusionlab", "train", "-o", str(output), "--resume"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"iteration {stopped}\n" in done.stdout
    assert torch.load(output / "last.pt")["iteration"] == 400
    assert len(pixels(output)) == 80


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as (alone, device):
        assert alone is SINGLE_PROCESS
        assert alone.is_main
        assert device == torch.device("cpu")
    assert [alone.any(flag) for flag in (False, True)] == [False, True]
    values = torch.ones(2)
    assert alone.mean(values) is values
    alone.barrier()


def test_processes_that_do_not_meet_are_one_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(FusionlabError) as caught, process_group(torch.device("cpu")):
        pass
    assert caught.value.code == "process-group"
    assert not distributed.distributed.is_initialized()


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(FusionlabError, match="3 processes cannot share a batch of 4") as caught:
        SETTINGS.check_data(8, processes=3)
    assert caught.value.option == "batch"
