"""The training loop: one iteration after another, each of them repeatable.

Validation, checkpoints and the log all hang on the iteration number, so that a run killed at
any moment and resumed computes exactly what an undisturbed run computes.
"""

from __future__ import annotations

import json
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
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.backbone import Backbone
from fusionlab.errors import FusionlabError
from fusionlab.precision import convolutions
from fusionlab.training.checkpoint import load_state, save_state
from fusionlab.training.data import batch_of
from fusionlab.training.losses import DATA_RANGE, pixel_loss, ssim, ssim_loss
from fusionlab.training.settings import Settings

LOG_EVERY = 100


@dataclass(frozen=True)
class Report:
    """Where a run stands, for whoever shows its progress."""

    iteration: int
    pixel: float
    ssim: float
    images_per_second: float
    best: float | None


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


class Training:
    """One run: a backbone, its images, its settings, and the folder it writes to.

    The folder holds `last.pt` (everything needed to go on, written at every validation and on
    Ctrl-C), `log.jsonl` (one line per 100 iterations and per validation) and, through
    `fusionlab.training.export.export_weights`, the exported weights.

    Args:
        backbone: a trainable backbone; its random start is decided by `settings.seed`.
        images: training images, `(n, 256, 256)` grey levels; see `load_images`.
        validation: held-out images of the same kind.
        settings: everything that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        start: weights to start from instead of random ones, with their card beside them.

    Raises:
        FusionlabError: the backbone cannot be trained, there are fewer images than a batch, or
            the weights to start from are not those of this backbone.
    """

    def __init__(
        self,
        backbone: type[Backbone],
        images: NDArray[np.uint8],
        validation: NDArray[np.uint8],
        settings: Settings,
        folder: Path,
        device: str | torch.device = "cpu",
        start: Path | None = None,
    ) -> None:
        if not backbone.trainable:
            raise FusionlabError(f"the backbone {backbone.__name__} has nothing to train")
        if len(images) < settings.batch:
            raise FusionlabError(f"a batch needs {settings.batch} images, there are {len(images)}")
        self.images, self.validation = images, validation
        self.settings, self.folder, self.device = settings, folder, torch.device(device)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.backbone = backbone()
        if start is not None:
            self.backbone.load_checkpoint(start).train().requires_grad_()
        self.parent = self.backbone.card
        # channels_last halves the time of a step in bfloat16 on CPU
        self.backbone.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        self.optimiser = torch.optim.Adam(self.backbone.parameters(), lr=settings.learning_rate)
        self.iteration = 0
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.interrupted = False
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, progress: Callable[[Report], None] = lambda *_: None) -> Validation:
        """Train to the last iteration and return the validation of the best weights.

        The best weights are those of the smallest validation loss; they are left in
        `self.best`. Ctrl-C lets the iteration end and saves the state before it is passed on.

        Raises:
            FusionlabError: the training diverged.
            KeyboardInterrupt: after Ctrl-C.
        """
        with convolutions(self.device, allow_tf32=False):
            with self._deferring_ctrl_c():
                while self.iteration < self.settings.iterations:
                    self._stretch(progress)
            self.backbone.load_state_dict(self.best)
            final = self.validate(self.validation)
        self._log({"iteration": self.iteration, "final": asdict(final)})
        return final

    def save(self) -> None:
        """Write everything that `resume` needs."""
        save_state(
            self.folder / "last.pt",
            {
                "settings": asdict(self.settings),
                "parent": self._parent_hash(),
                "iteration": self.iteration,
                "weights": self.backbone.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "best": self.best,
                "best_loss": self.best_loss,
            },
        )

    def resume(self) -> None:
        """Go on where `last.pt` stopped.

        Raises:
            FusionlabError: there is no such file, or it was made with other settings.
        """
        state = load_state(self.folder / "last.pt")
        if state["parent"] != self._parent_hash():
            raise FusionlabError(
                f"{self.folder / 'last.pt'} was started from other weights; resume with the same "
                "ones, or choose another folder"
            )
        if state["settings"] != asdict(self.settings):
            raise FusionlabError(
                f"{self.folder / 'last.pt'} was made with other settings "
                f"({_difference(state['settings'], asdict(self.settings))}); "
                "resume with those, or choose another folder"
            )
        self.backbone.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration = state["iteration"]
        self.best, self.best_loss = state["best"], state["best_loss"]
        self._forget_log_after(self.iteration)

    def validate(self, images: NDArray[np.uint8]) -> Validation:
        """Measure the reconstruction of `images` in float32, unrounded and unclipped."""
        square = absolute = similarity = 0.0
        with torch.no_grad():
            for image in images:
                target = torch.tensor(image)[None, None].to(self.device).float()
                output = self.backbone(target / DATA_RANGE) * DATA_RANGE
                square += pixel_loss(output, target).item()
                absolute += (output - target).abs().mean().item()
                similarity += ssim(output, target).item()
        count = len(images)
        return Validation(
            images=count,
            pixel=square / count,
            mae=absolute / count,
            psnr=10 * math.log10(DATA_RANGE**2 / (square / count)),
            ssim=similarity / count,
        )

    def _stretch(self, progress: Callable[[Report], None]) -> None:
        """Train until the next line of the log or the next validation, whichever is first."""
        goal = min(
            self.settings.iterations,
            *((self.iteration // n + 1) * n for n in (LOG_EVERY, self.settings.validate_every)),
        )
        started, count = time.perf_counter(), goal - self.iteration
        while self.iteration < goal:
            if self.interrupted:
                self.save()
                raise KeyboardInterrupt
            pixel, structure = self._step()
        rate = count * self.settings.batch / (time.perf_counter() - started)
        self._log(
            {"iteration": self.iteration, "pixel": pixel.item(), "ssim_loss": structure.item()}
        )
        due = self.iteration % self.settings.validate_every == 0
        if due or self.iteration == self.settings.iterations:
            self._keep_best()
            self.save()
        best = self.best_loss if self.best else None
        progress(Report(self.iteration, pixel.item(), 1 - structure.item(), rate, best))

    def _step(self) -> tuple[Tensor, Tensor]:
        settings = self.settings
        size = settings.size_at(self.iteration)
        images = batch_of(self.images, settings.seed, self.iteration, settings.batch, size)
        images = images.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            output = self.backbone(images)
        output, target = output.float() * DATA_RANGE, images * DATA_RANGE
        pixel, structure = pixel_loss(output, target), ssim_loss(output, target)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate_at(self.iteration)
        self.optimiser.zero_grad()
        (pixel + settings.ssim_weight * structure).backward()
        self.optimiser.step()
        self.iteration += 1
        return pixel.detach(), structure.detach()

    def _keep_best(self) -> None:
        found = self.validate(self.validation[: self.settings.validation_images])
        loss = found.pixel + self.settings.ssim_weight * (1 - found.ssim)
        if not math.isfinite(loss):
            raise FusionlabError(
                f"the training diverged before iteration {self.iteration}: its loss is {loss}; "
                "start again with a smaller learning rate"
            )
        if loss < self.best_loss:
            self.best_loss = loss
            self.best = {name: value.clone() for name, value in self._weights().items()}
        self._log({"iteration": self.iteration, "validation": asdict(found), "loss": loss})

    def _parent_hash(self) -> str | None:
        return None if self.parent is None else self.parent.sha256

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.cpu() for name, value in self.backbone.state_dict().items()}

    @contextmanager
    def _deferring_ctrl_c(self) -> Iterator[None]:
        """Note Ctrl-C instead of raising it in the middle of an update of the weights.

        Signals reach the main thread only; elsewhere nothing has to be deferred.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: object) -> None:
            self.interrupted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _forget_log_after(self, iteration: int) -> None:
        """Drop the lines of iterations that are about to be computed again."""
        log = self.folder / "log.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("}\n")]  # the last may be cut off
            kept = [line for line in whole if json.loads(line)["iteration"] <= iteration]
            log.write_text("".join(kept), encoding="utf-8")

    def _log(self, line: dict[str, Any]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    names = [name for name in ours if theirs.get(name) != ours[name]]
    return ", ".join(f"{name} {theirs.get(name)!r}, now {ours[name]!r}" for name in names)
