"""What is measured: a method on made-up sources of a size, run in some way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.engine.precision import Precision
from fusionlab.fusion import Fusion
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.method_names import split_method
from fusionlab.plugins.registry import Plugins


@dataclass(frozen=True)
class Case:
    """One combination of everything that may differ.

    Args:
        method: `BACKBONE[@TAG]/STRATEGY[,name=value]`.
        width: of the sources, in pixels.
        height: likewise.
        sources: how many of them.
        channels: 1 for gray, 3 for color, of which each is fused.
        engine: what runs the backbone.
        precision: in which numbers.
    """

    method: str
    width: int = 640
    height: int = 480
    sources: int = 2
    channels: Literal[1, 3] = 1
    engine: str = "eager"
    precision: Precision = "fp32"

    def fusion(self, device: str | torch.device, plugins: Plugins) -> Fusion:
        """Build what is measured.

        Raises:
            FusionlabError: something has an unknown name, or does not run there.
        """
        backbone, strategy = split_method(self.method, plugins)
        return Fusion(
            build_backbone(backbone, plugins),
            build_strategy(strategy, plugins),
            device=device,
            engine=self.engine,
            precision=self.precision,
        )

    def images(self) -> list[NDArray[np.uint8]]:
        """Render the sources, arrays of 8 bits: waves and noise, no two planes alike."""
        rng = np.random.default_rng(0)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        images = []
        for number in range(self.sources):
            waves = 60 * np.sin(x / (20 + 3 * number)) + 40 * np.cos(y / (33 - 2 * number))
            noise = rng.integers(-20, 21, (self.height, self.width, self.channels))
            pixels = np.clip(120 + waves[..., None] + noise, 0, 255).astype(np.uint8)
            images.append(pixels if self.channels == 3 else pixels[..., 0])
        return images

    def tensors(self, device: torch.device) -> list[torch.Tensor]:
        """Return the sources as tensors that lie on a device."""
        arrays: list[NDArray[Any]] = [np.atleast_3d(image) for image in self.images()]
        return [torch.from_numpy(one.transpose(2, 0, 1).copy()).to(device) for one in arrays]
