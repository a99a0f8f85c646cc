"""The base class of backbones: a frozen encoder and decoder.

A backbone turns images into features and features back into images. It is trained once
(`fusionlab.training`), frozen, and never changed by a fusion: only the strategy differs from one
experiment to the next.

Large images are encoded and decoded in tiles. Near a side of a tile that is not a border of the
image, the maps differ from those of the whole image; `encode_tile` and `decode_tile` crop them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from fusionlab import parameters
from fusionlab.borders import WHOLE, Borders
from fusionlab.checkpoint import Card, load_weights

__all__ = ["WHOLE", "Backbone", "Borders", "Features", "Level"]

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

    Callers pass images in 0..1; a backbone may use another scale internally. Subclasses declare
    `levels`, `receptive_field`, and a `size_divisor` if their strides require it. With a correct
    `receptive_field`, tiles give the result of the whole image, up to rounding.

    A backbone is a plain module: gradients flow through it to the sources and the strategy, while
    `freeze` stops those of its own parameters.

    The annotated arguments of `__init__` are parameters, like the fields of a strategy:

        def __init__(self, width: Annotated[int, Ge(1), "channels of the first level"] = 16):

    They are checked, and kept as attributes of the same names. Test a backbone of your own with
    `fusionlab.testing.BackboneLaws`.

    Raises:
        FusionlabError: a parameter is out of its bounds.
    """

    levels: tuple[Level, ...]
    """The resolutions of the features, finest first; set in `__init__` where they depend on the
    parameters."""
    receptive_field: tuple[int, int] | None
    """The receptive field as a radius, in image pixels: how far from a feature the encoder sees,
    and how far from an image pixel the decoder sees. None: the whole image.

    Tiles begin and end at multiples of `size_divisor`, so the radius counts from the edge of a
    block of that size. With None an image is never cut, and very large ones are refused."""
    size_divisor: ClassVar[int] = 1
    """Height and width of an image must be multiples of this; the pipeline pads and crops."""
    trainable: ClassVar[bool] = False
    """Whether `fusionlab train` can train it: it has parameters, initialized at random."""
    domain: ClassVar[Literal["features", "pixels"]] = "features"
    """What `encode` returns: features, or the image itself (`"pixels"`), as one channel of gray
    levels 0..255 at full resolution. Pixel strategies run only on the latter."""
    saves: ClassVar[Literal["clip", "minmax"] | None] = None
    """The range policy with which the program of its authors saves an image, whatever the strategy;
    it is what the range policy `own` means. None: the strategy says."""

    card: Card | None = None
    """The card of the loaded weights; None for random weights, or where there are none."""

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Check the parameters, and keep them as attributes before `__init__` runs."""
        backbone = super().__new__(cls)
        for name, value in parameters.check_arguments(cls, args, kwargs).items():
            backbone.__dict__[name] = value  # before nn.Module.__init__, which keeps them
        return backbone

    def extra_repr(self) -> str:
        """Return the parameters, which `repr` shows before the layers."""
        return parameters.describe(self).replace(",", ", ")

    @abstractmethod
    def encode(self, images: Tensor) -> Features:
        """Encode images `(M, 1, H, W)` in 0..1 into features, one tensor per level."""

    @abstractmethod
    def decode(self, features: Features) -> Tensor:
        """Decode features into images `(M, 1, H, W)` in 0..1; they may overshoot."""

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile of larger images, and crop what the pixels around it would change.

        The cropped halo is as wide as the receptive field of the encoder, rounded up to a multiple
        of `size_divisor`. By default the whole tile is encoded and then cropped. A backbone may
        override this to crop after every layer.
        """
        encoder_halo, _, _ = self.halos(0)
        return tuple(
            borders.trimmed(maps, encoder_halo // level.stride)
            for maps, level in zip(self.encode(images), self.levels, strict=True)
        )

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile of larger features, and crop what the features around it would change."""
        _, _, decoder_halo = self.halos(0)
        return borders.trimmed(self.decode(features), decoder_halo)

    def halos(self, support: int) -> tuple[int, int, int]:
        """Return the width of the halos of encoder, strategy and decoder, in image pixels.

        They are multiples of `size_divisor`. All are 0 where the receptive field is None.

        Args:
            support: of the strategy, in feature pixels.
        """
        if self.receptive_field is None:
            return 0, 0, 0
        encoder, decoder = self.receptive_field
        coarsest = max(level.stride for level in self.levels)
        return (
            self._rounded_up(encoder),
            self._rounded_up(support * coarsest),
            self._rounded_up(decoder),
        )

    def __init_subclass__(cls) -> None:
        """Reset inherited tile methods when a subclass overrides `encode` or `decode`."""
        super().__init_subclass__()
        for name in ("encode", "decode"):
            tile_name = f"{name}_tile"
            # the first class, in the order of inheritance, that defines one of the two
            definition = next(
                parent.__dict__
                for parent in cls.__mro__
                if {name, tile_name} & parent.__dict__.keys()
            )
            if tile_name not in definition:
                setattr(cls, tile_name, getattr(Backbone, tile_name))

    def _rounded_up(self, pixels: int) -> int:
        return -(-pixels // self.size_divisor) * self.size_divisor

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode images; training minimizes the error of this."""
        return self.decode(self.encode(images))

    def freeze(self) -> Self:
        """Switch to evaluation mode and stop gradients to the parameters; return self."""
        return self.eval().requires_grad_(False)

    def load_checkpoint(self, weights: Path) -> Self:
        """Load a safetensors file, check it against its card, and freeze; return self.

        Raises:
            FusionlabError: the file is missing or damaged, its SHA-256 differs from that in its
                card, or it holds the weights of another network.
        """
        self.card = load_weights(self, weights)
        return self.freeze()
