"""The base class of engines: they run a frozen backbone on tiles, without gradients.

Strategies remain ordinary PyTorch. An engine only computes the features that they merge, and
decodes the merged features. Where gradients are needed, the backbone itself computes, in float32.
An engine returns what the backbone returns, up to the rounding of its precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.precision import DTYPES, Precision
from fusionlab.engine.untouched import untouched
from fusionlab.errors import PluginError
from fusionlab.plugins.failures import failures_of, name_of, translated

T = TypeVar("T")
R = TypeVar("R")

FEWEST_VALUES = 64
"""Fewest float32 values that count for a pixel. The maps between the layers of a backbone, and what
a strategy allocates, are not declared; they are taken to be at least this."""


class Engine(ABC):
    """Run a frozen backbone on tiles.

    Subclasses implement `encode_tile` and `decode_tile`, which are called without gradients. Their
    results are those of the methods of the same names of the backbone, up to the rounding of the
    precision.

    Args:
        backbone: frozen, on the device; never changed.
        device: where to compute.
        precision: numerical precision; see `fusionlab.engine.precision`.

    Raises:
        FusionlabError: the engine does not support the device or the precision.
    """

    cpu_bytes: ClassVar[int] = 2**23
    """Size of the features, in float32, that are best encoded at once on a CPU: they fit into its
    cache. Of 64 full-resolution maps these are two tiles of 128x128."""
    automatic: ClassVar[bool] = False
    """Whether `auto` may choose it: it is ready within a second, and as exact as `eager`."""
    tiles_in_parallel: ClassVar[bool] = True
    """Whether tiles may be given by several threads at once, on a CPU. The engine then computes
    each on the thread that gives it; otherwise it has all threads of torch for one tile."""
    gpu_bytes: ClassVar[int] = 2**30
    """Likewise on a GPU: enough to keep it busy. Of 64 full-resolution maps 2^22 pixels."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        self.backbone = backbone
        self.device = device
        self.precision = precision
        self.dtype = DTYPES[precision]

    @property
    def pixels_at_once(self) -> int:
        """How many pixels, over all images, are best encoded at once."""
        values = sum(level.channels / level.stride**2 for level in self.backbone.levels)
        budget = self.cpu_bytes if self.device.type == "cpu" else self.gpu_bytes
        return max(1, int(budget / (4 * max(FEWEST_VALUES, values))))

    @property
    def encoded_by(self) -> object:
        """What the bits of the features depend on, besides the backbone and the precision."""
        return type(self)

    def encode(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile, float32 images `(M, 1, h, w)` in 0..1; see `Backbone.encode_tile`.

        Raises:
            PluginError: the backbone or the engine fails (code `engine-failed`), returns features
                that it does not declare (code `features`), or changes the images.
        """
        if torch.is_grad_enabled() and images.requires_grad:
            features = self._run_stage(self.backbone.encode_tile, images, borders)
        else:
            with torch.no_grad(), untouched(self._names, "images", images):
                features = self._run_stage(self.encode_tile, images, borders)
        self._check_features(features, images, borders)
        return features

    def decode(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile to float32 images; see `Backbone.decode_tile`.

        Raises:
            PluginError: the backbone or the engine fails (code `engine-failed`), returns anything
                but images of this tile (code `images`), or changes the features.
        """
        if torch.is_grad_enabled() and any(maps.requires_grad for maps in features):
            single = tuple(maps.float() for maps in features)
            images = self._run_stage(self.backbone.decode_tile, single, borders)
        else:
            with torch.no_grad(), untouched(self._names, "features", *features):
                images = self._run_stage(self.decode_tile, features, borders)
        self._check_images(images, features, borders)
        return images

    @abstractmethod
    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile of float32 images `(M, 1, h, w)` to features in `self.dtype`."""

    @abstractmethod
    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile of features in `self.dtype` to float32 images `(N, 1, h, w)`."""

    def _check_features(self, features: object, images: Tensor, borders: Borders) -> None:
        """Check what the encoder returns against what the backbone declares."""
        backbone = self.backbone
        with failures_of("backbone", backbone):
            encoder_halo, _, _ = backbone.halos(0)
        height, width = borders.size(images, encoder_halo)
        expected = [
            (len(images), level.channels, height // level.stride, width // level.stride)
            for level in backbone.levels
        ]
        dtype = torch.float32 if images.requires_grad else self.dtype
        fits = isinstance(features, tuple) and [*map(_kind, features)] == [
            (shape, dtype, images.device) for shape in expected
        ]
        if not fits:
            raise PluginError(
                f"{self._names()} must encode {_description(images)} into a tuple of "
                f"{', '.join(map(str, expected))} {dtype}, one for each of its `levels`, got "
                f"{_description(features)}",
                code="features",
            )

    def _check_images(self, images: object, features: Features, borders: Borders) -> None:
        """Check what the decoder returns."""
        stride = self.backbone.levels[0].stride
        with failures_of("backbone", self.backbone):
            _, _, decoder_halo = self.backbone.halos(0)
        height, width = borders.size(features[0], decoder_halo // stride)
        shape = len(features[0]), 1, height * stride, width * stride
        if _kind(images) != (shape, torch.float32, features[0].device):
            raise PluginError(
                f"{self._names()} must decode features to images {shape} {torch.float32}, got "
                f"{_description(images)}",
                code="images",
            )

    def _run_stage(self, stage: Callable[[T, Borders], R], tile: T, borders: Borders) -> R:
        """Run a stage, and name the engine and the backbone if it fails."""
        with translated(self._names, "engine-failed"):
            return stage(tile, borders)

    def _names(self) -> str:
        return f"the backbone {name_of(self.backbone)} on the engine {name_of(self)}"


def _kind(maps: object) -> tuple[object, ...] | None:
    """Return shape, dtype and device of a tensor; None for anything else."""
    return (tuple(maps.shape), maps.dtype, maps.device) if isinstance(maps, Tensor) else None


def _description(value: object) -> str:
    """Return in words what a stage was given or has returned."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_description, value))})"
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype} on {value.device}"
    return type(value).__name__
