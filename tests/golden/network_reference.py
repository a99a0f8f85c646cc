"""DenseFuse and four of its strategies in numpy and float64, from the paper: nothing of fusionlab.

Reference: Table I and Eq. 4-7 of DenseFuse, doi:10.1109/TIP.2018.2887342.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import load_file

Array = np.ndarray
WEIGHTS = Path(__file__).parents[2] / "encoders/fusionlab_encoders/weights"


def load(tag: str) -> dict[str, Array]:
    """Return the kernels and biases of a shipped checkpoint, in float64."""
    tensors = load_file(WEIGHTS / f"densefuse-{tag}.safetensors")
    return {name: tensor.astype(np.float64) for name, tensor in tensors.items()}


def convolve(maps: Array, weights: dict[str, Array], layer: str) -> Array:
    """Apply a 3x3 layer to maps `(C, H, W)`, mirrored at the border."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    patches = sliding_window_view(padded, (3, 3), axis=(1, 2))
    kernel, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
    return np.einsum("chwij,ocij->ohw", patches, kernel, optimize=True) + bias[:, None, None]


def encode(image: Array, weights: dict[str, Array]) -> Array:
    """Return the features `(64, H, W)` of an image `(H, W)` in gray levels."""
    maps = np.maximum(convolve(image[None].astype(np.float64), weights, "c1"), 0)
    for layer in ("dense.0", "dense.1", "dense.2"):
        maps = np.concatenate([maps, np.maximum(convolve(maps, weights, layer), 0)])
    return maps


def decode(maps: Array, weights: dict[str, Array]) -> Array:
    """Return the image `(H, W)` in gray levels, before any range policy."""
    for layer in ("c2", "c3", "c4"):
        maps = np.maximum(convolve(maps, weights, layer), 0)
    return convolve(maps, weights, "c5")[0]


def addition(features: Array) -> Array:
    return features.sum(axis=0)


def mean(features: Array) -> Array:
    return features.mean(axis=0)


def maximum(features: Array) -> Array:
    return features.max(axis=0)


def l1norm(features: Array, radius: int) -> Array:
    """Weight each source by the average of its l1-norm in a window of (2 radius + 1)^2 pixels."""
    activity = abs(features).sum(axis=1)
    if radius:  # zeros outside: the divisor is the same for each source and cancels
        size = 2 * radius + 1
        activity = np.stack(
            [scipy.ndimage.uniform_filter(a, size, mode="constant") for a in activity]
        )
    weights = activity / activity.sum(axis=0)
    return (weights[:, None] * features).sum(axis=0)


def clip(image: Array) -> Array:
    return np.clip(image, 0, 255)


def minmax(image: Array) -> Array:
    return 255 * (image - image.min()) / (image.max() - image.min())
