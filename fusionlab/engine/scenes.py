"""Cut the sources of a tile, encode them, and describe the tile to the strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fusionlab.backbone import Features
from fusionlab.engine.base import Engine
from fusionlab.engine.feature_cache import FeatureCache, encode_distinct
from fusionlab.engine.merging import LevelInput
from fusionlab.engine.tiling import Box, Tile
from fusionlab.engine.transfers import to_device
from fusionlab.engine.workers import Workers
from fusionlab.strategy import Scene, Statistics


class Planes(Protocol):
    """Gray planes of k sources, cut out a tile at a time; several may belong to one image."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """k, N, H, W."""

    @property
    def group(self) -> int:
        """How many consecutive planes belong to one image: 3 for color channels, else 1."""

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of some planes, `(k, n, 1, h, w)`, float32 in 0..1."""

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of the luminance of some images, `(k, n, 1, h, w)`, float32 in 0..1."""

    def cut_color(self, images: slice, rows: slice, columns: slice) -> Tensor | None:
        """Return a part of some images, `(k, n, 3, h, w)`, float32 in 0..1; None if all are gray.

        Gray sources among color ones have three equal channels.
        """

    def cut_valid(self, images: slice, rows: slice, columns: slice) -> Tensor | None:
        """Return which pixels of a part of some images are data, `(k, n, 1, h, w)`; None: all.

        The other cuts hold what fills pixels that are no data.
        """


@dataclass(frozen=True)
class TensorPlanes:
    """Gray images that are a tensor already, `(k, N, 1, H, W)`."""

    planes: Tensor
    group = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """k, N, H, W."""
        k, images, _, height, width = self.planes.shape
        return k, images, height, width

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of some images, `(k, n, 1, h, w)`, float32."""
        return self.planes[:, images, :, rows, columns].float()

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return the same as `cut`: gray is its own luminance."""
        return self.cut(images, rows, columns)

    def cut_color(self, images: slice, rows: slice, columns: slice) -> None:  # noqa: ARG002
        """Return None: all images are gray."""
        return

    def cut_valid(self, images: slice, rows: slice, columns: slice) -> None:  # noqa: ARG002
        """Return None: all pixels are data."""
        return


class Batch:
    """Planes that are fused together, and what has been computed of them so far."""

    def __init__(self, planes: slice, levels: int) -> None:
        self.planes = planes
        self.statistics: list[Statistics | None] = [None] * levels
        """What the strategy has gathered, for each level."""
        self.features: Features | None = None
        """The features of the whole planes, where they are kept."""
        self.guide: Features | None = None
        """The features of the whole luminance, where they are kept and the strategy needs them."""
        self.merged: tuple[Box, list[Tensor], Tensor] | None = None
        """Where the strategy needs the images in one piece: the part of the image that it has
        merged, the merged features of each level, and the weight maps."""


class SceneReader:
    """Reads tiles: the features of each level, and the scene that goes with them.

    Args:
        engine: encodes.
        planes: the sources.
        networks: of a learned strategy, one for each level; else none.
        height: rows of the image, extended to a multiple of the size divisor.
        width: columns of the image, likewise.
        shares_weights: whether the strategy looks at the luminance instead of each plane.
    """

    def __init__(
        self,
        engine: Engine,
        planes: Planes,
        networks: nn.ModuleList,
        height: int,
        width: int,
        *,
        shares_weights: bool,
    ) -> None:
        self.engine, self.planes, self.networks = engine, planes, networks
        self.height, self.width = height, width
        self.shares_weights = shares_weights

    def keep_features(
        self, batch: Batch, feature_cache: FeatureCache, edge: int | None, workers: Workers
    ) -> None:
        """Encode the whole images of a batch, or take their features from the cache.

        Args:
            batch: where they are kept.
            feature_cache: where they are looked up.
            edge: of the tiles in which they are encoded; None: in one piece.
            workers: encode tiles.
        """
        box = Box(0, 0, self.height, self.width)
        planes = self._cut(batch.planes, box)
        batch.features = feature_cache.of(self.engine, planes, edge, workers)
        if self.shares_weights:
            luminance = self._luminance(batch, box)
            batch.guide = feature_cache.of(self.engine, luminance, edge, workers)

    def levels(self, tile: Tile, batch: Batch) -> Iterator[LevelInput]:
        """Yield what the strategy is given for one tile, level by level."""
        sources = to_device(self._cut(batch.planes, tile.outer), self.engine.device)
        guide, images = sources, None
        if self.shares_weights:
            guide = to_device(self._luminance(batch, tile.outer), self.engine.device)
            images = self._images_of(batch.planes)
        features, guides = self._features(tile, batch, sources, guide)
        scene_sources = guide[..., *tile.encoded.within(tile.outer).slices]
        color = self._color_reader(tile, batch)
        valid = self._valid(tile, batch)
        of_planes = valid if valid is None else valid[:, self._images_of(batch.planes)]
        if not self.shares_weights:
            valid = of_planes
        for number, level in enumerate(self.engine.backbone.levels):
            scene = Scene(
                sources=scene_sources,
                level=number,
                stride=level.stride,
                top=tile.encoded.top,
                left=tile.encoded.left,
                height=self.height,
                width=self.width,
                valid_box=tile.inner.within(tile.encoded),
                statistics=batch.statistics[number],
                network=self.networks[number] if self.networks else None,
                read_color=color,
                valid=valid,
            )
            maps = features[number].unflatten(0, sources.shape[:2])
            guide_maps = maps if images is None else guides[number].unflatten(0, guide.shape[:2])
            of_level = None if of_planes is None else _pooled(of_planes, level.stride)
            yield LevelInput(maps, guide_maps, scene, images, of_level, batch.planes.start)

    def _features(
        self, tile: Tile, batch: Batch, sources: Tensor, guide: Tensor
    ) -> tuple[Features, Features]:
        """Return the features of the planes and of what the strategy looks at, of one tile."""
        if batch.features is not None:
            features = self._part(batch.features, tile)
            return features, features if batch.guide is None else self._part(batch.guide, tile)
        planes = sources.flatten(0, 1)
        if not self.shares_weights:
            features = encode_distinct(self.engine, planes, tile.borders)
            return features, features
        images = torch.cat([planes, guide.flatten(0, 1)])
        both = encode_distinct(self.engine, images, tile.borders)
        count = len(planes)
        return tuple(maps[:count] for maps in both), tuple(maps[count:] for maps in both)

    def _part(self, features: Features, tile: Tile) -> Features:
        """Cut the features of one tile from those of the whole image."""
        return tuple(
            maps[..., *tile.encoded.divided(level.stride).slices]
            for maps, level in zip(features, self.engine.backbone.levels, strict=True)
        )

    def _images(self, planes: slice) -> slice:
        """Return the images that some planes belong to."""
        group = self.planes.group
        return slice(planes.start // group, -(-planes.stop // group))

    def _images_of(self, planes: slice) -> Tensor:
        """Return for each plane the number of its image, counted from the first of them."""
        group, first = self.planes.group, self._images(planes).start
        images = [plane // group - first for plane in range(planes.start, planes.stop)]
        return to_device(torch.tensor(images), self.engine.device)

    def _cut(self, planes: slice, box: Box) -> Tensor:
        return self._extended(self.planes.cut(planes, *self._inside(box).slices), box)

    def _luminance(self, batch: Batch, box: Box) -> Tensor:
        images, inside = self._images(batch.planes), self._inside(box)
        return self._extended(self.planes.cut_luminance(images, *inside.slices), box)

    def _color_reader(self, tile: Tile, batch: Batch) -> Callable[[], Tensor | None]:
        """Return what reads the color sources of a tile, once, if a strategy asks for them."""

        @cache
        def read() -> Tensor | None:
            box = tile.encoded
            color = self.planes.cut_color(self._images(batch.planes), *self._inside(box).slices)
            if color is None:
                return None
            color = to_device(self._extended(color, box), self.engine.device)
            return color if self.shares_weights else color[:, self._images_of(batch.planes)]

        return read

    def _valid(self, tile: Tile, batch: Batch) -> Tensor | None:
        """Return which pixels of a tile are data, for each image; None: all."""
        box = tile.encoded
        valid = self.planes.cut_valid(self._images(batch.planes), *self._inside(box).slices)
        if valid is None:
            return None
        return to_device(self._extended(valid.to(torch.uint8), box), self.engine.device).bool()

    def _inside(self, box: Box) -> Box:
        """Return the part of a box that lies in the image before it was extended."""
        height, width = self.planes.shape[2:]
        return Box(box.top, box.left, min(box.bottom, height), min(box.right, width))

    def _extended(self, part: Tensor, box: Box) -> Tensor:
        """Repeat the last row and column of an image where a box reaches beyond it."""
        bottom, right = (edge - size for edge, size in zip(box.size, part.shape[-2:], strict=True))
        if not bottom and not right:
            return part
        flat = pad(part.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
        extended: Tensor = flat.unflatten(0, part.shape[:2])
        return extended


def _pooled(valid: Tensor, stride: int) -> Tensor:
    """Return which pixels of features are data: those all of whose image pixels are."""
    if stride == 1:
        return valid
    blocks = valid.unflatten(-1, (-1, stride)).unflatten(-3, (-1, stride))
    pooled: Tensor = blocks.all(-1).all(-2)
    return pooled
