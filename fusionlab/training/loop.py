"""The training loop: one iteration after another, each of them repeatable.

Validation, checkpoints and the log all hang on the iteration number, so that a run killed at
any moment and resumed computes exactly what an undisturbed run computes.
"""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fusionlab.backbone import Backbone
from fusionlab.errors import FusionlabError
from fusionlab.files import make_folder, remove_partial
from fusionlab.precision import convolutions
from fusionlab.training.batches import Batches
from fusionlab.training.checkpoint import load_state, save_state
from fusionlab.training.log import Log
from fusionlab.training.losses import (
    DATA_RANGE,
    PIXEL_LOSSES,
    STRUCTURE_LOSSES,
    Loss,
    mean_square,
    ssim,
)
from fusionlab.training.processes import ALONE, Processes
from fusionlab.training.settings import Settings
from fusionlab.training.store import Images

LOG_EVERY = 50


@dataclass(frozen=True)
class Report:
    """Where a run stands, for whoever shows its progress."""

    iteration: int
    pixel: float
    """The pixel loss and"""
    structure: float
    """the structure loss, as means since the last report."""
    images_per_second: float
    best: float | None
    """The smallest validation loss so far."""


@dataclass(frozen=True)
class Validation:
    """How well images that were never trained on come back."""

    images: int
    pixel: float
    """Mean squared error, grey levels squared."""
    mae: float
    """Mean absolute error, grey levels."""
    psnr: float
    """From the mean squared error of all pixels, in decibel."""
    ssim: float


def check_run(
    backbone: type[Backbone], count: int, settings: Settings, processes: Processes = ALONE
) -> None:
    """Refuse what cannot be trained, before `count` images are decoded for it.

    Raises:
        FusionlabError: the backbone has nothing to train, there are fewer images than a batch,
            or the processes cannot share a batch.
    """
    if not backbone.trainable:
        raise FusionlabError(f"the backbone {backbone.__name__} has nothing to train")
    if count < settings.batch:
        raise FusionlabError(f"a batch needs {settings.batch} images, there are {count}")
    if settings.batch % processes.world:
        raise FusionlabError(
            f"{processes.world} processes cannot share a batch of {settings.batch} images; "
            f"choose a multiple of {processes.world}"
        )


