"""Measure pairs of engines on tiles as the pipeline gives them, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import product
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.backbone import WHOLE, Borders
from fusionlab.engine.base import Engine
from fusionlab.engine.tiling import tile_edge
from fusionlab.engine.workers import workers
from fusionlab.errors import FusionlabError
from fusionlab.ops import normalize
from fusionlab.strategy import WeightedStrategy

LARGEST_DIFFERENCE = 1e-3 / 255
"""Of a decoded tile from that of the default engine, in float32."""

MAX_EDGE = 128
"""Largest edge of the tile that is measured, in pixels without its halos."""

TWO_ENGINES = 1.02
"""So many times as fast as a single engine must two be, which prepare more."""

TILES = 2
"""So many tiles for each thread are timed together."""

SOURCES = 2
SUPPORT = 1
"""Of the strategy, in feature pixels."""

ROUNDS, SECONDS = 3, 0.7
"""How often all pairs are timed, and for how long; each at least."""
DUELS = 9
"""How often the fastest and the default engine are compared, at least."""


class Trial(NamedTuple):
    """What was measured."""

    fastest: str
    """`NAME` or `ENCODER+DECODER`."""
    share: float
    """Its time, as a share of that of the default engine just before or after."""
    seconds: dict[str, float]
    """Of all pairs that give what the default engine gives: the shortest time of `TILES` for each
    thread."""


def tried(engines: Mapping[str, Engine], default: str) -> Trial:
    """Find the fastest pair of engines.

    Tiles are encoded, merged and decoded by as many threads as in a fusion, which share caches and
    memory. All pairs take turns, and then the fastest and the default one: whatever else the
    machine does affects both.

    Args:
        engines: name -> engine, all of one backbone, on a CPU, in one precision.
        default: the name of the engine to compare with.
    """
    images, borders = _tile([*engines.values()])
    pairs = {
        first if first == second else f"{first}+{second}": (engines[first], engines[second])
        for first, second in product(engines, repeat=2)
        if engines[first].dtype == engines[second].dtype
    }
    in_parallel = all(engine.tiles_in_parallel for engine in engines.values())
    with torch.no_grad(), workers(in_parallel=in_parallel) as threads:

        def fused(encoder: Engine, decoder: Engine) -> Tensor:
            fuse = partial(_fused, encoder, decoder, images)
            *_, last = threads.map(fuse, [borders] * TILES * threads.count)
            return last

        runs = {name: partial(fused, *pair) for name, pair in pairs.items()}
        expected = runs[default]()
        exact = {}
        for name, run in runs.items():
            with suppress(FusionlabError):  # it cannot compute this backbone
                difference = (run() - expected).abs().max()
                if engines[default].precision != "fp32" or difference <= LARGEST_DIFFERENCE:
                    exact[name] = run
        seconds = {name: min(times) for name, times in _in_turns(exact, ROUNDS, SECONDS).items()}
        fastest = min(seconds, key=lambda name: seconds[name] * (TWO_ENGINES if "+" in name else 1))
        if fastest == default:
            return Trial(default, 1.0, seconds)
        duel = _in_turns({name: runs[name] for name in (fastest, default)}, DUELS, SECONDS)
        shares = (new / old for new, old in zip(duel[fastest], duel[default], strict=True))
        return Trial(fastest, median(shares), seconds)


def _in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return the seconds of each run, in so many rounds, or in as many as fit into the time."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    began, done = perf_counter(), 0
    while done < rounds or perf_counter() - began < seconds:
        for name, run in runs.items():
            start = perf_counter()
            run()
            times[name].append(perf_counter() - start)
        done += 1
    return times


def _tile(engines: list[Engine]) -> tuple[Tensor, Borders]:
    """Return noise as large as a tile inside an image, or as a small image that cannot be cut."""
    backbone = engines[0].backbone
    encoder, strategy, decoder = backbone.halos(SUPPORT)
    pixels = min(engine.pixels_at_once for engine in engines)
    edge = min(MAX_EDGE, tile_edge(SOURCES, pixels, strategy, encoder + decoder))
    borders = WHOLE if backbone.receptive_field is None else Borders(*[False] * 4)
    edge = -(-edge // backbone.size_divisor) * backbone.size_divisor
    outer = edge + 2 * (encoder + decoder)
    noise = torch.rand((SOURCES, 1, outer, outer), generator=torch.Generator().manual_seed(0))
    return noise, borders


def _fused(encoder: Engine, decoder: Engine, images: Tensor, borders: Borders) -> Tensor:
    """Encode images, weight their features by their sizes, and decode the result.

    Engines differ in how they lay out features in memory, and so does the time of a strategy.
    """
    merged = []
    for maps in encoder.encode(images, borders):
        features = maps[:, None]
        weights = normalize(features.abs().sum(2, keepdim=True, dtype=torch.float32))
        merged.append(WeightedStrategy.weighted_sum(features, weights))
    return decoder.decode(tuple(merged), borders)
