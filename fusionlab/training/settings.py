"""Everything that decides what a training run computes, in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Literal, get_args

from fusionlab.errors import FusionlabError

EDGE = 256
"""Training images are resized to 256x256, as in the paper (Section III-A)."""

PixelLoss = Literal["mse", "euclidean"]
StructureLoss = Literal["ssim", "contrast-structure"]
Precision = Literal["fp32", "bf16"]
Schedule = Literal["linear", "cosine"]


@dataclass(frozen=True)
class Stage:
    """A stretch of iterations at one crop size and one precision."""

    size: int
    iterations: int
    precision: Precision = "fp32"
    """bf16: layers compute in bfloat16; weights, losses and Adam stay in float32."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run; a resumed run must have the same ones.

    The defaults are the paper's (Section III-A): Adam at 1e-4, batches of 2, whole images. It
    took 4 epochs of some 79,000 images; the 40,000 iterations here are those after which it
    finds the weights at their best (Section IV-A).
    """

    ssim_weight: float = 100.0
    """Lambda of Eq. 1; the paper trains 1, 10, 100 and 1000."""
    pixel_loss: PixelLoss = "mse"
    structure_loss: StructureLoss = "ssim"
    stages: tuple[Stage, ...] = (Stage(EDGE, 40_000),)
    flips: bool = False
    """Mirror every crop left to right and top to bottom, each with probability one half."""
    batch: int = 2
    """Images an iteration; several processes share them."""
    learning_rate: float = 1e-4
    cooldown: int = 0
    """Over this many last iterations the learning rate falls to zero (paper: none)."""
    schedule: Schedule = "linear"
    """How it falls: along a line, or along half a cosine."""
    averaging: float = 0.0
    """Decay per iteration of an exponential average of the weights; what is validated and
    exported is then the average. 0: none (paper)."""
    seed: int = 0
    validate_every: int = 1000
    validation_images: int = 100
    """How many validation images are looked at on the way; the last validation takes all."""

    def __post_init__(self) -> None:
        if not self.stages or any(stage.iterations < 1 for stage in self.stages):
            raise FusionlabError("a training needs at least one stage of at least one iteration")
        if any(not 11 <= stage.size <= EDGE for stage in self.stages):
            raise FusionlabError(
                f"the crop size must lie in 11..{EDGE}: SSIM needs 11 pixels, the images have "
                f"{EDGE}"
            )
        if not 0 <= self.cooldown <= self.iterations:
            raise FusionlabError(
                f"the cooldown must lie in 0..{self.iterations} (all iterations), got "
                f"{self.cooldown}"
            )
        if self.batch < 1 or not 0 < self.learning_rate < inf or not 0 <= self.ssim_weight < inf:
            raise FusionlabError(
                "batch and learning rate must be positive and lambda not negative; got "
                f"{self.batch}, {self.learning_rate}, {self.ssim_weight}"
            )
        if self.schedule == "cosine" and not self.cooldown:
            raise FusionlabError(
                "the cosine is the way the learning rate falls during the cooldown; say over how "
                "many iterations"
            )
        if not 0 <= self.averaging < 1:
            raise FusionlabError(
                f"the decay of averaging must be at least 0 and less than 1, got {self.averaging}"
            )
        for what, value, known in (
            ("pixel loss", self.pixel_loss, get_args(PixelLoss)),
            ("structure loss", self.structure_loss, get_args(StructureLoss)),
            ("schedule", self.schedule, get_args(Schedule)),
            *(("precision", stage.precision, get_args(Precision)) for stage in self.stages),
        ):
            if value not in known:
                raise FusionlabError(f"the {what} must be {' or '.join(known)}, got {value!r}")
        if self.seed < 0 or self.validate_every < 1 or self.validation_images < 1:
            raise FusionlabError(
                "the seed must not be negative, and validation needs an interval and images; got "
                f"{self.seed}, {self.validate_every}, {self.validation_images}"
            )

    @property
    def iterations(self) -> int:
        """The iterations of all stages together."""
        return sum(stage.iterations for stage in self.stages)

    def learning_rate_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""
        left = min(1.0, (self.iterations - iteration) / max(1, self.cooldown))
        return self.learning_rate * (
            left if self.schedule == "linear" else (1 - cos(pi * left)) / 2
        )

    def stage_at(self, iteration: int) -> Stage:
        """Return the stage that an iteration belongs to."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage
            iteration -= stage.iterations
        return self.stages[-1]
