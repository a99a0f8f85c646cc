"""The network of `rfn`, in a module of its own so that listing the strategy needs no torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Merge features `(2, N, C, h, w)` into `(N, C, h, w)`.

    Initialized to about the average of the sources, with a small residual. With random weights
    throughout, the feature term stayed at 84 for 750 iterations, below which it now falls at once:
    outputs that are dead behind their ReLU learn nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.direct = _layer(2 * channels, channels)
        self.first = _layer(channels, channels)
        self.second = _layer(channels, channels)
        self.rest = nn.Sequential(
            _layer(2 * channels, channels, edge=1),
            _layer(channels, channels),
            _layer(channels, channels),
        )
        with torch.no_grad():
            kernel, bias = self.direct[0].parameters()
            half = torch.eye(channels) / 2
            kernel.mul_(0.1)[:, :, 1, 1] += torch.cat([half, half], dim=1)
            bias.zero_()
            self.rest[-1][0].weight.mul_(0.1)

    def forward(self, features: Tensor) -> Tensor:
        """Add the joint term and the residual of the single sources."""
        a, b = features
        single = torch.cat([self.first(a), self.second(b)], dim=1)
        merged: Tensor = self.direct(torch.cat([a, b], dim=1)) + self.rest(single)
        return merged


def _layer(in_channels: int, out_channels: int, edge: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(
        in_channels, out_channels, edge, padding=edge // 2, padding_mode="replicate"
    )
    return nn.Sequential(convolution, nn.ReLU())
