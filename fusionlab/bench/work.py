"""How much there is to compute: the multiply-adds of a backbone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusionlab.backbone import Backbone
from fusionlab.bench.cases import Case


@dataclass(frozen=True)
class Work:
    """Multiply-adds of the convolutions and matrix products of a backbone, for each pixel."""

    encode: float
    decode: float

    @classmethod
    def of(cls, backbone: Backbone, device: torch.device) -> Work:
        """Count them, on a small image: they grow with the number of pixels.

        Args:
            backbone: the network.
            device: where it lies.
        """
        edge = 8 * backbone.size_divisor + 2 * max(backbone.halos(0))
        edge = -(-edge // backbone.size_divisor) * backbone.size_divisor
        image = torch.zeros(1, 1, edge, edge, device=device)
        with torch.no_grad():
            with FlopCounterMode(display=False) as encoding:
                features = backbone.encode(image)
            with FlopCounterMode(display=False) as decoding:
                backbone.decode(features)
        # an operation is a product or a sum
        encode, decode = (mode.get_total_flops() / 2 for mode in (encoding, decoding))
        return cls(encode / edge**2, decode / edge**2)

    def total(self, case: Case) -> int:
        """Return the multiply-adds that a case cannot do without.

        Each plane of each source is encoded once, and one plane for each channel decoded. The
        margins of tiles, and what the strategy computes, are not among them.
        """
        pixels = case.width * case.height * case.channels
        return round(pixels * (case.sources * self.encode + self.decode))