class Training:
    """One run: a backbone, its images, its settings, and the folder it writes to.

    The folder holds `last.pt` (everything needed to go on, the best weights included; written at
    every validation and on Ctrl-C), `log.jsonl` (see `fusionlab.training.log`) and, through
    `fusionlab.training.export.export_weights`, the exported weights.

    Of several processes (see `fusionlab.training.processes`) each computes its share of every
    batch, and the gradients are averaged: the run is the same as with one process, to rounding,
    and can be resumed with any number of them that divides the batch.

    Args:
        backbone: a trainable backbone; its random start is decided by `settings.seed`.
        images: training images, `(n, 256, 256)` grey levels; see `load_images`.
        validation: held-out images of the same kind.
        settings: everything that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        start: weights to start from instead of random ones, with their card beside them.
        tensorboard: also log for TensorBoard.
        processes: this process among those that train together.

    Raises:
        FusionlabError: as for `check_run`; or the weights to start from are not those of this
            backbone.
    """

    def __init__(
        self,
        backbone: type[Backbone],
        images: Images,
        validation: Images,
        settings: Settings,
        folder: Path,
        device: str | torch.device = "cpu",
        start: Path | None = None,
        *,
        tensorboard: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        check_run(backbone, len(images), settings, processes)
        self.images, self.validation = images, validation
        self.images_sha256, self.validation_sha256 = map(_sha256, (images, validation))
        self.settings, self.folder, self.device = settings, folder, torch.device(device)
        self.processes = processes
        self.batches = Batches(images, settings.batch, settings.seed, flips=settings.flips)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.backbone = backbone()
        if start is not None:
            self.backbone.load_checkpoint(start).train().requires_grad_()
        self.parent = self.backbone.card
        # channels_last halves the time of a step in bfloat16 on CPU
        self.backbone.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        self.model: torch.nn.Module = self.backbone
        if processes.world > 1:
            self.model = DistributedDataParallel(self.backbone)
        self.average = (
            AveragedModel(
                self.backbone,
                multi_avg_fn=get_ema_multi_avg_fn(settings.averaging),
                use_buffers=True,
            )
            if settings.averaging
            else None
        )
        self.optimiser = torch.optim.Adam(self.backbone.parameters(), lr=settings.learning_rate)
        self.iteration = 0
        self.losses = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.summed = 0
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.best_iteration = 0
        self.interrupted = False
        if processes.leads:
            make_folder(folder)
            remove_partial(folder)
            self.log = Log(folder, tensorboard=tensorboard)

    def run(self, progress: Callable[[Report], None] = lambda *_: None) -> Validation | None:
        """Train to the last iteration and return the validation of the best weights.

        The best weights are those of the smallest validation loss; they are left in
        `self.best`. Ctrl-C, or SIGTERM, lets the iteration end and saves the state before it is
        passed on. Of several processes, those that do not lead return None.

        Raises:
            FusionlabError: the training diverged, or the memory does not suffice.
            KeyboardInterrupt: after Ctrl-C or SIGTERM.
        """
        if self.processes.leads:
            self.log.begin(asdict(self.settings), self.iteration)
        with convolutions(self.device, allow_tf32=False):
            with self._deferring_signals(), _blaming_memory(self.settings):
                while self.iteration < self.settings.iterations:
                    self._stretch(progress)
            if not self.processes.leads:
                return None
            self.backbone.load_state_dict(self.best)
            final, _ = self.validate(self.backbone, self.validation)
        self.log.write(self.iteration, final=asdict(final))
        self.log.close()
        return final

    def save(self) -> None:
        """Write everything that `resume` needs."""
        save_state(
            self.folder / "last.pt",
            {
                "settings": asdict(self.settings),
                **self._identity(),
                "iteration": self.iteration,
                "weights": self.backbone.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "optimiser": self.optimiser.state_dict(),
                "losses": self.losses,
                "summed": self.summed,
                "best": self.best,
                "best_loss": self.best_loss,
                "best_iteration": self.best_iteration,
            },
        )

    def resume(self) -> None:
        """Go on where `last.pt` stopped.

        Raises:
            FusionlabError: there is no such file, it is damaged, or it was made with another
                backbone, other settings, images or weights to start from.
        """
        path = self.folder / "last.pt"
        state = load_state(path)
        try:
            other = self._difference(state)
            if not other:
                self._restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise FusionlabError(
                f"{path} is damaged, or of another version of fusionlab ({reason}); train again "
                "in another folder"
            ) from error
        if other:
            raise FusionlabError(
                f"{path} was made with other {other}; resume with the same, or choose another "
                "folder"
            )

    def validate(self, backbone: torch.nn.Module, images: Images) -> tuple[Validation, float]:
        """Measure the reconstruction of `images` in float32, unrounded and unclipped.

        Returns:
            The figures, and the loss that training minimises.
        """
        pixel_loss, structure_loss = self._terms()
        trained = backbone.training
        backbone.eval()
        square = absolute = similarity = loss = 0.0
        with torch.no_grad():
            for image in images:
                target = torch.tensor(image)[None, None].to(self.device).float()
                output = backbone(target / DATA_RANGE) * DATA_RANGE
                square += mean_square(output, target).item()
                absolute += (output - target).abs().mean().item()
                similarity += ssim(output, target).item()
                structure = structure_loss(output, target).item()
                loss += pixel_loss(output, target).item() + self.settings.ssim_weight * structure
        backbone.train(trained)
        count = len(images)
        found = Validation(
            images=count,
            pixel=square / count,
            mae=absolute / count,
            psnr=10 * math.log10(DATA_RANGE**2 / (square / count)) if square else math.inf,
            ssim=similarity / count,
        )
        return found, loss / count

    def _stretch(self, progress: Callable[[Report], None]) -> None:
        """Train until the next line of the log or the next validation, whichever is first."""
        settings = self.settings
        goal = min(
            settings.iterations,
            *((self.iteration // n + 1) * n for n in (LOG_EVERY, settings.validate_every)),
        )
        started, count = time.perf_counter(), goal - self.iteration
        while self.iteration < goal:
            if self.processes.any(self.interrupted):
                if self.processes.leads:
                    self.save()
                raise KeyboardInterrupt
            self._step()
        pixel, structure = self.processes.mean(self.losses / self.summed).tolist()
        self.losses, self.summed = torch.zeros_like(self.losses), 0
        if not math.isfinite(pixel + structure):
            raise FusionlabError(
                f"the training diverged before iteration {self.iteration}: its losses are {pixel} "
                f"and {structure}; start again with a smaller learning rate"
            )
        if not self.processes.leads:
            return
        rate = count * settings.batch / (time.perf_counter() - started)
        total = pixel + settings.ssim_weight * structure
        self.log.write(self.iteration, pixel=pixel, structure=structure, total=total)
        if self.iteration % settings.validate_every == 0 or self.iteration == settings.iterations:
            self._keep_best()
            self.save()
        best = self.best_loss if self.best else None
        progress(Report(self.iteration, pixel, structure, rate, best))

    def _step(self) -> None:
        settings, stage = self.settings, self.settings.stage_at(self.iteration)
        pixel_loss, structure_loss = self._terms()
        images = self.batches(
            self.iteration, stage.size, self.processes.rank, self.processes.world
        ).to(self.device, memory_format=torch.channels_last)
        bf16 = stage.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = self.model(images)
        output, target = output.float() * DATA_RANGE, images * DATA_RANGE
        pixel, structure = pixel_loss(output, target), structure_loss(output, target)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate_at(self.iteration)
        self.optimiser.zero_grad()
        (pixel + settings.ssim_weight * structure).backward()
        self.optimiser.step()
        if self.average:
            self.average.update_parameters(self.backbone)
        self.losses += torch.stack([pixel, structure]).detach()
        self.summed += 1
        self.iteration += 1

    def _terms(self) -> tuple[Loss, Loss]:
        settings = self.settings
        return PIXEL_LOSSES[settings.pixel_loss], STRUCTURE_LOSSES[settings.structure_loss]

    def _keep_best(self) -> None:
        backbone = self.average.module if self.average else self.backbone
        count = min(len(self.validation), self.settings.validation_images)
        some = np.linspace(0, len(self.validation) - 1, count).round().astype(int)  # of all places
        found, loss = self.validate(backbone, self.validation[some])
        if loss < self.best_loss:
            self.best_loss, self.best_iteration = loss, self.iteration
            self.best = {name: t.cpu().clone() for name, t in backbone.state_dict().items()}
        self.log.write(self.iteration, loss=loss, validation=asdict(found))

    def _identity(self) -> dict[str, str | None]:
        """Return what must be the same when a run goes on, besides its settings."""
        return {
            "backbone": type(self.backbone).__qualname__,
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
            "weights to start from": self.parent.sha256 if self.parent else None,
        }

    def _difference(self, state: dict[str, Any]) -> str:
        """Say what a saved run does not have in common with this one; nothing if all is well."""
        theirs, ours = state["settings"], asdict(self.settings)
        if names := [name for name in ours if theirs.get(name) != ours[name]]:
            changes = (f"{name} {theirs.get(name)!r}, now {ours[name]!r}" for name in names)
            return f"settings ({', '.join(changes)})"
        return ", ".join(name for name, value in self._identity().items() if state[name] != value)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["best"]:
            self.backbone.load_state_dict(state["best"])  # only to see that it is whole
        self.backbone.load_state_dict(state["weights"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration = state["iteration"]
        self.losses, self.summed = state["losses"].to(self.device), state["summed"]
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.best_iteration = state["best_iteration"]

    @contextmanager
    def _deferring_signals(self) -> Iterator[None]:
        """Note Ctrl-C and SIGTERM instead of stopping in the middle of an update of the weights.

        SIGTERM is what schedulers and `torchrun` send. Signals reach the main thread only;
        elsewhere nothing has to be deferred.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: object) -> None:
            self.interrupted = True

        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, note) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _blaming_memory(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one, on CUDA
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        sizes = " or ".join(f"{stage.size}x{stage.size}" for stage in settings.stages)
        raise FusionlabError(
            f"there is not enough memory for batches of {settings.batch} x {sizes}; choose a "
            "smaller --batch or --size"
        ) from error


def _sha256(images: Images) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
