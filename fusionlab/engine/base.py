"""What an engine is: it runs a frozen backbone on tiles, without gradients.

Strategies stay ordinary PyTorch; an engine only makes the features that they merge, and the
picture of what they have merged. Where gradients are asked for, the backbone itself computes, in
float32: an engine gives what the backbone gives, to the rounding of its precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.precision import DTYPES, Precision


class Engine(ABC):
    """Runs a backbone.

    Args:
        backbone: frozen, on the device; never changed.
        device: where to compute.
        precision: in which numbers; see `fusionlab.engine.precision`.

    Raises:
        FusionlabError: it cannot run there, or not in this precision.
    """

    on_cpu: ClassVar[int] = 2 * 128**2
    """How many pixels of tiles are best encoded at once: their maps lie in the cache."""
    on_gpu: ClassVar[int] = 2**22
    """Likewise: enough to keep it busy, and 1 GiB of 64 maps in float32."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        self.backbone = backbone
        self.device = device
        self.precision = precision
        self.dtype = DTYPES[precision]

    @property
    def pixels_at_once(self) -> int:
        """How many pixels, over all images, are best encoded at once."""
        return self.on_cpu if self.device.type == "cpu" else self.on_gpu

    def encode(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile, float32 images `(M, 1, h, w)` in 0..1; see `Backbone.encode_tile`."""
        if torch.is_grad_enabled() and images.requires_grad:
            return self.backbone.encode_tile(images, borders)
        with torch.no_grad():
            return self._encode(images, borders)

    def decode(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile to float32 images; see `Backbone.decode_tile`."""
        if torch.is_grad_enabled() and any(maps.requires_grad for maps in features):
            return self.backbone.decode_tile(tuple(maps.float() for maps in features), borders)
        with torch.no_grad():
            return self._decode(features, borders)

    @abstractmethod
    def _encode(self, images: Tensor, borders: Borders) -> Features: ...

    @abstractmethod
    def _decode(self, features: Features, borders: Borders) -> Tensor: ...
