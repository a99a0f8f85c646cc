"""Everything that decides what a training run computes, in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from fusionlab.errors import FusionlabError


@dataclass(frozen=True)
class Stage:
    """A stretch of iterations at one crop size."""

    size: int
    iterations: int


@dataclass(frozen=True)
class Settings:
    """The settings of a run; a resumed run must have the same ones.

    The defaults are the paper's (Section III-A): Adam at 1e-4, batches of 2.
    """

    ssim_weight: float = 100.0
    """Lambda of Eq. 1; the paper trains 1, 10, 100 and 1000."""
    stages: tuple[Stage, ...] = (Stage(256, 40_000),)
    batch: int = 2
    learning_rate: float = 1e-4
    cooldown: int = 0
    """Over this many last iterations the learning rate falls linearly to zero (paper: none)."""
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: layers compute in bfloat16, weights, losses and Adam stay in float32."""
    validate_every: int = 1000
    validation_images: int = 100
    """How many validation images are looked at on the way; the last validation takes all."""

    def __post_init__(self) -> None:
        if not self.stages or any(stage.iterations < 1 for stage in self.stages):
            raise FusionlabError("a training needs at least one stage of at least one iteration")
        if any(not 11 <= stage.size <= 256 for stage in self.stages):
            raise FusionlabError(
                "the crop size must lie in 11..256: SSIM needs 11 pixels, the images have 256"
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
        if self.precision not in ("fp32", "bf16"):
            raise FusionlabError(f"the precision must be fp32 or bf16, got {self.precision!r}")
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
        left = self.iterations - iteration
        return self.learning_rate * min(1.0, left / max(1, self.cooldown))

    def size_at(self, iteration: int) -> int:
        """Return the crop size of an iteration."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage.size
            iteration -= stage.iterations
        return self.stages[-1].size
