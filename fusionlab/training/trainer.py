"""The training loop: one repeatable iteration after another.

Batches, validation, checkpoints and the log depend on the iteration number alone, so that a run
that is killed at any moment and resumed computes exactly what an uninterrupted run computes.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fusionlab.checkpoint import Card
from fusionlab.engine.precision import convolutions
from fusionlab.errors import FusionlabError
from fusionlab.plugins.failures import Role, failures_of
from fusionlab.storage.atomic import make_folder
from fusionlab.storage.schema import Count, NotOurs, check
from fusionlab.training.distributed import SINGLE_PROCESS, ProcessGroup
from fusionlab.training.guards import StopSignals, reporting_memory_errors
from fusionlab.training.log import Log
from fusionlab.training.run_folder import STATE, damaged, load_state, save_state
from fusionlab.training.settings import TrainerSettings

LOG_EVERY = 50


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for progress displays."""

    iteration: int
    terms: Mapping[str, float]
    """The terms of the loss: means since the last report."""
    images_per_second: float
    best_loss: float | None
    """The smallest validation loss so far."""


class _Counts(TypedDict):
    """The numbers in the state of a run."""

    iteration: Count
    summed: Count
    best_loss: float
    best_iteration: Count


class Trainer(ABC):
    """A module that is trained by Adam, and the folder that its run writes to.

    The folder holds `last.pt` (everything needed to resume, including the best weights; written
    at every validation and on Ctrl-C) and `log.jsonl` (see `fusionlab.training.log`).
    `fusionlab.training.export` writes the best weights.

    Subclasses set, before they call `__init__`: `images` and `validation_images`, their SHA-256
    `images_sha256` and `validation_sha256`, and `parent`, the card of the weights that the module
    starts with, None for random ones.

    Args:
        module: the module to train, on its device.
        terms: the names of the terms of its loss.
        settings: everything that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        tensorboard: also log for TensorBoard.
        processes: the processes that train together.
    """

    settings: TrainerSettings
    images: Sized
    validation_images: Sized
    images_sha256: str
    validation_sha256: str
    parent: Card | None

    def __init__(
        self,
        module: nn.Module,
        terms: tuple[str, ...],
        settings: TrainerSettings,
        folder: Path,
        device: torch.device,
        *,
        tensorboard: bool = False,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.module, self.terms, self.settings = module, terms, settings
        self.folder, self.device, self.processes = folder, device, processes
        self.average = (
            AveragedModel(
                module, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True
            )
            if settings.ema_decay
            else None
        )
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            module.parameters(), lr=settings.learning_rate_at(0)
        )
        """Subclasses may replace it by another one."""
        self.iteration = 0
        self.loss_sums = torch.zeros(len(terms), dtype=torch.float64, device=device)
        self.loss_count = 0
        self.best: dict[str, Tensor] = {}
        """The weights of the smallest validation loss so far."""
        self.best_loss = math.inf
        self.best_iteration = 0
        self.stop = StopSignals()
        if processes.is_main:
            make_folder(folder)
            self.log = Log(folder, tensorboard=tensorboard)

    # ------------------------------------------------------------------ what subclasses define

    @property
    def trained(self) -> tuple[Role, object]:
        """The role of what is trained, and the object: whose code fails if a step does."""
        return "backbone", self.module

    @abstractmethod
    def batch_loss(self) -> tuple[Tensor, Tensor]:
        """Return the loss of the batch of this iteration, and its terms in the order of `terms`."""

    @abstractmethod
    def total(self, terms: Mapping[str, float]) -> float:
        """Return the loss that the terms add up to."""

    @abstractmethod
    def validate(self, module: nn.Module, *, all_images: bool) -> tuple[dict[str, Any], float]:
        """Measure the module on held-out images.

        Args:
            module: the module, with the weights to measure.
            all_images: use all held-out images, not the subset of validations on the way.

        Returns:
            The figures for log and card, and the loss that training minimizes.
        """

    @abstractmethod
    def identity(self) -> dict[str, str | None]:
        """Return what must be the same when a run is resumed, besides its settings."""

    def strategy_facts(self, name: str) -> dict[str, Any] | None:  # noqa: ARG002  # for others
        """Return what the card says about the learned strategy `name`; None for backbones."""
        return None

    # ------------------------------------------------------------------ running

    def run(self, progress: Callable[[Progress], None] = lambda *_: None) -> dict[str, Any]:
        """Train to the last iteration and return the validation of the best weights.

        The best weights have the smallest validation loss; they are left in `self.best` and in
        the module. Ctrl-C and SIGTERM let the iteration end, and save the state before they are
        passed on. Processes other than the main one return nothing.

        Raises:
            FusionlabError: training diverged (code `diverged`), no validation was finite, or
                memory does not suffice (code `out-of-memory`).
            KeyboardInterrupt: after Ctrl-C or SIGTERM.
        """
        settings = self.settings
        sizes = " or ".join(f"{size}x{size}" for size in settings.crop_sizes)
        if self.processes.is_main:
            self.log.begin(asdict(settings), self.iteration)
        with convolutions(self.device, allow_tf32=False):
            with self.stop, reporting_memory_errors(f"batches of {settings.batch} x {sizes}"):
                while self.iteration < settings.iterations:
                    self._run_to_next_report(progress)
            if not self.processes.is_main:
                return {}
            if not self.best:
                raise FusionlabError(
                    "no validation had a finite loss, so there are no best weights; check the loss "
                    "of the held-out images",
                    code="diverged",
                )
            self.module.load_state_dict(self.best)
            with failures_of(*self.trained):
                figures, _ = self.validate(self.module, all_images=True)
        self.log.write(self.iteration, final=figures)
        self.log.close()
        return figures

    def save(self) -> None:
        """Write everything that `resume` needs."""
        save_state(
            self.folder,
            {
                "settings": asdict(self.settings),
                **self.identity(),
                "iteration": self.iteration,
                "weights": self.module.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "optimizer": self.optimizer.state_dict(),
                "losses": self.loss_sums,
                "summed": self.loss_count,
                "best": self.best,
                "best_loss": self.best_loss,
                "best_iteration": self.best_iteration,
            },
        )

    def resume(self) -> None:
        """Load the state that `save` wrote, to continue from its iteration.

        Raises:
            FusionlabError: there is no such file, it is damaged, or it was made with other
                settings, or a different `identity` (code `other-run`).
        """
        state = load_state(self.folder)
        path = self.folder / STATE
        try:
            difference = self._difference(state)
            if not difference:
                self._restore(state)
        except Exception as error:  # torch raises many kinds
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise damaged(path, reason) from error
        if difference:
            raise FusionlabError(
                f"{path} was made with other {difference}; resume with the same, or choose another "
                "folder",
                code="other-run",
                path=path,
            )

    def _run_to_next_report(self, progress: Callable[[Progress], None]) -> None:
        """Train until the next line of the log or the next validation, whichever is first."""
        settings = self.settings
        last_iteration = min(
            settings.iterations,
            *((self.iteration // n + 1) * n for n in (LOG_EVERY, settings.validate_every)),
        )
        start_time, count = time.perf_counter(), last_iteration - self.iteration
        while self.iteration < last_iteration:
            if self.processes.any(self.stop.requested):
                self.loss_sums = self.processes.mean(self.loss_sums)
                if self.processes.is_main:
                    self.save()
                raise self.stop.exception()
            self._step()
        means = self.processes.mean(self.loss_sums / self.loss_count).tolist()
        self.loss_sums, self.loss_count = torch.zeros_like(self.loss_sums), 0
        if not math.isfinite(sum(means)):
            raise FusionlabError(
                f"training diverged before iteration {self.iteration}: the losses are "
                f"{' and '.join(map(str, means))}; start again with a smaller learning rate",
                code="diverged",
                option="learning_rate",
            )
        if not self.processes.is_main:
            return
        speed = count * settings.batch / (time.perf_counter() - start_time)
        terms = dict(zip(self.terms, means, strict=True))
        self.log.write(self.iteration, **terms, total=self.total(terms))
        if self.iteration % settings.validate_every == 0 or self.iteration == settings.iterations:
            self._update_best()
            self.save()
        best_loss = self.best_loss if self.best else None
        progress(Progress(self.iteration, terms, speed, best_loss))

    def _step(self) -> None:
        with failures_of(*self.trained):
            loss, terms = self.batch_loss()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.iteration)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.module)
        self.loss_sums += terms.detach()
        self.loss_count += 1
        self.iteration += 1

    def _update_best(self) -> None:
        module = self.average.module if self.average else self.module
        with failures_of(*self.trained):
            figures, loss = self.validate(module, all_images=False)
        if loss < self.best_loss:
            self.best_loss, self.best_iteration = loss, self.iteration
            self.best = {name: t.cpu().clone() for name, t in module.state_dict().items()}
        self.log.write(self.iteration, loss=loss, validation=figures)

    def _difference(self, state: dict[str, Any]) -> str:
        """Return in words how a saved run differs from this one; empty if it does not."""
        saved, current = state["settings"], asdict(self.settings)
        saved = {**asdict(type(self.settings)()), **saved}  # settings that came later
        if names := [name for name in current if saved[name] != current[name]]:
            changes = (f"{name} {saved[name]!r}, now {current[name]!r}" for name in names)
            return f"settings ({', '.join(changes)})"
        return ", ".join(name for name, value in self.identity().items() if state[name] != value)

    def _restore(self, state: dict[str, Any]) -> None:
        check({name: state.get(name) for name in get_type_hints(_Counts)}, _Counts)
        options = [
            [{k: v for k, v in group.items() if k != "lr"} for group in saved["param_groups"]]
            for saved in (state["optimizer"], self.optimizer.state_dict())
        ]
        if options[0] != options[1]:
            raise NotOurs("the options of the optimizer differ")
        if state["iteration"] > self.settings.iterations:
            raise NotOurs(f"there is no iteration {state['iteration']}")
        if state["best"]:
            self.module.load_state_dict(state["best"])  # only to check it
        self.module.load_state_dict(state["weights"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration = state["iteration"]
        self.loss_sums, self.loss_count = state["losses"].to(self.device), state["summed"]
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.best_iteration = state["best_iteration"]
