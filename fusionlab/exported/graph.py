"""The modules that become a graph: a method on planes, and around it the images of files."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fusionlab.fusion import Fusion
from fusionlab.imaging.range_policy import (
    RangePolicy,
    RunningMinMax,
    map_to_range,
    round_half_up,
)
from fusionlab.imaging.scale import WHITE, Scale
from fusionlab.namespaces import as_dtype
from fusionlab.strategy import Scene

OF_A_TILE = frozenset({"top", "left", "height", "width", "valid_box"})
"""The fields of a scene that say where a tile lies, which a graph does not know."""
OF_COLOR = frozenset({"read_color", "color_sources"})
"""The fields of a scene that show colors, of which a graph sees none."""


class MethodGraph(nn.Module):
    """Encoder, strategy and decoder of whole gray images, as one module.

    Args:
        fusion: whose backbone, strategy and networks are copied.
    """

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.backbone = deepcopy(fusion.backbone).cpu()
        self.networks = deepcopy(fusion.networks).cpu().requires_grad_(requires_grad=False)
        self.strategy = deepcopy(fusion.strategy)
        self.read: set[str] = set()
        """Which fields of its scenes the strategy has looked at."""

    def forward(self, sources: tuple[Tensor, ...]) -> Tensor:
        """Fuse k sources `(N, 1, H, W)` in 0..1; H and W are multiples of the size divisor."""
        planes = torch.stack(sources)
        levels = self.backbone.levels
        merged = []
        for number, maps in enumerate(self.backbone.encode(planes.flatten(0, 1))):
            scene = _WatchedScene(
                sources=planes,
                level=number,
                stride=levels[number].stride,
                network=self.networks[number] if len(self.networks) else None,
                read=self.read,
            )
            features = maps.unflatten(0, planes.shape[:2])
            merged.append(self.strategy.fuse(features, scene))
        return self.backbone.decode(tuple(merged))


@dataclass(frozen=True, eq=False)
class _WatchedScene(Scene):
    """A scene that remembers which of its fields a strategy looks at."""

    read: set[str] = field(default_factory=set)

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "read").add(name)
        return object.__getattribute__(self, name)


class ScaledImage(nn.Module):
    """One source as its file has it, to a plane in 0..1.

    Args:
        scale: how; not a percentile, and without a unit.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Scale images `(N, 1, H, W)` of 8 or 16 bits, or float32, to float32 in 0..1."""
        if self.scale.kind == "minmax":
            wide = images.double()
            smallest, largest = wide.amin(dim=(1, 2, 3)), wide.amax(dim=(1, 2, 3))
            return self.scale.apply(images, torch.stack([smallest, largest], dim=1))
        limits = [self.scale.low, self.scale.high]  # not looked at where the type decides
        return self.scale.apply(images, torch.tensor([limits], dtype=torch.float64))


class DisplayedImage(nn.Module):
    """Decoded planes to an image as a file has it.

    Args:
        policy: how they become displayable.
        dtype: of the image, its name.
    """

    def __init__(self, policy: RangePolicy, dtype: str) -> None:
        super().__init__()
        self.policy, self.dtype = policy, dtype

    def forward(self, fused: Tensor) -> Tensor:
        """Bring decoded planes `(N, 1, H, W)` to the range and the type of the image."""
        minmax = None
        if self.policy == "minmax":
            minmax = RunningMinMax()
            minmax.add(fused)
        displayed = map_to_range(fused, WHITE.get(self.dtype, 1), minmax)
        rounded = round_half_up(displayed) if self.dtype in WHITE else displayed
        image: Tensor = as_dtype(rounded, self.dtype)
        return image
