"""Training a backbone as an autoencoder: what a batch costs, and how held-out images come back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fusionlab.backbone import Backbone
from fusionlab.errors import FusionlabError
from fusionlab.training.batches import Batches
from fusionlab.training.losses import (
    DATA_RANGE,
    PIXEL_LOSSES,
    STRUCTURE_LOSSES,
    Loss,
    mean_square,
    ssim,
)
from fusionlab.training.processes import ALONE, Processes
from fusionlab.training.run import Report, Run
from fusionlab.training.settings import Settings
from fusionlab.training.store import Images


@dataclass(frozen=True)
class Validation:
    """How well images that were never trained on come back."""

    images: int
    pixel: float
    """Mean squared error, gray levels squared."""
    mae: float
    """Mean absolute error, gray levels."""
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


class Training(Run):
    """One run: a backbone, its images, its settings, and the folder it writes to.

    `fusionlab.training.export.export_weights` writes the best weights to the folder, too.

    Of several processes (see `fusionlab.training.processes`) each computes its share of every
    batch, and the gradients are averaged: the run is the same as with one process, to rounding,
    and can be resumed with any number of them that divides the batch.

    Args:
        backbone: a trainable backbone; its random start is decided by `settings.seed`.
        images: training images, `(n, 256, 256)` gray levels; see `load_images`.
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
        self.settings = settings
        self.batches = Batches(images, settings.batch, settings.seed, flips=settings.flips)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.backbone = backbone()
        if start is not None:
            self.backbone.load_checkpoint(start).train().requires_grad_()
        self.parent = self.backbone.card
        # channels_last halves the time of a step in bfloat16 on CPU
        self.backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        self.model: torch.nn.Module = self.backbone
        if processes.world > 1:
            self.model = DistributedDataParallel(self.backbone)
        super().__init__(
            self.backbone,
            ("pixel", "structure"),
            settings,
            folder,
            torch.device(device),
            tensorboard=tensorboard,
            processes=processes,
        )

    def run(self, progress: Callable[[Report], None] = lambda *_: None) -> Validation | None:
        """Train to the end, as `complete` does, and return how held-out images come back.

        Of several processes, those that do not lead return None.
        """
        final = self.complete(progress)
        return Validation(**final) if final else None

    def loss(self) -> tuple[Tensor, Tensor]:
        """Return pixel loss + lambda x structure loss of a batch of crops, and both terms."""
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
        return pixel + settings.ssim_weight * structure, torch.stack([pixel, structure])

    def validate(self, backbone: torch.nn.Module, images: Images) -> tuple[Validation, float]:
        """Measure the reconstruction of `images` in float32, unrounded and unclipped.

        Returns:
            The figures, and the loss that training minimizes.
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

    def total(self, terms: Mapping[str, float]) -> float:
        """Return Eq. 1."""
        return terms["pixel"] + self.settings.ssim_weight * terms["structure"]

    def validated(self, module: torch.nn.Module, *, whole: bool) -> tuple[dict[str, Any], float]:
        """Measure the reconstruction of held-out images from all places of the set, or of all."""
        chosen = self.validation
        if not whole:
            count = min(len(self.validation), self.settings.validation_images)
            chosen = chosen[np.linspace(0, len(chosen) - 1, count).round().astype(int)]
        found, loss = self.validate(module, chosen)
        return asdict(found), loss

    def identity(self) -> dict[str, str | None]:
        """Return backbone, images, and the weights the run started from."""
        return {
            "backbone": type(self.backbone).__qualname__,
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
            "weights to start from": self.parent.sha256 if self.parent else None,
        }

    def smaller(self) -> str:
        """Name the batches."""
        sizes = " or ".join(f"{stage.size}x{stage.size}" for stage in self.settings.stages)
        return f"batches of {self.settings.batch} x {sizes}; choose a smaller --batch or --size"

    def _terms(self) -> tuple[Loss, Loss]:
        settings = self.settings
        return PIXEL_LOSSES[settings.pixel_loss], STRUCTURE_LOSSES[settings.structure_loss]


def _sha256(images: Images) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
