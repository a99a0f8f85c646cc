"""Count the multiply-accumulate operations (MACs) of a backbone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusionlab.backbone import Backbone
from fusionlab.bench.cases import Case


@dataclass(frozen=True)
class MACsPerPixel:
    """MACs of the convolutions and matrix products of a backbone, per image pixel."""

    encode: float
    decode: float

    @classmethod
    def of(cls, backbone: Backbone, device: torch.device) -> MACsPerPixel:
        """Count them on a small image; they are proportional to the number of pixels.

        Args:
            backbone: the backbone.
            device: the device it is on.
        """
        edge = 8 * backbone.size_divisor + 2 * max(backbone.halos(0))
        edge = -(-edge // backbone.size_divisor) * backbone.size_divisor
        image = torch.zeros(1, 1, edge, edge, device=device)
        with torch.no_grad():
            with FlopCounterMode(display=False) as encoding:
                features = backbone.encode(image)
            with FlopCounterMode(display=False) as decoding:
                backbone.decode(features)
        # a MAC is two floating-point operations
        encode, decode = (mode.get_total_flops() / 2 for mode in (encoding, decoding))
        return cls(encode / edge**2, decode / edge**2)

    def total(self, case: Case) -> int:
        """Return the MACs that a case needs at least.

        Each channel of each source is encoded once, and each channel of the result decoded once.
        The halos of tiles and the strategy do not count.
        """
        pixels = case.width * case.height * case.channels
        return round(pixels * (case.sources * self.encode + self.decode))
