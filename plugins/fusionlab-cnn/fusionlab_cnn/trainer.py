"""Training the siamese network to tell clear patches from blurred ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.data.image_cache import GrayImages
from fusionlab.training.settings import TrainerSettings
from fusionlab.training.trainer import Trainer
from fusionlab_cnn.network import PATCH, Siamese
from fusionlab_cnn.patches import patch_pairs

VALIDATION_SEED = 20180518
"""The held-out patches are the same in every run."""


@dataclass(frozen=True)
class PatchSettings(TrainerSettings):
    """The settings of a training; momentum and weight decay are those of the paper."""

    batch: int = 64
    """Patches per iteration; each makes two pairs, clear first and blurred first."""
    learning_rate: float = 0.01
    """Learning rate of stochastic gradient descent."""
    lr_decay: int = 560
    validate_every: int = 250
    iterations: int = 700
    momentum: float = 0.9
    weight_decay: float = 5e-4
    validation_patches: int = 1000
    """Number of held-out patches of a validation; the final one has five times as many."""

    @property
    def crop_sizes(self) -> tuple[int, ...]:
        """The edge of a patch."""
        return (PATCH,)


class PatchTrainer(Trainer):
    """One run: images, settings, and the folder it writes to.

    Args:
        images: training images, `(n, 256, 256)` gray levels.
        validation_images: held-out images of the same kind.
        settings: everything else that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
    """

    settings: PatchSettings
    images: GrayImages
    validation_images: GrayImages

    def __init__(
        self,
        images: GrayImages,
        validation_images: GrayImages,
        settings: PatchSettings,
        folder: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.images, self.validation_images = images, validation_images
        self.images_sha256, self.validation_sha256 = (
            sha256_of_bytes(np.ascontiguousarray(array).data)
            for array in (images, validation_images)
        )
        self.parent = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = Siamese()
        # one network for each level of the backbone, as for every learned strategy
        networks = nn.ModuleList([self.network]).to(device)
        networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        super().__init__(networks, ("softmax",), settings, folder, torch.device(device))
        self.optimizer = torch.optim.SGD(
            networks.parameters(),
            lr=settings.learning_rate_at(0),
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )

    def batch_loss(self) -> tuple[Tensor, Tensor]:
        """Return the softmax loss of a batch of patches, in both orders."""
        settings = self.settings
        clear, blurred = patch_pairs(
            self.images, settings.batch, (settings.seed, 3, self.iteration)
        )
        loss = cross_entropy(*self._classified(self.network, clear, blurred))
        return loss, loss.detach()[None]

    def total(self, terms: Mapping[str, float]) -> float:
        """Return the loss, which has one term."""
        return terms["softmax"]

    def validate(self, module: nn.Module, *, all_images: bool) -> tuple[dict[str, Any], float]:
        """Measure loss and accuracy on held-out patches, each in both orders.

        Returns:
            The number of `pairs`, their mean `softmax` loss, and the share whose clear patch is
            found, `accuracy`; and the loss.
        """
        (network,) = module.children()
        assert isinstance(network, Siamese)
        count = self.settings.validation_patches * (5 if all_images else 1)
        pairs = patch_pairs(self.validation_images, count, (VALIDATION_SEED,))
        loss = correct = 0.0
        with torch.no_grad():
            for clear, blurred in zip(*(patches.split(100) for patches in pairs), strict=True):
                logits, labels = self._classified(network, clear, blurred)
                loss += cross_entropy(logits, labels, reduction="sum").item()
                correct += (logits.argmax(dim=1) == labels).sum().item()
        loss /= 2 * count
        return {"pairs": 2 * count, "softmax": loss, "accuracy": correct / (2 * count)}, loss

    def identity(self) -> dict[str, str | None]:
        """Return the images."""
        return {
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
        }

    def strategy_facts(self, name: str) -> dict[str, Any] | None:
        """Return the name of the strategy; the backbone is `identity`, which has no weights."""
        return {"name": name, "parameters": "", "backbone_sha256": None}

    def _classified(
        self, network: Siamese, clear: Tensor, blurred: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the logits `(2 N, 2)` of both orders of N pairs, and their labels."""
        maps = network.encode(torch.cat([clear, blurred]).to(self.device))
        a, b = maps.chunk(2)
        ordered = torch.cat([torch.cat([a, b], dim=1), torch.cat([b, a], dim=1)])
        logits = network.output(ordered).flatten(1)
        labels = torch.ones(len(ordered), dtype=torch.long, device=self.device)
        labels[len(a) :] = 0
        return logits, labels
