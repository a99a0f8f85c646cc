"""Optical flow between neighboring frames: which pixel of a frame is where in the next one.

A flow `(2, H, W)` from frame a to frame b holds, for each pixel of a, how far it moves, in pixels:
to the right, then down. The pixel (x, y) of a is at (x + flow[0, y, x], y + flow[1, y, x]) in b.

The estimator is that of OpenCV, dense inverse search (DIS): 20 ms for a pair of 640x480 on one
core, without weights. Its values do not depend on the number of threads. Any function of two images
may take its place, see `FlowFunction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError

FlowFunction = Callable[[Tensor, Tensor], Tensor]
"""From two images `(H, W)` in 0..255 to the flow `(2, H, W)` from the first to the second."""

MIN_SIZE = 16
"""Shortest edge for DIS, in pixels: 8x8 patches at two scales. OpenCV refuses fewer than 12, and
reads beyond its arrays in images that are much wider than high."""


class Flows(NamedTuple):
    """The optical flow between the neighbors of T frames, of the fused images and the sources."""

    fused_forward: Tensor
    """`(T - 1, 2, H, W)`: from each frame to the next one."""
    fused_backward: Tensor
    """`(T - 1, 2, H, W)`: from each next frame back."""
    sources_forward: Tensor
    """`(k, T - 1, 2, H, W)`."""
    sources_backward: Tensor
    """`(k, T - 1, 2, H, W)`."""

    @classmethod
    def between(cls, fused: Tensor, sources: Tensor, flow: FlowFunction | None = None) -> Flows:
        """Estimate the flows between the neighbors of T frames.

        Args:
            fused: `(T, H, W)` in 0..255, at least two frames.
            sources: `(k, T, H, W)` in 0..255.
            flow: the estimator; None: `dense_flow`.

        Raises:
            FusionlabError: as `dense_flow`.
        """
        estimate = flow or dense_flow
        each = [
            (_stacked(estimate(a, b) for a, b in pairs), _stacked(estimate(b, a) for a, b in pairs))
            for pairs in ([*pairwise(frames)] for frames in (fused, *sources))
        ]
        (forward, backward), others = each[0], each[1:]
        return cls(
            forward,
            backward,
            torch.stack([there for there, _ in others]),
            torch.stack([back for _, back in others]),
        )

    def to(self, device: torch.device) -> Flows:
        """Return them on a device."""
        return Flows(*(flow.to(device) for flow in self))


def dense_flow(first: Tensor, second: Tensor) -> Tensor:
    """Estimate the optical flow from one image to another: DIS of OpenCV, its medium preset.

    Args:
        first: `(H, W)` in 0..255, rounded to whole gray levels.
        second: the same.

    Returns:
        `(2, H, W)`, float32, in pixels to the right and down, on the device of the images.

    Raises:
        FusionlabError: OpenCV is not installed (code `missing-extra`), or an edge is shorter than
            16 pixels (code `too-small`).

    Reference: T. Kroeger et al., ECCV 2016, 471-488; doi:10.1007/978-3-319-46493-0_29.
    """
    try:
        import cv2
    except ImportError as error:
        raise FusionlabError(
            "the optical flow of a sequence needs OpenCV, which is not installed; install it: pip "
            "install 'fusionlab-imaging[flow]', or leave out the metrics that need it",
            code="missing-extra",
        ) from error
    height, width = first.shape
    if min(height, width) < MIN_SIZE:
        raise FusionlabError(
            f"optical flow needs at least {MIN_SIZE} pixels along both edges, got {width}x{height}",
            code="too-small",
        )
    # DIS takes its scales from the width; along a short height they would be too coarse
    wide = width > height
    images = [_eight_bits(image.T if wide else image) for image in (first, second)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = torch.from_numpy(estimator.calc(*images, None)).movedim(-1, 0)  # type: ignore[call-overload]
    flow = found.flip(0).transpose(-1, -2) if wide else found
    return flow.contiguous().to(first.device)


def warped(image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Look up, for each pixel of a frame, the value where it has moved to in another one.

    Args:
        image: the other one, `(..., H, W)`.
        flow: `(2, H, W)`, from the frame to the other one.

    Returns:
        The values, `(..., H, W)`, interpolated bilinearly; and which of them lie within the other
        image, `(H, W)`, boolean. Outside, the value of the nearest pixel stands.
    """
    height, width = image.shape[-2:]
    columns = torch.arange(width, device=image.device)
    rows = torch.arange(height, device=image.device)[:, None]
    x, y = columns + flow[0].to(image.dtype), rows + flow[1].to(image.dtype)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = x - left, y - top
    above = image[..., top, left] * (1 - across) + image[..., top, right] * across
    below = image[..., bottom, left] * (1 - across) + image[..., bottom, right] * across
    return above * (1 - down) + below * down, inside


def _stacked(flows: Iterable[Tensor]) -> Tensor:
    return torch.stack([*flows])


def _eight_bits(image: Tensor) -> NDArray[np.uint8]:
    levels = torch.floor(image.detach().cpu().double() + 0.5).clamp(0, 255)
    array: NDArray[np.uint8] = levels.to(torch.uint8).contiguous().numpy()
    return array
