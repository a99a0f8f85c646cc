"""A straightforward DenseFuse: the formulas of the paper, transcribed.

Table I with ordinary convolutions, Eq. 6 to 9 with an average pool, each source encoded by itself,
the whole image at once, in float32 and torch's default layout. The weights are the shipped ones.
The other benchmarks compare with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from fusionlab.plugins.host import installed


class Plain(nn.Module):
    """The network of Table I, and the l1-norm strategy."""

    def __init__(self) -> None:
        super().__init__()
        conv = partial(nn.Conv2d, kernel_size=3, padding=1, padding_mode="reflect")
        self.c1 = conv(1, 16)
        self.dense = nn.ModuleList([conv(16, 16), conv(32, 16), conv(48, 16)])
        self.c2, self.c3, self.c4, self.c5 = conv(64, 64), conv(64, 32), conv(32, 16), conv(16, 1)

    @classmethod
    def shipped(cls, tag: str | None = None) -> Self:
        """Load the weights of a tag; None is the default one."""
        checkpoints = installed().backbones.find("densefuse").ref.checkpoints
        network = cls()
        network.load_state_dict(load_file(checkpoints[tag or next(iter(checkpoints))]))
        return network.eval()

    def encode(self, image: Tensor) -> Tensor:
        maps = relu(self.c1(image))
        for conv in self.dense:
            maps = torch.cat([maps, relu(conv(maps))], dim=1)
        return maps

    def decode(self, maps: Tensor) -> Tensor:
        for conv in (self.c2, self.c3, self.c4):
            maps = relu(conv(maps))
        return self.c5(maps)

    @torch.no_grad()
    def fuse(self, images: Sequence[NDArray[np.uint8]], radius: int = 1) -> Tensor:
        """Fuse gray images; return gray levels `(H, W)`, not yet rounded or clipped."""
        device = self.c1.weight.device
        sources = [torch.from_numpy(image)[None, None].float().to(device) for image in images]
        features = [self.encode(source) for source in sources]
        activities = [
            avg_pool2d(maps.abs().sum(1, keepdim=True), 2 * radius + 1, 1, radius)
            for maps in features
        ]
        total = sum(activities)
        pairs = zip(activities, features, strict=True)
        return self.decode(sum(activity / total * maps for activity, maps in pairs))[0, 0]

    def fuse_to_image(
        self, images: Sequence[NDArray[np.uint8]], radius: int = 1
    ) -> NDArray[np.uint8]:
        """Fuse gray images to a gray image of 8 bits."""
        levels = self.fuse(images, radius).clamp(0, 255).round()
        return levels.to(torch.uint8).cpu().numpy()
