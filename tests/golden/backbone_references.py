"""DeepFuse and NestFuse in numpy and float64, from the papers: nothing of fusionlab.

Reference: DeepFuse, doi:10.1109/ICCV.2017.505, in the variant with 3x3 kernels, of Table II of
DenseFuse; NestFuse, doi:10.1109/TIM.2020.3005230.
"""

from __future__ import annotations

import numpy as np
from network_reference import WEIGHTS, Array, convolve
from safetensors.numpy import load_file

Weights = dict[str, Array]
Levels = list[Array]
"""Features `(C, h, w)` of each level, finest first."""


def load(name: str) -> Weights:
    """Return the kernels and biases of a shipped checkpoint, in float64."""
    tensors = load_file(WEIGHTS / f"{name}.safetensors")
    return {key: tensor.astype(np.float64) for key, tensor in tensors.items()}


def relu(maps: Array) -> Array:
    return np.maximum(maps, 0)


def deepfuse_encode(image: Array, weights: Weights) -> Levels:
    """Return the features `(32, H, W)` of an image `(H, W)` in gray levels."""
    maps = relu(convolve(image[None].astype(np.float64), weights, "c11"))
    return [convolve(maps, weights, "c12")]


def deepfuse_decode(levels: Levels, weights: Weights) -> Array:
    maps = relu(convolve(levels[0], weights, "c21"))
    return convolve(relu(convolve(maps, weights, "c22")), weights, "c23")[0]


def pointwise(maps: Array, weights: Weights, layer: str) -> Array:
    """Apply a 1x1 layer to maps `(C, H, W)`."""
    kernel, bias = weights[f"{layer}.weight"][:, :, 0, 0], weights[f"{layer}.bias"]
    return np.einsum("chw,oc->ohw", maps, kernel) + bias[:, None, None]


def block(maps: Array, weights: Weights, name: str) -> Array:
    reduced = relu(convolve(maps, weights, f"{name}.reduce"))
    return relu(pointwise(reduced, weights, f"{name}.expand"))


def halved(maps: Array) -> Array:
    """Take the largest of each 2x2 pixels."""
    channels, height, width = maps.shape
    return maps.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))


def doubled(maps: Array) -> Array:
    return maps.repeat(2, axis=1).repeat(2, axis=2)


def nestfuse_encode(image: Array, weights: Weights) -> Levels:
    """Return the features of an image `(H, W)` in gray levels, extended to multiples of 8."""
    height, width = image.shape
    extended = np.pad(image, ((0, -height % 8), (0, -width % 8)), mode="edge")
    maps = relu(convolve(extended[None].astype(np.float64), weights, "first"))
    levels = [block(maps, weights, "encoder.0")]
    for number in (1, 2, 3):
        levels.append(block(halved(levels[-1]), weights, f"encoder.{number}"))
    return levels


def nestfuse_decode(levels: Levels, weights: Weights) -> Array:
    e1, e2, e3, e4 = levels

    def d(level: int, column: int, *maps: Array) -> Array:
        return block(np.concatenate(maps), weights, f"decoder.{column - 1}.{level - 1}")

    d11, d21, d31 = d(1, 1, e1, doubled(e2)), d(2, 1, e2, doubled(e3)), d(3, 1, e3, doubled(e4))
    d12, d22 = d(1, 2, e1, d11, doubled(d21)), d(2, 2, e2, d21, doubled(d31))
    d13 = d(1, 3, e1, d11, d12, doubled(d22))
    return pointwise(d13, weights, "last")[0]


def attention(features: Array, tau: float) -> Array:
    """Fuse features `(k, C, h, w)` with the mean of spatial and channel attention."""
    spatial = features.mean(axis=1, keepdims=True) / tau
    spatial = np.exp(spatial - spatial.max(axis=0))
    channel = features.mean(axis=(2, 3), keepdims=True)
    channel = np.where(channel.sum(axis=0) == 0, 1, channel)  # zero in all sources
    weights = (spatial / spatial.sum(axis=0) + channel / channel.sum(axis=0)) / 2
    return (weights * features).sum(axis=0)
