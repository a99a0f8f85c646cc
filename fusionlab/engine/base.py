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
from fusionlab.plugins.failures import name_of, translated

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

    def encode(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile, float32 images `(M, 1, h, w)` in 0..1; see `Backbone.encode_tile`."""
        if torch.is_grad_enabled() and images.requires_grad:
            return self._run_stage(self.backbone.encode_tile, images, borders)
        with torch.no_grad():
            return self._run_stage(self.encode_tile, images, borders)

    def decode(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile to float32 images; see `Backbone.decode_tile`."""
        if torch.is_grad_enabled() and any(maps.requires_grad for maps in features):
            single = tuple(maps.float() for maps in features)
            return self._run_stage(self.backbone.decode_tile, single, borders)
        with torch.no_grad():
            return self._run_stage(self.decode_tile, features, borders)

    @abstractmethod
    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile of float32 images `(M, 1, h, w)` to features in `self.dtype`."""

    @abstractmethod
    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile of features in `self.dtype` to float32 images `(N, 1, h, w)`."""

    def _run_stage(self, stage: Callable[[T, Borders], R], tile: T, borders: Borders) -> R:
        """Run a stage, and name the engine and the backbone if it fails."""
        with translated(self._names, "engine-failed"):
            return stage(tile, borders)

    def _names(self) -> str:
        return f"the backbone {name_of(self.backbone)} on the engine {name_of(self)}"
