"""Training the networks of a learned strategy on the features of a frozen backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionlab import parameters
from fusionlab.backbone import Backbone
from fusionlab.checkpoint import Card
from fusionlab.errors import FusionlabError
from fusionlab.strategy import LearnedStrategy, Scene
from fusionlab.training.run import Run
from fusionlab.training.sets import Subject, crops, digest


@dataclass(frozen=True)
class RuleSettings:
    """Everything that decides what a run computes, besides strategy, backbone and images."""

    size: int = 128
    """Edge of the random crops, in pixels."""
    iterations: int = 10_000
    batch: int = 4
    """Images an iteration, each with all its sources."""
    learning_rate: float = 1e-4
    cooldown: int = 0
    """Over this many last iterations the learning rate falls to zero."""
    averaging: float = 0.0
    """Decay per iteration of an exponential average of the weights; 0: none."""
    flips: bool = False
    """Mirror every crop left to right and top to bottom, each with probability one half."""
    seed: int = 0
    validate_every: int = 500

    def __post_init__(self) -> None:
        if min(self.size, self.iterations, self.batch, self.validate_every) < 1 or self.seed < 0:
            raise FusionlabError(
                "size, iterations, batch and the interval of validation must be at least 1 and the "
                f"seed not negative; got {self.size}, {self.iterations}, {self.batch}, "
                f"{self.validate_every}, {self.seed}"
            )
        if not 0 < self.learning_rate < inf or not 0 <= self.averaging < 1:
            raise FusionlabError(
                "the learning rate must be positive and the decay of averaging lie in 0..1; got "
                f"{self.learning_rate}, {self.averaging}"
            )
        if not 0 <= self.cooldown <= self.iterations:
            raise FusionlabError(
                f"the cooldown must lie in 0..{self.iterations} (all iterations), got "
                f"{self.cooldown}"
            )

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""
        return self.learning_rate * min(1.0, (self.iterations - iteration) / max(1, self.cooldown))


class RuleTraining(Run):
    """One run: a learned strategy, the backbone it works on, images, settings, and a folder.

    The backbone stays as it is; what is minimized is the sum of the strategy's own `losses`.

    Args:
        strategy: the configuration of the networks.
        networks: one for each level of the backbone, with the weights to start from.
        backbone: frozen.
        images: to train on; all with the same number of sources.
        validation: held-out images.
        settings: everything else that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        parent: the card of the weights to start from, where they are not random.
        tensorboard: also log for TensorBoard.

    Raises:
        FusionlabError: there are too few images, or some with another number of sources than the
            strategy takes, or smaller than a crop; or the strategy cannot be trained.
    """

    def __init__(
        self,
        strategy: LearnedStrategy,
        networks: nn.ModuleList,
        backbone: Backbone,
        images: Sequence[Subject],
        validation: Sequence[Subject],
        settings: RuleSettings,
        folder: Path,
        device: str | torch.device = "cpu",
        *,
        parent: Card | None = None,
        tensorboard: bool = False,
    ) -> None:
        self.strategy, self.settings, self.device = strategy, settings, torch.device(device)
        self.parent = parent
        self.backbone = backbone.freeze().to(self.device)
        self.images, self.validation = list(images), list(validation)
        self._check_images()
        self.images_sha256, self.validation_sha256 = map(digest, (self.images, self.validation))
        self.networks = networks.train().requires_grad_().to(self.device)
        self.started_from = _sha256_of(self.networks)
        first = self._batch(0)
        terms = self._checked(self._losses(self.networks, first))
        super().__init__(
            self.networks, terms, settings, folder, self.device, tensorboard=tensorboard
        )

    def loss(self) -> tuple[Tensor, Tensor]:
        """Return the sum of the strategy's losses for a batch of crops, and its terms."""
        place = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=place):  # for dropout and its like
            torch.manual_seed(self.settings.seed + self.iteration)
            found = self._losses(self.networks, self._batch(self.iteration))
        terms = torch.stack(list(found.values()))
        return terms.sum(), terms

    def total(self, terms: Mapping[str, float]) -> float:
        """Return the sum."""
        return sum(terms.values())

    def validated(self, module: nn.Module, *, whole: bool) -> tuple[dict[str, Any], float]:  # noqa: ARG002  # always all
        """Return the means of the terms over all held-out images, each of them whole."""
        module.eval()
        sums = dict.fromkeys(self.terms, 0.0)
        multiple = self.backbone.size_divisor
        with torch.no_grad():
            for subject in self.validation:
                height, width = (edge - edge % multiple for edge in subject.planes.shape[-2:])
                sources = subject.planes[:, None, :, :height, :width].to(self.device)
                for name, value in self._losses(module, sources).items():
                    sums[name] += value.item() / len(self.validation)
        module.train()
        return {"images": len(self.validation), **sums}, self.total(sums)

    def identity(self) -> dict[str, str | None]:
        """Return strategy, backbone and its weights, images, and the weights the run began with."""
        card = self.backbone.card
        return {
            "strategy": f"{type(self.strategy).__qualname__},{parameters.describe(self.strategy)}",
            "backbone": type(self.backbone).__qualname__,
            "weights of the backbone": card.sha256 if card else None,
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
            "weights to start from": self.started_from,
        }

    def smaller(self) -> str:
        """Name the batches."""
        size = f"{self.settings.size}x{self.settings.size}"
        return f"batches of {self.settings.batch} x {size}; choose a smaller --batch or --size"

    def _losses(self, networks: nn.Module, sources: Tensor) -> Mapping[str, Tensor]:
        """Fuse sources `(k, N, 1, H, W)` as the pipeline does, and ask the strategy how well."""
        k, count = sources.shape[:2]
        with torch.no_grad():
            flat = self.backbone.encode(sources.flatten(0, 1))
        features = [level.unflatten(0, (k, count)) for level in flat]
        merged = []
        for number, (level, network) in enumerate(
            zip(self.backbone.levels, networks.children(), strict=True)
        ):
            scene = Scene(sources=sources, level=number, stride=level.stride, network=network)
            merged.append(self.strategy.fuse(features[number], scene))
        fused = self.backbone.decode(tuple(merged))
        return self.strategy.losses(fused, sources, merged, features)

    def _checked(self, terms: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Return the names of the terms, if they can be minimized."""
        name = type(self.strategy).__name__
        if next(self.networks.parameters(), None) is None:
            raise FusionlabError(f"the networks of {name} have no parameters to train")
        found = list(terms.values()) if isinstance(terms, Mapping) else []
        scalars = all(isinstance(term, Tensor) and term.shape == () for term in found)
        if not found or not scalars or not any(term.requires_grad for term in found):
            raise FusionlabError(
                f"the losses of {name} must be scalar tensors under names, that depend on its "
                f"networks; got {terms!r}"
            )
        return tuple(terms)

    def _batch(self, iteration: int) -> Tensor:
        settings = self.settings
        found = crops(
            self.images,
            iteration,
            batch=settings.batch,
            size=settings.size,
            seed=settings.seed,
            flips=settings.flips,
        )
        return found.to(self.device)

    def _check_images(self) -> None:
        settings, images = self.settings, [*self.images, *self.validation]
        if len(self.images) < settings.batch or not self.validation:
            raise FusionlabError(
                f"a batch needs {settings.batch} images, and validation one more; there are "
                f"{len(self.images)} and {len(self.validation)}"
            )
        k = len(images[0].planes)
        if other := next((subject for subject in images if len(subject.planes) != k), None):
            raise FusionlabError(
                f"all images must have the same number of sources; {images[0].stem} has {k}, "
                f"{other.stem} {len(other.planes)}"
            )
        least, most = self.strategy.min_k, self.strategy.max_k
        if k < least or (most is not None and k > most):
            wanted = f"at least {least}" if most is None else f"{least} to {most}"
            raise FusionlabError(
                f"{type(self.strategy).__name__} takes {wanted} sources, the images have {k}"
            )
        if settings.size % self.backbone.size_divisor:
            raise FusionlabError(
                f"the crops must be a multiple of {self.backbone.size_divisor} for this backbone, "
                f"got {settings.size}"
            )
        for subject in images:
            height, width = subject.planes.shape[-2:]
            if min(height, width) < settings.size:
                raise FusionlabError(
                    f"{subject.stem} has {width}x{height} pixels, too few for crops of "
                    f"{settings.size}; choose a smaller --size, or leave it out"
                )


def _sha256_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
