"""What a backbone is: a frozen encoder and decoder.

A backbone turns images into features and features back into images. It is trained once
(`fusionlab.training`), frozen, and never touched by a fusion: the rule in the middle is
the only thing that changes from one experiment to the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor, nn

from fusionlab.weights import Card, load_weights

Features = tuple[Tensor, ...]
"""What an encoder returns: one `(M, C, h, w)` tensor per level, finest first."""


@dataclass(frozen=True)
class Level:
    """One resolution at which a backbone offers features."""

    channels: int
    stride: int
    """Image pixels per feature pixel."""


class Backbone(nn.Module, ABC):
    """A frozen encoder and decoder.

    Callers speak images in 0..1; what scale a backbone uses inside is its own affair (both
    shipped ones work in grey levels, 0..255). Subclasses declare `levels`, and a `multiple`
    if their strides need the image to have a size divisible by it.

    A backbone stays a plain module: gradients reach the sources and the strategy through it,
    while its own parameters are frozen by `freeze`.
    """

    levels: ClassVar[tuple[Level, ...]]
    multiple: ClassVar[int] = 1
    """Height and width of an image must be multiples of this; the pipeline pads and crops."""
    trainable: ClassVar[bool] = False
    """Whether `fusionlab train` can train it: it has parameters, and random ones at first."""

    card: Card | None = None
    """The card of the loaded weights; None for random weights, or where there are none."""

    @abstractmethod
    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features, one tensor per level."""

    @abstractmethod
    def decode(self, features: Features) -> Tensor:
        """Turn features back into images `(M, 1, H, W)` in 0..1; they may overshoot."""

    @abstractmethod
    def halo(self, support: int) -> int:
        """Return how many image pixels away a result pixel can see.

        Args:
            support: how many feature pixels away the strategy looks.

        A tile that is larger by this on every side than what is kept of it gives exactly
        what the whole image would give.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode: what training minimises the error of."""
        return self.decode(self.encode(images))

    def freeze(self) -> Self:
        """Switch to evaluation and stop gradients to the parameters; return self."""
        return self.eval().requires_grad_(False)

    def load_checkpoint(self, weights: Path) -> Self:
        """Load a safetensors file, check it against its card, and freeze; return self.

        Raises:
            FusionlabError: the file is missing or damaged, differs from the SHA-256 in its
                card, or holds the weights of another network.
        """
        self.card = load_weights(self, weights)
        return self.freeze()
