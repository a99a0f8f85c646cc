"""Features of whole images that are kept: for rules that look twice, and for several rules.

They take 64 times the memory of the image, so they are kept for small images only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.tiling import plan

MOST_BYTES = 2**28
"""How large the features of an image may be to be kept, unless the caller allows more."""

Key = tuple[type, str, bool]


class FeatureCache:
    """The features of images, each encoded once.

    An image is recognized by its pixels and the engine's backbone, so that the result is what it
    would be without this. Features that gradients shall flow through belong to one call, and are
    not kept.

    Args:
        most: how many bytes are kept, but one image in any case; the oldest go first.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self._kept: list[tuple[Backbone, Key, Tensor, Features]] = []

    def of(self, engine: Engine, planes: Tensor, edge: int) -> Features:
        """Return the features of planes `(k, n, 1, H, W)`, `(k * n, C, h, w)` for each level.

        Args:
            engine: who encodes.
            planes: in 0..1.
            edge: of the tiles in which they are encoded.
        """
        if planes.requires_grad:
            return _encoded(engine, planes, edge)
        # tensors of the inference mode are of no use outside it
        key = type(engine), engine.precision, torch.is_inference_mode_enabled()
        found = (
            features
            for backbone, owner, seen, features in self._kept
            if backbone is engine.backbone and owner == key and _equal(seen, planes)
        )
        if known := next(found, None):
            return known
        size = feature_bytes(engine, planes.shape[:2].numel(), *planes.shape[-2:])
        while self._kept and sum(map(_bytes, self._kept)) + size > self.most:
            self._kept.pop(0)  # first, so that both never stand in memory
        features = _encoded(engine, planes, edge)
        # a copy: the planes may be the caller's own, who may write to them
        self._kept.append((engine.backbone, key, planes.clone(), features))
        return features


def encode_distinct(engine: Engine, images: Tensor, borders: Borders) -> Features:
    """Encode images `(M, 1, h, w)`, those that are equal once, as many at once as suit the engine.

    A gray source beside color stands for all three channels, and so does a gray picture that is
    stored as RGB. On a GPU all are encoded: batches of other sizes may take other kernels there,
    and nothing shall depend on what is equal by chance.
    """
    if images.requires_grad and torch.is_grad_enabled():
        return engine.encode(images, borders)
    firsts = index = list(range(len(images)))
    if images.device.type == "cpu":
        firsts, index = _distinct(images)
    # at least two at a time: engines may have another way, and other rounding, for one
    parts = min(round(len(firsts) * images[0].numel() / engine.pixels_at_once), len(firsts) // 2)
    if len(firsts) == len(images) and parts <= 1:
        return engine.encode(images, borders)
    found = [
        engine.encode(images[some.tolist()], borders)
        for some in np.array_split(firsts, max(1, parts))
    ]
    whole = (torch.cat(level) if len(found) > 1 else level[0] for level in zip(*found, strict=True))
    return tuple(level[index] if len(firsts) < len(images) else level for level in whole)


def feature_bytes(engine: Engine, images: int, height: int, width: int) -> int:
    """Return how large the features of so many images are."""
    samples = sum(level.channels / level.stride**2 for level in engine.backbone.levels)
    return int(engine.dtype.itemsize * images * height * width * samples)


def _distinct(images: Tensor) -> tuple[list[int], list[int]]:
    """Return which images come first of their like, and for each image which of them it equals."""
    sums = images.flatten(1).sum(dim=1).tolist()
    firsts: list[int] = []
    index = []
    for number, total in enumerate(sums):
        alike = (
            place
            for place, first in enumerate(firsts)
            if sums[first] == total and torch.equal(images[first], images[number])
        )
        place = next(alike, len(firsts))
        if place == len(firsts):
            firsts.append(number)
        index.append(place)
    return firsts, index


def _encoded(engine: Engine, planes: Tensor, edge: int) -> Features:
    """Encode planes tile by tile, and put their features together."""
    backbone, (height, width) = engine.backbone, planes.shape[-2:]
    images = planes.flatten(0, 1)
    margin = backbone.halos(0)[0]
    whole: list[Tensor] = []
    rows = plan(height, width, edge, (margin, 0, 0), backbone.size_divisor)
    tiles = [tile for row in rows for tile in row]
    for tile in tiles:
        outer = images[..., *tile.outer.slices].to(engine.device)
        features = encode_distinct(engine, outer, tile.borders)
        if len(tiles) == 1:
            return features
        for number, (maps, level) in enumerate(zip(features, backbone.levels, strict=True)):
            if len(whole) <= number:
                whole.append(_room(maps, height // level.stride, width // level.stride))
            kept = tile.inner.within(tile.encoded).divided(level.stride)
            whole[number][..., *tile.inner.divided(level.stride).slices] = maps[..., *kept.slices]
    return tuple(whole)


def _room(like: Tensor, height: int, width: int) -> Tensor:
    """Return an empty tensor for maps of another size, in the same layout."""
    last = like.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    shape = *like.shape[:2], height, width
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _bytes(kept: tuple[Backbone, Key, Tensor, Features]) -> int:
    return sum(level.numel() * level.element_size() for level in kept[-1])
