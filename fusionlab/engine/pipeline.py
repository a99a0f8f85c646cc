"""Encode, merge, decode: one run over the tiles of the sources.

    sources --cut--> tile --engine--> features --strategy--> merged --engine--> decoded --> band

Small images, and those that a strategy needs in one piece, are encoded once and their features
kept; of larger ones never more than a tile is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fusionlab.backbone import Features
from fusionlab.engine.base import Engine
from fusionlab.engine.feature_cache import MOST_BYTES, FeatureCache, encode_distinct, feature_bytes
from fusionlab.engine.tiling import Box, Tile, images_at_once, plan, tile_edge
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import in_one_line
from fusionlab.strategy import Scene, Statistics, Strategy, WeightedStrategy

FAR = 3
"""From how wide a margin of the strategy on, in pixels, it pays to keep features of small images
instead of encoding the margins of all tiles: a pair of 640x480 with r = 16 takes 0.46 s instead of
0.64 s, with r = 1 0.45 s instead of 0.42 s (docs/speed.md)."""

WHOLE_BYTES = 2**33
"""How large the features of an image that cannot be cut may become, unless the user insists."""


class Planes(Protocol):
    """Gray planes of k sources that are cut out a tile at a time."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """k, N, H, W."""

    @property
    def group(self) -> int:
        """How many planes after one another belong to one picture: 3 for colors, else 1."""

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of some images, `(k, n, 1, h, w)`, float32 in 0..1."""


class Band(NamedTuple):
    """Rows of the result, from the top on, as wide as the image."""

    fused: Tensor
    """`(N, 1, h, W)`, as the decoder gives it."""
    maps: Tensor
    """The weight maps, `(k, N, 1, h, W)`, or `(0, N, 1, h, W)` where they are not asked for."""


