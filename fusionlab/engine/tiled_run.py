"""Run one call of a pipeline: batch by batch and tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from fusionlab.engine.feature_cache import CACHE_BYTES, FeatureCache, feature_bytes
from fusionlab.engine.merging import Merger
from fusionlab.engine.scenes import Batch, Planes, SceneReader
from fusionlab.engine.tiling import Tile, images_at_once, plan
from fusionlab.engine.value_checks import ValueChecks
from fusionlab.strategy import Statistics

if TYPE_CHECKING:
    from fusionlab.engine.pipeline import Pipeline

T = TypeVar("T")

_Job = tuple[Tile, Batch]
"""A tile of a batch."""

HALO_WORTH_KEEPING = 4
"""Width in pixels from which the halo of a strategy makes it pay to keep the features of small
images instead of encoding the halos of all tiles: a pair of 640x480 with r = 16 takes 0.46 s
instead of 0.64 s, with r = 1 0.45 s instead of 0.42 s (docs/speed.md)."""


class Band(NamedTuple):
    """Rows of the result, as wide as the image."""

    fused: Tensor
    """`(N, 1, h, W)`, as the decoder returns it."""
    maps: Tensor
    """The weight maps, `(k, N, 1, h, W)`, or `(0, N, 1, h, W)` where they were not asked for."""


class TiledRun:
    """One call of a pipeline; see `Pipeline.bands` for the arguments, and `ValueChecks`."""

    def __init__(
        self,
        pipeline: Pipeline,
        planes: Planes,
        *,
        weights: bool,
        feature_cache: FeatureCache | None,
        progress: Callable[[int, int], None],
        checks: ValueChecks,
    ) -> None:
        self.engine, self.planes = pipeline.engine, planes
        strategy, backbone = pipeline.strategy, pipeline.engine.backbone
        self._workers = pipeline.workers
        k, images, height, width = planes.shape
        divisor = backbone.size_divisor
        self.height, self.width = (-(-edge // divisor) * divisor for edge in (height, width))
        support = pipeline.support
        self.in_one_piece = support is None
        self.edge = pipeline.edge(k)
        halos = backbone.halos(support or 0)
        self.rows = plan(self.height, self.width, self.edge, halos, divisor)
        self.tiles = [tile for row in self.rows for tile in row]
        self.shares_weights = pipeline.shares_weights and planes.group > 1
        self.batches = self._batches(k, images)
        self.two_pass = strategy.two_pass and len(self.tiles) > 1 and not self.in_one_piece
        self.feature_cache = feature_cache or FeatureCache()
        worth_keeping = self.in_one_piece or self.two_pass or halos[1] >= HALO_WORTH_KEEPING
        may_keep = worth_keeping or feature_cache is not None
        size = feature_bytes(self.engine, k * self.batches[0].stop, self.height, self.width)
        if self.shares_weights:
            size += size // planes.group  # the features of the luminance
        self.keeps_features = self.in_one_piece or (
            may_keep and size <= self.feature_cache.max_bytes
        )
        passes = 1 + self.two_pass + self.keeps_features
        self._progress, self._steps = progress, count(1)
        self._total = passes * len(self.batches) * len(self.tiles)
        self._merger = Merger(
            strategy,
            weight_maps=weights,
            checks=checks,
            smoothing=pipeline.smoothing,
            encoder_radius=(backbone.receptive_field or (0, 0))[0],
        )
        self._reader = SceneReader(
            self.engine,
            planes,
            pipeline.networks,
            self.height,
            self.width,
            shares_weights=self.shares_weights,
        )

    def bands(self) -> Iterator[Band]:
        """Yield the result from top to bottom."""
        if not self.keeps_features or len(self.batches) == 1:
            yield from self._bands(self.batches)
            return
        # the features of one batch at a time
        parts = [list(self._bands([planes])) for planes in self.batches]
        yield Band(
            torch.cat([torch.cat([band.fused for band in part], -2) for part in parts]),
            torch.cat([torch.cat([band.maps for band in part], -2) for part in parts], 1),
        )

    def _bands(self, batches: list[slice]) -> Iterator[Band]:
        """Yield the result of some batches, a row of tiles at a time."""
        prepared = [self._prepare(planes) for planes in batches]
        jobs = ((tile, batch) for row in self.rows for batch in prepared for tile in row)
        pieces = self._workers.map(self._fuse, jobs)
        for row in self.rows:
            lines = [[self._done(next(pieces)) for _ in row] for _ in prepared]
            yield Band(
                torch.cat([torch.cat([piece.fused for piece in line], -1) for line in lines]),
                torch.cat([torch.cat([piece.maps for piece in line], -1) for line in lines], 1),
            )

    def _done(self, result: T) -> T:
        """Report that a tile is done, and return its result."""
        self._progress(next(self._steps), self._total)
        return result

    def _prepare(self, planes: slice) -> Batch:
        """Do what needs the whole images before their tiles are fused."""
        batch = Batch(planes, len(self.engine.backbone.levels))
        if self.keeps_features:
            self._reader.keep_features(batch, self.feature_cache, self.edge, self._workers)
            for tile in self.tiles:
                self._done(tile)
        if self.two_pass:
            jobs = ((tile, batch) for tile in self.tiles)
            for of_levels in self._workers.map(self._statistics, jobs):
                self._done(of_levels)
                batch.statistics = list(map(self._merger.gather, batch.statistics, of_levels))
        if self.in_one_piece:
            whole = Tile.whole(self.height, self.width)
            batch.merged = whole.encoded, *self._merge(whole, batch)
        return batch

    def _statistics(self, job: _Job) -> list[Statistics]:
        """Return what the strategy gathers of one tile, for each level."""
        return [self._merger.statistics(level) for level in self._reader.levels(*job)]

    def _fuse(self, job: _Job) -> Band:
        """Merge and decode one tile."""
        tile, batch = job
        covered, merged, maps = batch.merged or (tile.encoded, *self._merge(tile, batch))
        features = tuple(
            maps_of_level[..., *tile.merged.within(covered).divided(level.stride).slices]
            for maps_of_level, level in zip(merged, self.engine.backbone.levels, strict=True)
        )
        decoded = self.engine.decode(features, tile.borders)
        fused = decoded[..., *tile.inner.within(tile.decoded).slices]
        return Band(fused, maps[..., *tile.inner.within(covered).slices])

    def _merge(self, tile: Tile, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Merge one tile; return the merged features of each level, and the weight maps."""
        merged = [self._merger.merge(level) for level in self._reader.levels(tile, batch)]
        _, maps = merged[0]
        return [features for features, _ in merged], maps

    def _batches(self, k: int, images: int) -> list[slice]:
        """Divide the planes into batches that are fused together; color channels stay together."""
        height, width = self.height, self.width
        if self.edge is not None:
            extra = self.edge + sum(self.engine.backbone.halos(0))
            height, width = min(extra, height), min(extra, width)
        group = self.planes.group
        size = feature_bytes(self.engine, k * group, self.height, self.width)
        if (self.in_one_piece or self.edge is None) and size > CACHE_BYTES:
            group = 1  # large images plane by plane, even where their channels share something
        step = group * images_at_once(k * group, height, width, self.engine.pixels_at_once)
        return [slice(start, min(images, start + step)) for start in range(0, images, step)]
