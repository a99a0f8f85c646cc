"""The default engine: PyTorch, operation by operation, in the layout that suits the device.

On CPUs that is channels-last: the plain network takes three quarters to five sixths of the time
that it takes in the default layout, and rounds alike wherever a tile begins (docs/speed.md).
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.precision import Precision

SMALL = 2 * 32**2
"""Up to how many pixels a map counts as small: up to 32x32 oneDNN 3.12 has decoded one picture by
another kernel than several; from 36x36 on it has not."""


class Eager(Engine):
    """Runs the backbone itself; for half precision, a copy of it."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        whole = self.dtype == torch.float32
        self.module = backbone if whole else deepcopy(backbone).to(self.dtype)
        # cuDNN computes float32 in the other layout, and turns tensors around if need be
        last = device.type == "cpu" or not whole
        self.layout = torch.channels_last if last else torch.contiguous_format

    def _encode(self, images: Tensor, borders: Borders) -> Features:
        tile = images.to(self.dtype, memory_format=self.layout)
        if len(tile) > 1 or self.device.type != "cpu":
            return self.module.encode_tile(tile, borders)
        # oneDNN has another kernel, that rounds in another way, for a batch of one, and nothing
        # shall depend on what else there is to encode
        twice = torch.cat([tile, tile])
        return tuple(level[:1] for level in self.module.encode_tile(twice, borders))

    def _decode(self, features: Features, borders: Borders) -> Tensor:
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        if len(maps[0]) == 1 and self.device.type == "cpu" and maps[0][0, 0].numel() <= SMALL:
            maps = tuple(torch.cat([level, level]) for level in maps)  # as in `_encode`
        return self.module.decode_tile(maps, borders)[: len(features[0])].float()
