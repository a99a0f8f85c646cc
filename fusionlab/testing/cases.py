"""Rules and features for the laws, drawn so that a failure shrinks to a few numbers."""

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
def rules(draw: Draw, strategy: type[Strategy] | Strategy) -> tuple[Strategy, int]:
    """Draw a rule, often with its defaults, and the number of sources it is given.

    A parameter is often at one of its bounds; one that takes several numbers gets one for each
    source, or none. A strategy that is an instance already stays as it is.
    """
    cls = strategy if isinstance(strategy, type) else type(strategy)
    most = max(5, cls.min_k)
    if cls.max_k is not None:
        most = min(cls.max_k, most)
    k = draw(st.integers(max(2, cls.min_k), most))
    known = parameters.params_of(cls)
    if isinstance(strategy, Strategy):
        return strategy, k
    try:
        if not any(param.required for param in known) and draw(st.booleans()):
            return cls(), k
        values = {param.name: _values(param, k) for param in known}
        return cls(**draw(st.fixed_dictionaries(values))), k
    except FusionlabError:  # what it refuses it need not fuse
        reject()


def _values(param: parameters.Param, k: int) -> SearchStrategy[Any]:
    drawn = param.draw(size=k)
    bounds = [param.kind(bound) for bound in (param.ge, param.le) if bound is not None]
    return drawn if param.many or not bounds else drawn | st.sampled_from(bounds)


@st.composite
def features(draw: Draw, k: int, edge: int = 8, *, pixels: bool = False) -> Tensor:
    """Draw features `(k, N, C, h, w)` of the size that backbones make, 0..255 and signed.

    Among them are zeros, dead channels and sources, plain and huge ones. The first numbers are
    the drawn ones, so that small features consist of numbers that hypothesis can simplify; the
    others are the same numbers in disorder. With `pixels` they are what pixel strategies merge: one
    channel of gray levels in 0..255.
    """
    # sampled, not integers: hypothesis gives draws of one kind one value, and shapes would be few
    limits = (2, 1 if pixels else 4, edge, edge)
    shape = (k, *(draw(st.sampled_from(range(1, most + 1))) for most in limits))
    size = int(np.prod(shape))
    # one draw, where a list of integers would take two for each of them
    drawn = draw(st.binary(min_size=1, max_size=24))
    numbers = np.frombuffer(drawn, np.uint8).astype(np.float64)
    kinds = ["gray levels", "few"] if pixels else ["gray levels", "signed", "few"]
    match draw(st.sampled_from(kinds)):
        case "signed":
            numbers -= 256 * (numbers > 127)
        case "few":  # -1 to 2, or 0 to 2: many are alike
            numbers = numbers % 3 if pixels else (numbers + 1) % 4 - 1
    order = np.random.default_rng(size).integers(0, len(numbers), size)
    order[: len(numbers)] = np.arange(len(numbers))[:size]
    values = numbers[order]
    values += np.arange(size) * draw(st.sampled_from([0.0, 0.618])) % 1  # or no two alike
    found = torch.from_numpy(values.astype(np.float32)).view(shape)
    # mostly nothing: hypothesis varies what it has drawn, and zeros do not vary
    match draw(st.sampled_from([*["nothing"] * 5, "channel", "source", "everything"])):
        case "channel":
            found[:, :, 0] = 0
        case "source":
            found[0] = 0
        case "everything":
            found.zero_()
    sizes = ["as they are"] * 2 + ["small"] + ["huge"] * (not pixels) + ["ripple"]
    match draw(st.sampled_from(sizes)):
        case "small":
            found *= 2.0**-10
        case "huge":
            found *= 2.0**12
        case "ripple":  # nearly plain: what subtracts squares or means is left with rounding
            found = 100.1 + 2.0**-12 * found
    return found.clamp(max=255) if pixels else found


def apart(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return features, in float64, that differ from each other, and from zero, by at least 0.05.

    Sums and differences of several are not zero either.
    """
    size = int(np.prod(shape))
    generator = np.random.default_rng(seed)
    values = 0.1 * (generator.permutation(size) + 1) + generator.uniform(0, 0.05, size)
    return torch.from_numpy(values).view(shape)
