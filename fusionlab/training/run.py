"""A training run: one iteration after another, each of them repeatable.

Validation, checkpoints and the log all hang on the iteration number, so that a run killed at
any moment and resumed computes exactly what an undisturbed run computes.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fusionlab.engine.precision import convolutions
from fusionlab.errors import FusionlabError
from fusionlab.storage.atomic import make_folder, remove_partial
from fusionlab.training.checkpoint import load_state, save_state
from fusionlab.training.log import Log
from fusionlab.training.processes import ALONE, Processes

LOG_EVERY = 50


class Schedule(Protocol):
    """What a run asks of its settings, a frozen dataclass of everything that decides its result."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def iterations(self) -> int:
        """How many there are."""

    @property
    def batch(self) -> int:
        """Images an iteration."""

    @property
    def averaging(self) -> float:
        """Decay of an exponential average of the weights; 0: none."""

    @property
    def validate_every(self) -> int:
        """Iterations between two looks at the held-out images."""

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""


@dataclass(frozen=True)
class Report:
    """Where a run stands, for whoever shows its progress."""

    iteration: int
    terms: Mapping[str, float]
    """The terms of the loss, as means since the last report."""
    images_per_second: float
    best: float | None
    """The smallest validation loss so far."""


class Run(ABC):
    """A module that is trained by Adam, and the folder its run writes to.

    The folder holds `last.pt` (everything needed to go on, the best weights included; written at
    every validation and on Ctrl-C) and `log.jsonl` (see `fusionlab.training.log`).

    Args:
        module: what is trained; on its device already.
        terms: the names of the terms of its loss.
        settings: everything that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        tensorboard: also log for TensorBoard.
        processes: this process among those that train together.
    """

    def __init__(
        self,
        module: nn.Module,
        terms: tuple[str, ...],
        settings: Schedule,
        folder: Path,
        device: torch.device,
        *,
        tensorboard: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        self.module, self.terms, self.schedule = module, terms, settings
        self.folder, self.device, self.processes = folder, device, processes
        self.average = (
            AveragedModel(
                module, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging), use_buffers=True
            )
            if settings.averaging
            else None
        )
        self.optimizer = torch.optim.Adam(module.parameters(), lr=settings.learning_rate_at(0))
        self.iteration = 0
        self.losses = torch.zeros(len(terms), dtype=torch.float64, device=device)
        self.summed = 0
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.best_iteration = 0
        self.interrupted = False
        if processes.leads:
            make_folder(folder)
            remove_partial(folder)
            self.log = Log(folder, tensorboard=tensorboard)

    # ------------------------------------------------------------------ what a run must say

    @abstractmethod
    def loss(self) -> tuple[Tensor, Tensor]:
        """Return the loss of this iteration's batch, and its terms in the order of `terms`."""

    @abstractmethod
    def total(self, terms: Mapping[str, float]) -> float:
        """Return the loss that terms make together."""

    @abstractmethod
    def validated(self, module: nn.Module, *, whole: bool) -> tuple[dict[str, Any], float]:
        """Measure a state of the module on held-out images.

        Args:
            module: that state.
            whole: look at all of them, not only at those looked at on the way.

        Returns:
            The figures for the log, and the loss that training minimizes.
        """

    @abstractmethod
    def identity(self) -> dict[str, str | None]:
        """Return what must be the same when a run goes on, besides its settings."""

    @abstractmethod
    def smaller(self) -> str:
        """Say what did not fit into the memory, and what to do: the end of a sentence."""

    # ------------------------------------------------------------------ running

    def complete(self, progress: Callable[[Report], None] = lambda *_: None) -> dict[str, Any]:
        """Train to the last iteration and return the validation of the best weights.

        The best weights are those of the smallest validation loss; they are left in
        `self.best`. Ctrl-C, or SIGTERM, lets the iteration end and saves the state before it is
        passed on. Of several processes, those that do not lead return nothing.

        Raises:
            FusionlabError: the training diverged, or the memory does not suffice.
            KeyboardInterrupt: after Ctrl-C or SIGTERM.
        """
        if self.processes.leads:
            self.log.begin(asdict(self.schedule), self.iteration)
        with convolutions(self.device, allow_tf32=False):
            with self._deferring_signals(), self._blaming_memory():
                while self.iteration < self.schedule.iterations:
                    self._stretch(progress)
            if not self.processes.leads:
                return {}
            if not self.best:
                raise FusionlabError(
                    "no validation gave a finite loss, so there are no best weights; look at what "
                    "the held-out images do to the loss"
                )
            self.module.load_state_dict(self.best)
            final, _ = self.validated(self.module, whole=True)
        self.log.write(self.iteration, final=final)
        self.log.close()
        return final

    def save(self) -> None:
        """Write everything that `resume` needs."""
        save_state(
            self.folder / "last.pt",
            {
                "settings": asdict(self.schedule),
                **self.identity(),
                "iteration": self.iteration,
                "weights": self.module.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "optimizer": self.optimizer.state_dict(),
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
            FusionlabError: there is no such file, it is damaged, or it was made with other
                settings, images, or whatever else `identity` says.
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

    def _stretch(self, progress: Callable[[Report], None]) -> None:
        """Train until the next line of the log or the next validation, whichever is first."""
        settings = self.schedule
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
        means = self.processes.mean(self.losses / self.summed).tolist()
        self.losses, self.summed = torch.zeros_like(self.losses), 0
        if not math.isfinite(sum(means)):
            raise FusionlabError(
                f"the training diverged before iteration {self.iteration}: its losses are "
                f"{' and '.join(map(str, means))}; start again with a smaller learning rate"
            )
        if not self.processes.leads:
            return
        rate = count * settings.batch / (time.perf_counter() - started)
        terms = dict(zip(self.terms, means, strict=True))
        self.log.write(self.iteration, **terms, total=self.total(terms))
        if self.iteration % settings.validate_every == 0 or self.iteration == settings.iterations:
            self._keep_best()
            self.save()
        best = self.best_loss if self.best else None
        progress(Report(self.iteration, terms, rate, best))

    def _step(self) -> None:
        loss, terms = self.loss()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate_at(self.iteration)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.module)
        self.losses += terms.detach()
        self.summed += 1
        self.iteration += 1

    def _keep_best(self) -> None:
        module = self.average.module if self.average else self.module
        found, loss = self.validated(module, whole=False)
        if loss < self.best_loss:
            self.best_loss, self.best_iteration = loss, self.iteration
            self.best = {name: t.cpu().clone() for name, t in module.state_dict().items()}
        self.log.write(self.iteration, loss=loss, validation=found)

    def _difference(self, state: dict[str, Any]) -> str:
        """Say what a saved run does not have in common with this one; nothing if all is well."""
        theirs, ours = state["settings"], asdict(self.schedule)
        if names := [name for name in ours if theirs.get(name) != ours[name]]:
            changes = (f"{name} {theirs.get(name)!r}, now {ours[name]!r}" for name in names)
            return f"settings ({', '.join(changes)})"
        return ", ".join(name for name, value in self.identity().items() if state[name] != value)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["best"]:
            self.module.load_state_dict(state["best"])  # only to see that it is whole
        self.module.load_state_dict(state["weights"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
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
    def _blaming_memory(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one, on CUDA
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                raise
            raise FusionlabError(f"there is not enough memory for {self.smaller()}") from error
