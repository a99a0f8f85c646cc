"""The cases to measure: a method on synthetic sources, with an engine and a precision."""

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
    """One combination of everything that can be chosen.

    Args:
        method: `BACKBONE[@TAG][,name=value]/STRATEGY[,name=value]`.
        width: width of the sources, in pixels.
        height: height of the sources, in pixels.
        sources: number of sources.
        channels: 1 for gray, 3 for color; each channel is fused.
        engine: the engine that runs the backbone.
        precision: numerical precision of the backbone.
    """

    method: str
    width: int = 640
    height: int = 480
    sources: int = 2
    channels: Literal[1, 3] = 1
    engine: str = "eager"
    precision: Precision = "fp32"

    def fusion(self, device: str | torch.device, plugins: Plugins) -> Fusion:
        """Build the fusion to measure.

        Raises:
            FusionlabError: a name is unknown, or the engine does not run on the device.
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
        """Render the sources as 8-bit arrays: waves and noise, no two channels equal."""
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
        """Return the sources as tensors on a device."""
        arrays: list[NDArray[Any]] = [np.atleast_3d(image) for image in self.images()]
        return [torch.from_numpy(array.transpose(2, 0, 1).copy()).to(device) for array in arrays]
