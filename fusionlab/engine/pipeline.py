"""The pipeline: encode the sources, merge their features, decode the result.

    sources --cut--> tile --engine--> features --strategy--> merged --engine--> decoded --> band

The features of small images, and of images that a strategy needs in one piece, are computed once
and cached. Larger images are processed tile by tile, with only a few tiles in memory: on a CPU as
many as there are workers, each on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite

import torch
from torch import nn

from fusionlab.backbone import WHOLE
from fusionlab.engine.base import FEWEST_VALUES, Engine
from fusionlab.engine.feature_cache import FeatureCache, feature_bytes
from fusionlab.engine.merging import weights_decide
from fusionlab.engine.scenes import Planes
from fusionlab.engine.tiled_run import HALO_WORTH_KEEPING, Band, TiledRun
from fusionlab.engine.tiling import tile_edge
from fusionlab.engine.value_checks import value_checks
from fusionlab.engine.weight_history import FrameWeights, support_with_smoothing
from fusionlab.engine.workers import ALONE, Workers
from fusionlab.errors import FusionlabError, PluginError
from fusionlab.plugins.failures import failures_of, name_of
from fusionlab.strategy import Strategy, WeightedStrategy

MAX_UNTILED_BYTES = 2**33
"""Largest size of the features of an image that cannot be cut, unless the caller sets a tile."""


BYTES_TOGETHER = 2**31
"""Largest size of the features of all images that are fused at the same time."""

MAX_VALUE = 2.0**16
"""Largest value of a decoded image, where 0 to 1 is expected and the sum of k sources is about k:
beyond it, neighbors of the 256 gray levels between 0 and 1 are one number in float32."""

TRIAL_EDGE = 256
"""Largest edge of the part of a source that is encoded again to see who is at fault."""


@dataclass(frozen=True)
class Pipeline:
    """A method ready to run.

    Args:
        engine: runs the backbone.
        strategy: merges the features.
        networks: of a learned strategy, one for each level; else none.
        tile: edge of the tiles; None derives it from the number of sources, the receptive fields of
            backbone and strategy, and the engine.
        shared_weights: whether the color channels of an image share one set of weights, unless the
            strategy declares one or the other.
        workers: compute tiles at the same time.
        smoothing: smooths the weights over time.
    """

    engine: Engine
    strategy: Strategy
    networks: nn.ModuleList
    tile: int | None = None
    shared_weights: bool = True
    workers: Workers = ALONE
    smoothing: FrameWeights | None = None

    def bands(
        self,
        planes: Planes,
        *,
        weights: bool = False,
        feature_cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Iterator[Band]:
        """Fuse, and yield the result in bands from top to bottom.

        Args:
            planes: the sources.
            weights: also return the weight maps.
            feature_cache: keeps the features of whole images for other strategies.
            progress: called with (steps done, steps in all) after each tile.

        Raises:
            FusionlabError: the strategy breaks its contract, or the images cannot be cut into tiles
                and are too large. What depends on values is raised at once on a CPU, and on a GPU
                after the last band.
        """
        self._check_size(planes)
        with value_checks(self.engine.device) as checks:
            run = TiledRun(
                self,
                planes,
                weights=weights,
                feature_cache=feature_cache,
                progress=progress,
                checks=checks,
            )
            height, width = planes.shape[2:]
            top = 0
            for extended in run.bands():
                # without the rows and columns that were added for the size divisor
                rows = slice(height - top), slice(width)
                band = Band(extended.fused[..., *rows], extended.maps[..., *rows])
                checks.add(band.fused.detach().aminmax(), partial(self._check_values, planes))
                yield band
                top += extended.fused.shape[-2]

    def _check_values(self, planes: Planes, lowest: float, highest: float) -> None:
        """Refuse values that are not finite, or so large that no gray levels are left in them."""
        if lowest >= -MAX_VALUE and highest <= MAX_VALUE:  # False for NaN
            return
        finite = isfinite(lowest) and isfinite(highest)
        beyond = f"from {lowest:g} to {highest:g}, far beyond 0 to 1"
        values = beyond if finite else "that are not finite"
        raise PluginError(
            f"{self._at_fault(planes)} returned values {values}",
            code="out-of-range" if finite else "not-finite",
        )

    def _at_fault(self, planes: Planes) -> str:
        """Return whose values are wrong: those of the backbone if it fails for a source alone."""
        backbone = self.engine.backbone
        divisor = backbone.size_divisor
        height, width = (min(edge, TRIAL_EDGE) // divisor * divisor for edge in planes.shape[2:])
        if height and width:
            part = planes.cut(slice(0, 1), slice(height), slice(width))
            source = part[0].to(self.engine.device)
            with torch.no_grad():
                again = self.engine.decode(self.engine.encode(source, WHOLE), WHOLE)
            if not (again.abs() <= MAX_VALUE).all():
                return f"the backbone {name_of(backbone)}"
        return f"the strategy {name_of(self.strategy)}"

    def edge(self, k: int) -> int | None:
        """Return the edge of the tiles for k sources; None where the backbone cannot be cut."""
        encoder, strategy, decoder = self.engine.backbone.halos(self.support or 0)
        if self.engine.backbone.receptive_field is None:
            return None
        if self.tile is not None:
            return self.tile
        return tile_edge(k, self.engine.pixels_at_once, strategy, encoder + decoder)

    def together(self, k: int, height: int, width: int, threads: int) -> int:
        """Return how many images of k sources are best fused at the same time, each by one thread.

        As many as there are threads, if memory allows it. Otherwise the threads share the tiles of
        one image after the other; but where the strategy needs the whole image, one thread merges
        it, and a few images at the same time are better than one.
        """
        backbone, support = self.engine.backbone, self.support
        in_one_piece = support is None or backbone.receptive_field is None
        _, halo, _ = backbone.halos(support or 0)
        values = FEWEST_VALUES if in_one_piece else k + 1  # of a pixel
        size = 4 * values * k * height * width
        if in_one_piece or self.strategy.two_pass or halo >= HALO_WORTH_KEEPING:
            size = max(size, feature_bytes(self.engine, k, height, width))
        count = min(threads, max(1, BYTES_TOGETHER // size))
        return count if in_one_piece or count == threads else 1

    @property
    def support(self) -> int | None:
        """The support of the strategy, and of the smoothing of its weights."""
        with failures_of("strategy", self.strategy):
            support = self.strategy.support
        if support is None or self.smoothing is None:
            return support
        return support_with_smoothing(support, self.engine.backbone)

    @property
    def shares_weights(self) -> bool:
        """Whether the strategy computes one set of weights for all color channels."""
        if not isinstance(self.strategy, WeightedStrategy):
            return False  # there are no weights
        if not weights_decide(self.strategy):
            return False
        declared = self.strategy.shares_weights
        return self.shared_weights if declared is None else declared

    def _check_size(self, planes: Planes) -> None:
        """Refuse images that cannot be cut and that are larger than allowed."""
        k, _, height, width = planes.shape
        if self.support is None:
            component, role = f"the strategy {type(self.strategy).__name__}", "strategy"
        elif self.engine.backbone.receptive_field is None:
            component, role = f"the backbone {type(self.engine.backbone).__name__}", "backbone"
        else:
            return
        needed = feature_bytes(self.engine, k, height, width)
        tile = self.tile
        if max(height, width) <= tile if tile else needed <= MAX_UNTILED_BYTES:
            return
        raise FusionlabError(
            f"{component} needs the whole image at once, and {k} sources of {width}x{height} have "
            f"features of {needed / 2**30:.1f} GiB ({needed} bytes); choose another {role} or "
            f"smaller images, or override this with a tile of {max(height, width)}",
            code="needs-whole-image",
            option="tile",
        )
