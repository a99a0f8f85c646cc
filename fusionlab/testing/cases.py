"""Strategies and features for the laws, drawn so that a failure shrinks to a few numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from fusionlab import parameters
from fusionlab.errors import FusionlabError
from fusionlab.strategy import Strategy

Draw = Callable[[SearchStrategy[Any]], Any]


@st.composite
def instances(draw: Draw, strategy: type[Strategy] | Strategy) -> tuple[Strategy, int]:
    """Draw an instance of a strategy, often with its defaults, and a number of sources.

    A parameter is often at one of its bounds; one that takes several numbers gets one per source,
    or none. A strategy that is already an instance is returned as it is.
    """
    cls = strategy if isinstance(strategy, type) else type(strategy)
    max_k = max(5, cls.min_k)
    if cls.max_k is not None:
        max_k = min(cls.max_k, max_k)
    k = draw(st.integers(max(2, cls.min_k), max_k))
    params = parameters.params_of(cls)
    if isinstance(strategy, Strategy):
        return strategy, k
    try:
        if not any(param.required for param in params) and draw(st.booleans()):
            return cls(), k
        values = {param.name: _values(param, k) for param in params}
        return cls(**draw(st.fixed_dictionaries(values))), k
    except FusionlabError:  # the strategy refuses these parameters
        reject()


def _values(param: parameters.Param, k: int) -> SearchStrategy[Any]:
    drawn = param.draw(size=k)
    bounds = [param.kind(bound) for bound in (param.ge, param.le) if bound is not None]
    return drawn if param.many or not bounds else drawn | st.sampled_from(bounds)


@st.composite
def features(draw: Draw, k: int, *, min_edge: int = 1, pixels: bool = False) -> Tensor:
    """Draw features `(k, N, C, h, w)` as large as those of backbones, in 0..255 or signed.

    Edges have `min_edge` to `min_edge` + 7 pixels. Some features have zeros, dead channels or
    sources, some are constant or huge. The first values are the drawn ones, so that small features
    consist of numbers that hypothesis can simplify; the others are the same numbers, shuffled. With
    `pixels` they have one channel of gray levels in 0..255, as pixel strategies merge them.
    """
    # sampled, not integers: hypothesis often gives equal draws one value, so shapes would be few
    sizes = [range(1, 3), range(1, 2 if pixels else 5), *[range(min_edge, min_edge + 8)] * 2]
    shape = (k, *(draw(st.sampled_from(numbers)) for numbers in sizes))
    size = int(np.prod(shape))
    # one draw; a list of integers would take two per number
    drawn = draw(st.binary(min_size=1, max_size=24))
    numbers = np.frombuffer(drawn, np.uint8).astype(np.float64)
    kinds = ["gray levels", "few"] if pixels else ["gray levels", "signed", "few"]
    match draw(st.sampled_from(kinds)):
        case "signed":
            numbers -= 256 * (numbers > 127)
        case "few":  # -1 to 2, or 0 to 2: many are equal
            numbers = numbers % 3 if pixels else (numbers + 1) % 4 - 1
    order = np.random.default_rng(size).integers(0, len(numbers), size)
    order[: len(numbers)] = np.arange(len(numbers))[:size]
    values = numbers[order]
    values += np.arange(size) * draw(st.sampled_from([0.0, 0.618])) % 1  # or no two are equal
    drawn_features = torch.from_numpy(values.astype(np.float32)).view(shape)
    # mostly nothing: hypothesis mutates what it has drawn, and zeros cannot be mutated
    match draw(st.sampled_from([*["nothing"] * 5, "channel", "source", "everything"])):
        case "channel":
            drawn_features[:, :, 0] = 0
        case "source":
            drawn_features[0] = 0
        case "everything":
            drawn_features.zero_()
    scales = ["as they are"] * 2 + ["small"] + ["huge"] * (not pixels) + ["ripple"]
    match draw(st.sampled_from(scales)):
        case "small":
            drawn_features *= 2.0**-10
        case "huge":
            drawn_features *= 2.0**12
        case "ripple":  # nearly constant: differences of squares or means are mostly rounding
            drawn_features = 100.1 + 2.0**-12 * drawn_features
    return drawn_features.clamp(max=255) if pixels else drawn_features


def distinct_features(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return float64 features that differ from each other, and from zero, by at least 0.05.

    Sums and differences of several are not zero either.
    """
    size = int(np.prod(shape))
    generator = np.random.default_rng(seed)
    values = 0.1 * (generator.permutation(size) + 1) + generator.uniform(0, 0.05, size)
    return torch.from_numpy(values).view(shape)
