"""A cache of the features of whole images, for two-pass strategies and for several strategies.

With 64 full-resolution maps, features take 64 times the memory of the image, so only those of small
images are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.tiling import Tile, plan
from fusionlab.engine.transfers import to_device
from fusionlab.engine.workers import ALONE, Workers

CACHE_BYTES = 2**28
"""Default capacity of a cache, and largest size of the features of an image that are kept."""


@dataclass(frozen=True, eq=False)
class _Entry:
    """The features of some planes, and what they depend on."""

    backbone: Backbone
    encoded_by: object
    precision: str
    inference: bool
    """Whether they were computed in inference mode: such tensors cannot be used outside it."""
    planes: Tensor
    features: Features

    @property
    def bytes(self) -> int:
        return sum(level.numel() * level.element_size() for level in self.features)

    def fits(self, engine: Engine, planes: Tensor) -> bool:
        """Return whether these are the features that an engine would compute of some planes."""
        return (
            self.backbone is engine.backbone
            and self.encoded_by == engine.encoded_by
            and self.precision == engine.precision
            and self.inference == torch.is_inference_mode_enabled()
            and self.planes.shape == planes.shape
            and torch.equal(self.planes, planes)
        )


class FeatureCache:
    """The features of images, each encoded once.

    An image is recognized by its pixels and the engine's backbone, so results are the same with and
    without a cache. Features that gradients flow through belong to one call and are not kept.

    Args:
        max_bytes: capacity; the oldest entries are dropped first, and one is always kept.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._entries: list[_Entry] = []

    def of(
        self, engine: Engine, planes: Tensor, edge: int | None, workers: Workers = ALONE
    ) -> Features:
        """Return the features of planes `(k, n, 1, H, W)`, `(k * n, C, h, w)` for each level.

        Args:
            engine: encodes the planes if their features are not kept.
            planes: images in 0..1.
            edge: of the tiles in which they are encoded; None: in one piece.
            workers: encode tiles.
        """
        if planes.requires_grad:
            return _encode_tiled(engine, planes, edge, workers)
        cached = (entry.features for entry in self._entries if entry.fits(engine, planes))
        if features := next(cached, None):
            return features
        size = feature_bytes(engine, planes.shape[:2].numel(), *planes.shape[-2:])
        while self._entries and sum(entry.bytes for entry in self._entries) + size > self.max_bytes:
            self._entries.pop(0)  # before encoding, so that both are never in memory
        features = _encode_tiled(engine, planes, edge, workers)
        inference = torch.is_inference_mode_enabled()
        # a clone, because the caller may write to the planes later
        self._entries.append(
            _Entry(
                engine.backbone,
                engine.encoded_by,
                engine.precision,
                inference,
                planes.clone(),
                features,
            )
        )
        return features


def encode_distinct(engine: Engine, images: Tensor, borders: Borders) -> Features:
    """Encode images `(M, 1, h, w)`, equal ones once, as many at a time as suit the engine.

    A gray source among color ones stands for all three channels, and so does a gray image that is
    stored as RGB. On a GPU all are encoded: other batch sizes may use other kernels there, and the
    result must not depend on which images happen to be equal.
    """
    if images.requires_grad and torch.is_grad_enabled():
        return engine.encode(images, borders)
    index: list[int] | None = None
    if images.device.type == "cpu":
        distinct, index = _distinct(images)
        index = index if len(distinct) < len(images) else None
        images = images if index is None else images[distinct]
    # at least two at a time: engines may round differently for a single image
    parts = min(round(images.numel() / engine.pixels_at_once), len(images) // 2)
    encoded = [engine.encode(part, borders) for part in images.tensor_split(max(1, parts))]
    levels = (
        torch.cat(level) if len(encoded) > 1 else level[0] for level in zip(*encoded, strict=True)
    )
    return tuple(level if index is None else level[index] for level in levels)


def feature_bytes(engine: Engine, images: int, height: int, width: int) -> int:
    """Return the size in bytes of the features of so many images."""
    values = sum(level.channels / level.stride**2 for level in engine.backbone.levels)
    return int(engine.dtype.itemsize * images * height * width * values)


def _distinct(images: Tensor) -> tuple[list[int], list[int]]:
    """Find equal images.

    Returns:
        The numbers of the images that are the first of their kind, and for each image the position
        of the one it equals among them.
    """
    sums = images.flatten(1).sum(dim=1).tolist()
    distinct: list[int] = []
    index = []
    for number, total in enumerate(sums):
        equal = (
            position
            for position, first in enumerate(distinct)
            if sums[first] == total and torch.equal(images[first], images[number])
        )
        position = next(equal, len(distinct))
        if position == len(distinct):
            distinct.append(number)
        index.append(position)
    return distinct, index


def _encode_tiled(engine: Engine, planes: Tensor, edge: int | None, workers: Workers) -> Features:
    """Encode planes tile by tile, and assemble their features."""
    backbone, (height, width) = engine.backbone, planes.shape[-2:]
    images = planes.flatten(0, 1)
    encoder_halo, _, _ = backbone.halos(0)

    def encode(tile: Tile) -> Features:
        outer = to_device(images[..., *tile.outer.slices], engine.device)
        return encode_distinct(engine, outer, tile.borders)

    def place(tile: Tile, features: Features) -> None:
        for maps, part, level in zip(whole, features, backbone.levels, strict=True):
            valid = tile.inner.within(tile.encoded).divided(level.stride)
            maps[..., *tile.inner.divided(level.stride).slices] = part[..., *valid.slices]

    rows = plan(height, width, edge, (encoder_halo, 0, 0), backbone.size_divisor)
    first, *others = [tile for row in rows for tile in row]
    features = encode(first)
    if not others:
        return features
    whole = tuple(
        _empty_like(maps, height // level.stride, width // level.stride)
        for maps, level in zip(features, backbone.levels, strict=True)
    )
    place(first, features)
    for _ in workers.map(lambda tile: place(tile, encode(tile)), others):
        pass
    return whole


def _empty_like(maps: Tensor, height: int, width: int) -> Tensor:
    """Return uninitialized maps of another size in the same memory layout."""
    last = maps.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    shape = *maps.shape[:2], height, width
    return torch.empty(shape, dtype=maps.dtype, device=maps.device, memory_format=layout)
