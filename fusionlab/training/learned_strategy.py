"""Training the networks of a learned strategy on the features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionlab import parameters
from fusionlab.backbone import Backbone
from fusionlab.checkpoint import Card
from fusionlab.engine.transfers import to_device
from fusionlab.errors import FusionlabError
from fusionlab.plugins.failures import Role, failures_of
from fusionlab.storage.hashing import sha256_of_parts
from fusionlab.strategy import LearnedStrategy, Scene
from fusionlab.training.data.samples import Sample, crop_batch, sha256_of_samples
from fusionlab.training.settings import StrategySettings
from fusionlab.training.trainer import Trainer


class StrategyTrainer(Trainer):
    """One run: a learned strategy, the backbone it works on, images, settings, and a folder.

    The backbone does not change. What is minimized is the sum of the strategy's `losses`.

    Args:
        strategy: the configuration of the networks.
        networks: one for each level of the backbone, with the weights to start from.
        backbone: the backbone, frozen.
        images: training samples, all with the same number of sources.
        validation_images: held-out samples.
        settings: everything else that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        parent: the card of the weights to start from, None for random ones.
        tensorboard: also log for TensorBoard.

    Raises:
        FusionlabError: there are too few images, or some with a number of sources that the
            strategy does not take, or smaller than a crop; or the strategy cannot be trained.
    """

    settings: StrategySettings
    images: list[Sample]
    validation_images: list[Sample]

    def __init__(
        self,
        strategy: LearnedStrategy,
        networks: nn.ModuleList,
        backbone: Backbone,
        images: Sequence[Sample],
        validation_images: Sequence[Sample],
        settings: StrategySettings,
        folder: Path,
        device: str | torch.device = "cpu",
        *,
        parent: Card | None = None,
        tensorboard: bool = False,
    ) -> None:
        self.strategy, self.settings, self.device = strategy, settings, torch.device(device)
        self.parent = parent
        self.backbone = backbone.freeze().to(self.device)
        self.images, self.validation_images = list(images), list(validation_images)
        self._check_images()
        self.images_sha256 = sha256_of_samples(self.images)
        self.validation_sha256 = sha256_of_samples(self.validation_images)
        self.networks = networks.train().requires_grad_().to(self.device)
        self.initial_sha256 = _sha256_of_weights(self.networks)
        with failures_of(*self.trained):
            terms = self._names_of(self._losses(self.networks, self._batch(0)))
        super().__init__(
            self.networks, terms, settings, folder, self.device, tensorboard=tensorboard
        )

    @property
    def trained(self) -> tuple[Role, object]:
        """The strategy."""
        return "strategy", self.strategy

    def batch_loss(self) -> tuple[Tensor, Tensor]:
        """Return the sum of the strategy's losses for a batch of crops, and its terms."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # for dropout and the like
            torch.manual_seed(self.settings.seed + self.iteration)
            losses = self._losses(self.networks, self._batch(self.iteration))
        terms = torch.stack(list(losses.values()))
        return terms.sum(), terms

    def total(self, terms: Mapping[str, float]) -> float:
        """Return the sum of the terms."""
        return sum(terms.values())

    def validate(self, module: nn.Module, *, all_images: bool) -> tuple[dict[str, Any], float]:  # noqa: ARG002  # always all
        """Return the means of the terms over all held-out samples, each of them whole.

        Of images whose size is not a multiple of the backbone's `size_divisor`, the lower and right
        rest is left out.
        """
        module.eval()
        means = dict.fromkeys(self.terms, 0.0)
        divisor = self.backbone.size_divisor
        with torch.no_grad():
            for sample in self.validation_images:
                height, width = (edge - edge % divisor for edge in sample.sources.shape[-2:])
                sources = sample.sources[:, None, :, :height, :width].to(self.device)
                for name, value in self._losses(module, sources).items():
                    means[name] += value.item() / len(self.validation_images)
        module.train()
        return {"images": len(self.validation_images), **means}, self.total(means)

    def identity(self) -> dict[str, str | None]:
        """Return strategy, backbone and its weights, images, and the initial weights."""
        card = self.backbone.card
        parameters_text = parameters.describe(replace(self.strategy, checkpoint=None))
        return {
            "strategy": f"{type(self.strategy).__qualname__},{parameters_text}",
            "backbone": type(self.backbone).__qualname__,
            "weights of the backbone": card.sha256 if card else None,
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
            "weights to start from": self.initial_sha256,
        }

    def strategy_facts(self, name: str) -> dict[str, Any]:
        """Return name and parameters of the strategy, and the SHA-256 of its backbone."""
        return {
            "name": name,
            "parameters": parameters.describe(self.strategy),
            "backbone_sha256": self.backbone.card and self.backbone.card.sha256,
        }

    def _losses(self, networks: nn.Module, sources: Tensor) -> Mapping[str, Tensor]:
        """Fuse sources `(k, N, 1, H, W)` as the engine does, and return the strategy's losses."""
        k, count = sources.shape[:2]
        with torch.no_grad():
            encoded = self.backbone.encode(sources.flatten(0, 1))
        features = [level.unflatten(0, (k, count)) for level in encoded]
        merged = []
        for number, (level, network) in enumerate(
            zip(self.backbone.levels, networks.children(), strict=True)
        ):
            scene = Scene(sources=sources, level=number, stride=level.stride, network=network)
            merged.append(self.strategy.fuse(features[number], scene))
        fused = self.backbone.decode(tuple(merged))
        return self.strategy.losses(fused, sources, merged, features)

    def _names_of(self, losses: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Return the names of the losses; raise an error unless they can be minimized."""
        name = type(self.strategy).__name__
        if next(self.networks.parameters(), None) is None:
            raise FusionlabError(
                f"the networks of {name} have no parameters to train", code="not-trainable"
            )
        terms = list(losses.values()) if isinstance(losses, Mapping) else []
        scalars = all(isinstance(term, Tensor) and term.shape == () for term in terms)
        if not terms or not scalars or not any(term.requires_grad for term in terms):
            raise FusionlabError(
                f"the losses of {name} must be a dictionary of scalar tensors that depend on its "
                f"networks; got {losses!r}",
                code="invalid-losses",
            )
        return tuple(losses)

    def _batch(self, iteration: int) -> Tensor:
        settings = self.settings
        crops = crop_batch(
            self.images,
            iteration,
            batch=settings.batch,
            size=settings.size,
            seed=settings.seed,
            flips=settings.flips,
        )
        return to_device(crops, self.device)

    def _check_images(self) -> None:
        settings, samples = self.settings, [*self.images, *self.validation_images]
        settings.check_data(len(self.images), self.backbone.size_divisor)
        if not self.validation_images:
            raise FusionlabError(
                "there are no images to validate on", code="too-few-images", option="validation"
            )
        k = len(samples[0].sources)
        for sample in samples:
            if len(sample.sources) != k:
                raise FusionlabError(
                    "all images must have the same number of sources; "
                    f"{samples[0].stem} has {k}, {sample.stem} {len(sample.sources)}",
                    code="number-of-sources",
                )
            height, width = sample.sources.shape[-2:]
            if min(height, width) < settings.size:
                raise FusionlabError(
                    f"{sample.stem} has {width}x{height} pixels, too few for crops of "
                    f"{settings.size}; choose smaller crops, or leave the image out",
                    code="crop-size",
                    option="size",
                )
        low, high = self.strategy.min_k, self.strategy.max_k
        if k < low or (high is not None and k > high):
            allowed = f"at least {low}" if high is None else f"{low} to {high}"
            allowed = f"exactly {low}" if low == high else allowed
            raise FusionlabError(
                f"{type(self.strategy).__name__} takes {allowed} sources, the images have {k}",
                code="number-of-sources",
            )


def _sha256_of_weights(module: nn.Module) -> str:
    def parts() -> Iterator[bytes]:
        for name, value in module.state_dict().items():
            yield name.encode()
            yield value.cpu().numpy().tobytes()

    return sha256_of_parts(parts())
