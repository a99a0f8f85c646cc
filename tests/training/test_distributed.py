"""Several processes train like one: the same gradients, the same log, the same checkpoints."""

import json
import os
import subprocess
import time

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.training import distributed
from fusionlab.training.autoencoder import AutoencoderTrainer
from fusionlab.training.distributed import SINGLE_PROCESS, process_group
from fusionlab.training.settings import AutoencoderSettings

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPT = """
import sys, time
from pathlib import Path
import torch
from fusionlab.cli import main
from fusionlab.training.autoencoder import AutoencoderTrainer

folder, stop_at, *arguments = sys.argv[1:]
step = AutoencoderTrainer._step

def watched(self):
    if self.iteration == int(stop_at):
        if self.processes.is_main:
            Path(folder, "waits").touch()
        while not self.stop.requested:
            time.sleep(0.01)
    step(self)
    if self.iteration == 1:
        gradients = {name: p.grad for name, p in self.backbone.named_parameters()}
        torch.save(gradients, f"{folder}/gradients-{self.processes.rank}.pt")

AutoencoderTrainer._step = watched
main(arguments)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs, and one run on them in this process, with the gradients of its first step."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (64, 64), dtype=np.uint8)
        iio.imwrite(folder / "photos" / f"{number}.png", pixels)
    step = AutoencoderTrainer._step

    def watched(self):
        step(self)
        if self.iteration == 1:
            gradients = {name: p.grad for name, p in self.backbone.named_parameters()}
            torch.save(gradients, folder / "gradients.pt")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoencoderTrainer, "_step", watched)
        result = CliRunner().invoke(main, arguments(folder, "one"))
    assert result.exit_code == 0, result.output
    return folder


def arguments(folder, output):
    fixed = ["train", str(folder / "photos"), "-o", str(folder / output), "--tag", "mine"]
    return [*fixed, "--batch", "4", "--size", "24", "--iterations", "10", "--validate-every", "5"]


def torchrun(python, folder, output, stop_at):
    """Train in two processes, each with one thread; return exit code, stdout and stderr.

    Where they wait to be stopped, torchrun gets SIGTERM, and passes it on.
    """
    (folder / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [python, *TORCHRUN, folder / "script.py", folder, str(stop_at), *arguments(folder, output)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python},  # that of the two
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while stop_at >= 0 and running.poll() is None:
            if (folder / "waits").exists():
                running.terminate()
                break
            time.sleep(0.01)
        try:
            out, err = running.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
    return running.returncode, out, err


def check_same_run(folder, output):
    two, one = (load_file(folder / name / "mine.safetensors") for name in (output, "one"))
    for name in one:
        # ten steps of Adam at 1e-4: where a gradient is all rounding, its sign may differ once
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=2e-4)
    losses = [
        [line["pixel"] for line in map(json.loads, lines.splitlines()) if "pixel" in line]
        for lines in ((folder / name / "log.jsonl").read_text() for name in (output, "one"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == 2


def test_torchrun_trains_as_one_process_does(folder, python):
    """Each of two gloo processes sees half of the batch; the averaged gradients are compared."""
    code, out, err = torchrun(python, folder, "two", stop_at=-1)
    assert code == 0, err
    assert out.count("cpu x 2") == 1  # only the main process reports
    expected = torch.load(folder / "gradients.pt")
    for rank in (0, 1):
        gradients = torch.load(folder / f"gradients-{rank}.pt")
        for name, gradient in expected.items():
            # float32 sums of 4 x 576 pixels in another order: 1e-5 of the largest gradient
            scale = gradient.abs().max().item()
            torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-5 * scale)
    check_same_run(folder, "two")


@pytest.mark.slow
def test_what_torchrun_began_one_process_can_finish(folder, python):
    """SIGTERM is how torchrun and schedulers stop a job: all stop at one iteration, and save."""
    _, _, err = torchrun(python, folder, "stopped", stop_at=7)
    assert "stopped at iteration 8, saved; resume with 'fusionlab train -o" in err
    assert torch.load(folder / "stopped/last.pt")["iteration"] == 8
    result = CliRunner().invoke(main, ["train", "-o", str(folder / "stopped"), "--resume"])
    assert result.exit_code == 0, result.output
    assert "iteration 8\n" in result.stdout
    assert torch.load(folder / "stopped/last.pt")["iteration"] == 10
    check_same_run(folder, "stopped")


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
        AutoencoderSettings(batch=4).check_data(8, processes=3)
    assert caught.value.option == "batch"
