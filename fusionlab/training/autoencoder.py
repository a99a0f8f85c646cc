"""Training a backbone as an autoencoder: its loss, and its validation on held-out images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fusionlab.backbone import Backbone
from fusionlab.engine.transfers import to_device
from fusionlab.errors import FusionlabError
from fusionlab.parameters import describe
from fusionlab.plugins.failures import translated
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.data.batches import Batches
from fusionlab.training.data.image_cache import GrayImages
from fusionlab.training.distributed import SINGLE_PROCESS, ProcessGroup
from fusionlab.training.losses import (
    DATA_RANGE,
    PIXEL_LOSSES,
    STRUCTURE_LOSSES,
    Loss,
    mean_square,
    ssim,
)
from fusionlab.training.settings import IMAGE_SIZE, AutoencoderSettings
from fusionlab.training.trainer import Trainer


def check_backbone(
    backbone: type[Backbone],
    count: int,
    settings: AutoencoderSettings,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Check that a backbone can be trained, before `count` images are decoded for it.

    Raises:
        FusionlabError: the backbone has no parameters to train (code `not-trainable`), or as for
            `TrainerSettings.check_data`.
    """
    if not backbone.trainable:
        raise FusionlabError(
            f"the backbone {backbone.__name__} has no parameters to train",
            code="not-trainable",
            option="backbone",
        )
    settings.check_data(count, backbone.size_divisor, processes.world_size)


class AutoencoderTrainer(Trainer):
    """One run: a backbone, its images, its settings, and the folder it writes to.

    Each of several processes (see `fusionlab.training.distributed`) computes its share of every
    batch, and the gradients are averaged: up to rounding, the run is the same as with one
    process, and it can be resumed with any number of processes that divides the batch.

    Args:
        backbone: the class of a trainable backbone; `settings.seed` determines its random weights.
        images: training images, `(n, 256, 256)` gray levels; see `load_images`.
        validation_images: held-out images of the same kind.
        settings: everything that decides the result.
        folder: where to write; made if missing.
        device: where to compute.
        start: weights to start from instead of random ones, with their card next to them.
        parameters: the arguments that the backbone is built with.
        tensorboard: also log for TensorBoard.
        processes: the processes that train together.

    Raises:
        FusionlabError: as for `check_backbone`; or the weights to start from are those of another
            backbone.
    """

    settings: AutoencoderSettings
    images: GrayImages
    validation_images: GrayImages

    def __init__(
        self,
        backbone: type[Backbone],
        images: GrayImages,
        validation_images: GrayImages,
        settings: AutoencoderSettings,
        folder: Path,
        device: str | torch.device = "cpu",
        start: Path | None = None,
        *,
        parameters: Mapping[str, Any] = MappingProxyType({}),
        tensorboard: bool = False,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        check_backbone(backbone, len(images), settings, processes)
        self.images, self.validation_images = images, validation_images
        self.images_sha256, self.validation_sha256 = (
            sha256_of_bytes(np.ascontiguousarray(array).data)
            for array in (images, validation_images)
        )
        self.batches = Batches(images, settings.batch, settings.seed, flips=settings.flips)
        name = f"the backbone {backbone.__name__}"
        with torch.random.fork_rng(), translated(name, "backbone-failed"):
            torch.manual_seed(settings.seed)
            self.backbone = backbone(**parameters)
        if start is not None:
            self.backbone.load_checkpoint(start).train().requires_grad_()
        self.parent = self.backbone.card
        # channels_last halves the time of a step in bfloat16 on CPU
        self.backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.model: nn.Module = self.backbone
        if processes.world_size > 1:
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

    def batch_loss(self) -> tuple[Tensor, Tensor]:
        """Return pixel loss + lambda x structure loss of a batch of crops, and both terms."""
        settings, stage = self.settings, self.settings.stage_at(self.iteration)
        pixel_loss, structure_loss = self._losses()
        crops = self.batches(
            self.iteration, stage.size, self.processes.rank, self.processes.world_size
        )
        images = to_device(crops, self.device).to(memory_format=torch.channels_last)
        bf16 = stage.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = self.model(images)
        output, target = output.float() * DATA_RANGE, images * DATA_RANGE
        pixel, structure = pixel_loss(output, target), structure_loss(output, target)
        return pixel + settings.ssim_weight * structure, torch.stack([pixel, structure])

    def total(self, terms: Mapping[str, float]) -> float:
        """Return Eq. 1."""
        return terms["pixel"] + self.settings.ssim_weight * terms["structure"]

    def validate(self, module: nn.Module, *, all_images: bool) -> tuple[dict[str, Any], float]:
        """Measure the reconstruction of all held-out images, or of a subset, evenly spaced."""
        images = self.validation_images
        if not all_images:
            count = min(len(images), self.settings.validation_images)
            images = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
        return self.measure(module, images)

    def measure(self, backbone: nn.Module, images: GrayImages) -> tuple[dict[str, Any], float]:
        """Measure the reconstruction of `images` in float32, unrounded and unclipped.

        Of images whose edge is not a multiple of the backbone's `size_divisor`, the lower and right
        rest is left out.

        Returns:
            The loss that training minimizes, after the figures: the number of `images`; `pixel`,
            the mean squared error in gray levels squared; `mae`, the mean absolute error in gray
            levels; `psnr` of the mean squared error of all pixels, in decibels; `ssim`.
        """
        pixel_loss, structure_loss = self._losses()
        edge = IMAGE_SIZE - IMAGE_SIZE % self.backbone.size_divisor
        was_training = backbone.training
        backbone.eval()
        squared = absolute = similarity = loss = 0.0
        with torch.no_grad():
            for image in images:
                pixels = torch.tensor(image[:edge, :edge])
                target = pixels[None, None].to(self.device).float()
                output = backbone(target / DATA_RANGE) * DATA_RANGE
                squared += mean_square(output, target).item()
                absolute += (output - target).abs().mean().item()
                similarity += ssim(output, target).item()
                structure = structure_loss(output, target).item()
                loss += pixel_loss(output, target).item() + self.settings.ssim_weight * structure
        backbone.train(was_training)
        count = len(images)
        figures = {
            "images": count,
            "pixel": squared / count,
            "mae": absolute / count,
            "psnr": 10 * math.log10(DATA_RANGE**2 / (squared / count)) if squared else math.inf,
            "ssim": similarity / count,
        }
        return figures, loss / count

    def identity(self) -> dict[str, str | None]:
        """Return backbone, images, and the weights that the run started from."""
        values = describe(self.backbone)
        return {
            "backbone": ",".join(filter(None, [type(self.backbone).__qualname__, values])),
            "training images": self.images_sha256,
            "validation images": self.validation_sha256,
            "weights to start from": self.parent.sha256 if self.parent else None,
        }

    def _losses(self) -> tuple[Loss, Loss]:
        settings = self.settings
        return PIXEL_LOSSES[settings.pixel_loss], STRUCTURE_LOSSES[settings.structure_loss]