@dataclass(frozen=True)
class Pipeline:
    """A method ready to run.

    Args:
        engine: runs the backbone.
        strategy: merges the features.
        networks: of a learned strategy, one for each level; else none.
        tile: edge of the tiles; None derives it from the number of sources, the support of the
            strategy, and what suits the engine.
    """

    engine: Engine
    strategy: Strategy
    networks: nn.ModuleList
    tile: int | None = None

    def bands(
        self,
        planes: Planes,
        *,
        weights: bool = False,
        feature_cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Iterator[Band]:
        """Fuse, and give the result in bands from top to bottom.

        Args:
            planes: the sources.
            weights: also give the weight maps.
            feature_cache: where features of whole images are kept for other strategies, too.
            progress: called with (steps done, steps in all) after each tile.

        Raises:
            FusionlabError: the strategy does not keep its contract, or it needs the images in one
                piece and they are too large.
        """
        run = _Run(self, planes, weights=weights, feature_cache=feature_cache, progress=progress)
        height, width = planes.shape[2:]
        below = 0
        for band in run.bands():
            rows = slice(height - below), slice(width)  # without what the multiple has added
            found = Band(band.fused[..., *rows], band.maps[..., *rows])
            if not found.fused.isfinite().all():
                name = type(self.strategy).__name__
                raise FusionlabError(f"the strategy {name} gave values that are not finite")
            yield found
            below += band.fused.shape[-2]

    def edge(self, k: int) -> int:
        """Return the edge of the tiles for k sources."""
        if self.tile is not None:
            return self.tile
        margin = self.engine.backbone.halos(self.support or 0)[1]
        return tile_edge(k, self.engine.pixels_at_once, margin)

    @property
    def support(self) -> int | None:
        """The support of the strategy."""
        with attribute_errors_to(self.strategy):
            return self.strategy.support


class _Batch:
    """Images that are fused together, and what is known of them."""

    def __init__(self, images: slice, levels: int) -> None:
        self.images = images
        self.known: list[Statistics | None] = [None] * levels
        """What the strategy has gathered, for each level."""
        self.features: Features | None = None
        """Of the whole images, where they are kept."""
        self.merged: tuple[Box, tuple[list[Tensor], Tensor]] | None = None
        """Likewise what a strategy made of them that needs them in one piece: see `_Run._merge`."""


class _Run:
    """One call of a pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        planes: Planes,
        *,
        weights: bool,
        feature_cache: FeatureCache | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.engine, self.strategy = pipeline.engine, pipeline.strategy
        self.networks, self.planes, self.weights = pipeline.networks, planes, weights
        self.backbone = self.engine.backbone
        k, images, height, width = planes.shape
        multiple = self.backbone.size_divisor
        self.height, self.width = (-(-edge // multiple) * multiple for edge in (height, width))
        support, self.tile_edge = pipeline.support, pipeline.edge(k)
        self.in_one_piece = support is None
        if support is None:
            self._check_whole(k, pipeline.tile)
        margins = self.backbone.halos(support or 0)
        self.rows = plan(self.height, self.width, self.tile_edge, margins, multiple)
        self.tiles = [tile for row in self.rows for tile in row]
        self.batches = self._batches(k, images)
        self.two_pass = self.strategy.two_pass and len(self.tiles) > 1 and not self.in_one_piece
        size = feature_bytes(self.engine, k * self.batches[0].stop, self.height, self.width)
        far = margins[1] > FAR
        wanted = self.in_one_piece or self.two_pass or far or feature_cache is not None
        self.feature_cache = feature_cache or FeatureCache()
        self.keeps = self.in_one_piece or (wanted and size <= self.feature_cache.most)
        passes = 1 + self.two_pass + self.keeps
        self._progress, self._steps = progress, count(1)
        self._total = passes * len(self.batches) * len(self.tiles)

    def bands(self) -> Iterator[Band]:
        """Give the result from top to bottom."""
        if not self.keeps or len(self.batches) == 1:
            yield from self._bands(self.batches)
            return
        # the features of one batch at a time
        parts = [list(self._bands([images])) for images in self.batches]
        yield Band(
            torch.cat([torch.cat([band.fused for band in part], -2) for part in parts]),
            torch.cat([torch.cat([band.maps for band in part], -2) for part in parts], 1),
        )

    def _bands(self, batches: list[slice]) -> Iterator[Band]:
        """Give the result of some batches, row of tiles by row of tiles."""
        prepared = [self._prepared(images) for images in batches]
        for row in self.rows:
            found = [[self._fused(tile, batch) for tile in row] for batch in prepared]
            yield Band(
                torch.cat([torch.cat([piece.fused for piece in line], -1) for line in found]),
                torch.cat([torch.cat([piece.maps for piece in line], -1) for line in found], 1),
            )

    def _step(self) -> None:
        self._progress(next(self._steps), self._total)

    def _prepared(self, images: slice) -> _Batch:
        """Do what has to be done with the whole images before their tiles are fused."""
        batch = _Batch(images, len(self.backbone.levels))
        whole = Tile.whole(self.height, self.width)
        if self.keeps:
            planes = self._cut(images, whole.outer)
            batch.features = self.feature_cache.of(self.engine, planes, self.tile_edge)
            for _ in self.tiles:
                self._step()
        if self.two_pass:
            for tile in self.tiles:
                self._gather(tile, batch)
                self._step()
        if self.in_one_piece:
            batch.merged = whole.encoded, self._merge(whole, batch)
        return batch

    def _gather(self, tile: Tile, batch: _Batch) -> None:
        """Add what the strategy wants to know of one tile to what is known at each level."""
        for features, scene in self._scenes(tile, batch):
            with attribute_errors_to(self.strategy):
                found = self.strategy.statistics(features, scene)
                before = batch.known[scene.level]
                batch.known[scene.level] = (
                    found if before is None else self.strategy.merge(before, found)
                )

    def _fused(self, tile: Tile, batch: _Batch) -> Band:
        """Merge and decode one tile."""
        covered, (merged, maps) = batch.merged or (tile.encoded, self._merge(tile, batch))
        features = tuple(
            level[..., *tile.merged.within(covered).divided(kind.stride).slices]
            for level, kind in zip(merged, self.backbone.levels, strict=True)
        )
        decoded = self.engine.decode(features, tile.borders)
        self._step()
        fused = decoded[..., *tile.inner.within(tile.decoded).slices]
        return Band(fused, maps[..., *tile.inner.within(covered).slices])

    def _merge(self, tile: Tile, batch: _Batch) -> tuple[list[Tensor], Tensor]:
        """Let the strategy merge one tile; return the features of each level, and weight maps."""
        merged, maps = [], None
        for features, scene in self._scenes(tile, batch):
            merged.append(self._merged(features, scene))
            if scene.level == 0:
                maps = self._maps(features, scene)
        assert maps is not None  # every backbone has a level
        return merged, maps

    def _merged(self, features: Tensor, scene: Scene) -> Tensor:
        """Apply the strategy to one level, and hold it to its contract."""
        with attribute_errors_to(self.strategy):
            merged = self.strategy.fuse(features, scene)
        if not isinstance(merged, Tensor) or (merged.shape, merged.dtype, merged.device) != (
            features.shape[1:],
            features.dtype,
            features.device,
        ):
            raise FusionlabError(
                f"the strategy {type(self.strategy).__name__} must make {_kind(features[0])} out "
                f"of {_kind(features)}, got {_kind(merged)}"
            )
        return merged

    def _maps(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights as maps `(k, n, 1, h, w)` of image pixels; none if none are wanted."""
        if not (self.weights and isinstance(self.strategy, WeightedStrategy)):
            return scene.sources[:0]
        with attribute_errors_to(self.strategy):
            weights = self.strategy.weights(features, scene).expand_as(features)
        maps: Tensor = weights.mean(dim=2, keepdim=True, dtype=torch.float32)
        for axis in (-2, -1):
            maps = maps.repeat_interleave(scene.stride, dim=axis)
        return maps.to(scene.sources)

    def _scenes(self, tile: Tile, batch: _Batch) -> Iterator[tuple[Tensor, Scene]]:
        """Yield the features `(k, n, C, h, w)` of one tile at each level, and its scene."""
        outer = self._cut(batch.images, tile.outer).to(self.engine.device)
        images = outer.flatten(0, 1)
        if batch.features is None:
            flat = encode_distinct(self.engine, images, tile.borders)
        else:
            flat = tuple(
                maps[..., *tile.encoded.divided(level.stride).slices]
                for maps, level in zip(batch.features, self.backbone.levels, strict=True)
            )
        sources = outer[..., *tile.encoded.within(tile.outer).slices]
        levels = zip(self.backbone.levels, flat, strict=True)
        for number, (level, maps) in enumerate(levels):
            scene = Scene(
                sources=sources,
                level=number,
                stride=level.stride,
                top=tile.encoded.top,
                left=tile.encoded.left,
                height=self.height,
                width=self.width,
                kept=tile.inner.within(tile.encoded),
                statistics=batch.known[number],
                network=self.networks[number] if self.networks else None,
            )
            yield maps.unflatten(0, outer.shape[:2]), scene

    def _cut(self, images: slice, box: Box) -> Tensor:
        """Cut a part of the sources; what lies beyond the image repeats its last row or column."""
        height, width = self.planes.shape[2:]
        inside = Box(box.top, box.left, min(box.bottom, height), min(box.right, width))
        planes = self.planes.cut(images, *inside.slices)
        bottom, right = box.bottom - inside.bottom, box.right - inside.right
        if not bottom and not right:
            return planes
        flat = pad(planes.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
        extended: Tensor = flat.unflatten(0, planes.shape[:2])
        return extended

    def _batches(self, k: int, images: int) -> list[slice]:
        """Divide the images into those that are fused together: whole pictures, if in color."""
        extra = self.tile_edge + sum(self.backbone.halos(0))
        height, width = min(extra, self.height), min(extra, self.width)
        group = self.planes.group
        size = feature_bytes(self.engine, k * group, self.height, self.width)
        if self.in_one_piece and size > MOST_BYTES:
            group = 1  # large ones plane by plane, even where their colors have some in common
        pictures = images_at_once(k * group, height, width, self.engine.pixels_at_once)
        return [
            slice(start, min(images, start + group * pictures))
            for start in range(0, images, group * pictures)
        ]

    def _check_whole(self, k: int, tile: int | None) -> None:
        """Refuse images that a strategy needs in one piece and that are larger than allowed."""
        height, width = self.height, self.width
        needed = feature_bytes(self.engine, k, height, width)
        if max(height, width) <= tile if tile else needed <= WHOLE_BYTES:
            return
        raise FusionlabError(
            f"the strategy {type(self.strategy).__name__} needs the whole image at once, and "
            f"{k} sources of {width}x{height} have features of {needed / 2**30:.1f} GiB ({needed} "
            f"bytes); choose a strategy that can be cut into tiles, smaller images, or insist "
            f"with a tile of {max(height, width)}"
        )


@contextmanager
def attribute_errors_to(strategy: Strategy) -> Iterator[None]:
    """Say which strategy an exception came from; its traceback stays attached."""
    try:
        yield
    except (FusionlabError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} failed: {in_one_line(error)}"
        ) from error


def _kind(features: object) -> str:
    if not isinstance(features, Tensor):
        return type(features).__name__
    return f"{tuple(features.shape)} {features.dtype} on {features.device}"
