"""What a backbone is: a frozen encoder and decoder.

A backbone turns images into features and features back into images. It is trained once
(`fusionlab.training`), frozen, and never touched by a fusion: the rule in the middle is
the only thing that changes from one experiment to the next.

Large images are encoded and decoded in tiles. What a tile gives near a side that is not a border
of the image is not what the whole image would give there, and is left out: `encode_tile` and
`decode_tile`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

from fusionlab.checkpoint import Card, load_weights

Features = tuple[Tensor, ...]
"""What an encoder returns: one `(M, C, h, w)` tensor per level, finest first."""


class Borders(NamedTuple):
    """Which sides of a tile are borders of the image; beyond the others, the image goes on."""

    top: bool = True
    left: bool = True
    bottom: bool = True
    right: bool = True

    def trimmed(self, maps: Tensor, margin: int) -> Tensor:
        """Cut a margin from maps `(..., h, w)`, on the sides that are no borders."""
        height, width = maps.shape[-2:]
        return maps[
            ...,
            0 if self.top else margin : height if self.bottom else height - margin,
            0 if self.left else margin : width if self.right else width - margin,
        ]

    def size(self, maps: Tensor, margin: int) -> tuple[int, int]:
        """Return the height and width that `trimmed` leaves."""
        height, width = maps.shape[-2:]
        top, left, bottom, right = (0 if border else margin for border in self)
        return height - top - bottom, width - left - right


WHOLE = Borders()
"""A tile that is the whole image."""


@dataclass(frozen=True)
class Level:
    """One resolution at which a backbone offers features."""

    channels: int
    stride: int
    """Image pixels per feature pixel."""


class Backbone(nn.Module, ABC):
    """A frozen encoder and decoder.

    Callers pass images in 0..1; a backbone may use another scale internally (both shipped ones
    work in gray levels, 0..255). Subclasses declare `levels`, `receptive_field`, and a
    `size_divisor` if their strides require image sizes divisible by it. With a correct
    `receptive_field`, a tile gives the result of the whole image, up to rounding.

    A backbone stays a plain module: gradients reach the sources and the strategy through it,
    while its own parameters are frozen by `freeze`.
    """

    levels: ClassVar[tuple[Level, ...]]
    receptive_field: tuple[int, int]
    """How many image pixels away the encoder sees from a feature, and the decoder from a pixel.

    Tiles begin and end at multiples of `size_divisor`; what lies within the same block counts as no
    pixel away."""
    size_divisor: ClassVar[int] = 1
    """Height and width of an image must be multiples of this; the pipeline pads and crops."""
    trainable: ClassVar[bool] = False
    """Whether `fusionlab train` can train it: it has parameters, and random ones at first."""
    domain: ClassVar[Literal["features", "pixels"]] = "features"
    """What `encode` returns: features, or the image itself (`"pixels"`), as one channel of gray
    levels 0..255 at full resolution. Pixel strategies run on the latter only."""

    card: Card | None = None
    """The card of the loaded weights; None for random weights, or where there are none."""

    @abstractmethod
    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features, one tensor per level."""

    @abstractmethod
    def decode(self, features: Features) -> Tensor:
        """Turn features back into images `(M, 1, H, W)` in 0..1; they may overshoot."""

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile of larger images, and leave out what the rest of them would change.

        The margin that is left out is as wide as the encoder's reach. A backbone that knows how
        may compute it no further than it is needed; else everything is encoded, and trimmed.
        """
        margin = self.halos(0)[0]
        return tuple(
            borders.trimmed(maps, margin // level.stride)
            for maps, level in zip(self.encode(images), self.levels, strict=True)
        )

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile of larger features, likewise."""
        return borders.trimmed(self.decode(features), self.halos(0)[2])

    def halos(self, support: int) -> tuple[int, int, int]:
        """Return how wide a margin encoder, strategy and decoder need, in image pixels.

        Args:
            support: how many feature pixels away the strategy looks.
        """
        encoder, decoder = self.receptive_field
        coarsest = max(level.stride for level in self.levels)
        widths = encoder, support * coarsest, decoder
        one, two, three = (-(-width // self.size_divisor) * self.size_divisor for width in widths)
        return one, two, three

    def __init_subclass__(cls) -> None:
        """Let nobody inherit tiles that do not fit: who changes `encode` changes its tiles, too."""
        super().__init_subclass__()
        for name in ("encode", "decode"):
            tile = f"{name}_tile"
            # who comes first, the class itself or one of those it inherits from
            first = next(one.__dict__ for one in cls.__mro__ if {name, tile} & one.__dict__.keys())
            if tile not in first:
                setattr(cls, tile, getattr(Backbone, tile))

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode: what training minimizes the error of."""
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
