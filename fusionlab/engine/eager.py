"""The default engine: PyTorch, operation by operation, in the memory layout of the device.

On CPUs that is channels-last: the network takes three quarters to five sixths of the time of the
default layout, and rounding does not depend on where a tile begins (docs/speed.md).
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.precision import Precision

KERNEL_VARIES_UP_TO = 2 * 32**2
"""Number of pixels up to which oneDNN may decode a single image with another kernel than a batch.
oneDNN 3.12 was observed to do so up to 32x32, and not from 36x36 on."""


class Eager(Engine):
    """Runs the backbone itself, or a copy of it in half precision."""

    automatic = True

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        single = self.dtype == torch.float32
        self.module = backbone if single else deepcopy(backbone).to(self.dtype)
        # cuDNN computes float32 in the default layout, and would convert tensors
        last = device.type == "cpu" or not single
        self.layout = torch.channels_last if last else torch.contiguous_format

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        tile = images.to(self.dtype, memory_format=self.layout)
        if len(tile) > 1 or self.device.type != "cpu":
            return self.module.encode_tile(tile, borders)
        # oneDNN rounds differently for a batch of one, and the result must not depend on what else
        # is encoded
        twice = torch.cat([tile, tile])
        return tuple(level[:1] for level in self.module.encode_tile(twice, borders))

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        if (
            len(maps[0]) == 1
            and self.device.type == "cpu"
            and maps[0][0, 0].numel() <= KERNEL_VARIES_UP_TO
        ):
            maps = tuple(torch.cat([level, level]) for level in maps)  # as in `encode_tile`
        images = self.module.decode_tile(maps, borders)[: len(features[0])]
        # integers, for example, would be a black image
        return images.float() if images.is_floating_point() else images
