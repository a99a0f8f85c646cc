"""The settings of a training run: everything that decides the result, in one frozen record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Literal, get_args

from fusionlab.errors import FusionlabError

IMAGE_SIZE = 256
"""Edge of the training images of autoencoders, as in the paper (Section III-A)."""
MIN_CROP_SIZE = 11
"""Edge of the window of SSIM, in pixels."""

PixelLoss = Literal["mse", "euclidean"]
StructureLoss = Literal["ssim", "contrast-structure"]
LayerPrecision = Literal["fp32", "bf16"]
LRSchedule = Literal["linear", "cosine"]


@dataclass(frozen=True)
class TrainerSettings(ABC):
    """The settings that all trainers share; a resumed run must have the same ones."""

    batch: int = 2
    """Images per iteration; several processes share them."""
    learning_rate: float = 1e-4
    """Learning rate of Adam."""
    lr_decay: int = 0
    """Number of last iterations over which the learning rate falls to zero; 0: none."""
    lr_schedule: LRSchedule = "linear"
    """How the learning rate falls: linearly, or along half a cosine."""
    ema_decay: float = 0.0
    """Decay per iteration of an exponential moving average of the weights, which is then what is
    validated and exported; 0: no average."""
    flips: bool = False
    """Mirror every crop left to right and top to bottom, each with probability one half."""
    seed: int = 0
    validate_every: int = 1000
    """Iterations between two validations."""

    def __post_init__(self) -> None:
        _check(self.batch >= 1, "batch", f"the batch must be at least 1, got {self.batch}")
        _check(
            0 < self.learning_rate < inf,
            "learning_rate",
            f"the learning rate must be positive, got {self.learning_rate}",
        )
        _check(
            0 <= self.lr_decay <= self.iterations,
            "lr_decay",
            f"the learning rate can decay over 0 to {self.iterations} (all) iterations, got "
            f"{self.lr_decay}",
        )
        _check_choice("lr_schedule", self.lr_schedule, get_args(LRSchedule))
        _check(
            self.lr_schedule == "linear" or self.lr_decay > 0,
            "lr_decay",
            f"the schedule {self.lr_schedule!r} needs the number of iterations over which the "
            "learning rate decays",
        )
        _check(
            0 <= self.ema_decay < 1,
            "ema_decay",
            f"the decay of the moving average must be at least 0 and less than 1, got "
            f"{self.ema_decay}",
        )
        _check(self.seed >= 0, "seed", f"the seed must not be negative, got {self.seed}")
        _check(
            self.validate_every >= 1,
            "validate_every",
            f"the interval of validation must be at least 1, got {self.validate_every}",
        )

    @property
    @abstractmethod
    def iterations(self) -> int:
        """Number of iterations of the run."""

    @property
    @abstractmethod
    def crop_sizes(self) -> tuple[int, ...]:
        """Edges of the random crops, one for each stage of the run."""

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""
        remaining = min(1.0, (self.iterations - iteration) / max(1, self.lr_decay))
        factor = remaining if self.lr_schedule == "linear" else (1 - cos(pi * remaining)) / 2
        return self.learning_rate * factor

    def check_data(self, images: int, size_divisor: int = 1, processes: int = 1) -> None:
        """Check that the data and the network fit these settings, before anything is computed.

        Args:
            images: number of training images.
            size_divisor: what the backbone requires image sizes to be divisible by.
            processes: number of processes that train together.

        Raises:
            FusionlabError: there are fewer images than a batch needs (code `too-few-images`), the
                processes cannot share a batch, or a crop size is not divisible (code
                `crop-size`).
        """
        if images < self.batch:
            raise FusionlabError(
                f"a batch needs {self.batch} images, there are {images}",
                code="too-few-images",
                option="batch",
            )
        _check(
            self.batch % processes == 0,
            "batch",
            f"{processes} processes cannot share a batch of {self.batch} images; choose a multiple "
            f"of {processes}",
        )
        for size in self.crop_sizes:
            if size % size_divisor:
                raise FusionlabError(
                    f"this backbone needs crops whose size is a multiple of {size_divisor}, got "
                    f"{size}; choose {size - size % size_divisor or size_divisor}",
                    code="crop-size",
                    option="size",
                )


@dataclass(frozen=True)
class Stage:
    """A part of a run with one crop size and one precision."""

    size: int
    """Edge of the random crops, in pixels."""
    iterations: int
    precision: LayerPrecision = "fp32"
    """bf16: layers compute in bfloat16; weights, losses and Adam stay in float32."""


@dataclass(frozen=True)
class AutoencoderSettings(TrainerSettings):
    """The settings for training a backbone as an autoencoder.

    The defaults are those of the paper (Section III-A): Adam at 1e-4, batches of 2, whole images.
    The paper trains for 4 epochs of some 79,000 images; the 40,000 iterations here are those
    after which it finds the weights at their best (Section IV-A).
    """

    ssim_weight: float = 100.0
    """Lambda of Eq. 1; the paper trains 1, 10, 100 and 1000."""
    pixel_loss: PixelLoss = "mse"
    structure_loss: StructureLoss = "ssim"
    stages: tuple[Stage, ...] = (Stage(IMAGE_SIZE, 40_000),)
    validation_images: int = 100
    """Number of images of each validation on the way; the final validation uses all."""

    def __post_init__(self) -> None:
        _check(
            bool(self.stages) and all(stage.iterations >= 1 for stage in self.stages),
            "iterations",
            "a training run needs at least one stage of at least one iteration",
        )
        _check(
            all(MIN_CROP_SIZE <= stage.size <= IMAGE_SIZE for stage in self.stages),
            "size",
            f"the crop size must lie in {MIN_CROP_SIZE}..{IMAGE_SIZE}: SSIM needs {MIN_CROP_SIZE} "
            f"pixels, the images have {IMAGE_SIZE}",
        )
        for stage in self.stages:
            _check_choice("precision", stage.precision, get_args(LayerPrecision))
        super().__post_init__()
        _check(
            0 <= self.ssim_weight < inf,
            "ssim_weight",
            f"the weight of the structure loss must not be negative, got {self.ssim_weight}",
        )
        _check_choice("pixel_loss", self.pixel_loss, get_args(PixelLoss))
        _check_choice("structure_loss", self.structure_loss, get_args(StructureLoss))
        _check(
            self.validation_images >= 1,
            "",
            f"a validation needs at least one image, got {self.validation_images}",
        )

    @property
    def iterations(self) -> int:
        """Number of iterations of all stages together."""
        return sum(stage.iterations for stage in self.stages)

    @property
    def crop_sizes(self) -> tuple[int, ...]:
        """Edges of the random crops of the stages."""
        return tuple(stage.size for stage in self.stages)

    def stage_at(self, iteration: int) -> Stage:
        """Return the stage that an iteration belongs to."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage
            iteration -= stage.iterations
        return self.stages[-1]


@dataclass(frozen=True)
class StrategySettings(TrainerSettings):
    """The settings for training the networks of a learned strategy."""

    batch: int = 4
    """Images per iteration, each with all its sources."""
    validate_every: int = 500
    size: int = 128
    """Edge of the random crops, in pixels."""
    iterations: int = 10_000

    def __post_init__(self) -> None:
        _check(self.size >= 1, "size", f"the crop size must be at least 1, got {self.size}")
        _check(
            self.iterations >= 1,
            "iterations",
            f"a training run needs at least one iteration, got {self.iterations}",
        )
        super().__post_init__()

    @property
    def crop_sizes(self) -> tuple[int, ...]:
        """The edge of the random crops."""
        return (self.size,)


def _check(condition: bool, option: str, message: str) -> None:
    if not condition:
        raise FusionlabError(message, code="invalid-setting", option=option)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    name = option.replace("_", " ").replace("lr ", "learning-rate ")
    message = f"the {name} must be {' or '.join(choices)}, got {value!r}"
    _check(value in choices, option, message)
