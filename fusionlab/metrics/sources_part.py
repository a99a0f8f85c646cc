"""The part of a metric that depends on the sources alone, computed once for many fused images.

An evaluation scores the results of many methods against the same sources. What a metric computes of
the sources only (their edges, features, local means) is the same each time. A function of the
sources says so,

    @once_per_sources
    def _edges(sources: Tensor, border: str) -> Tensor: ...

and the caller who will score several fused images says which tensor stays as it is:

    sources = keep_parts(sources)
    for fused in results:
        qabf(fused, sources)

Values do not change by a bit. Nothing is kept for other tensors: a tensor can change without
notice, for example through the NumPy array that it shares its memory with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

MAX_BYTES = 2**29
"""Limit of what is kept for one tensor of sources; parts beyond it are computed each time."""

Arguments = ParamSpec("Arguments")
Part = TypeVar("Part")


class _Parts(dict[Hashable, object]):
    """The parts that are kept for one tensor: function and arguments -> result."""

    bytes = 0


_KEPT = WeakTensorKeyDictionary()


def keep_parts(sources: Tensor) -> Tensor:
    """Keep what metrics compute of these sources alone, until the tensor is gone.

    Args:
        sources: `(k, N, H, W)` or `(k, N, 3, H, W)`, float64, as the metrics take them; they must
            not be changed from now on. A tensor of another type is converted by each metric, and
            nothing is kept.

    Returns:
        The same tensor.
    """
    if sources not in _KEPT:
        _KEPT[sources] = _Parts()
    return sources


def once_per_sources(
    function: Callable[Concatenate[Tensor, Arguments], Part],
) -> Callable[Concatenate[Tensor, Arguments], Part]:
    """Decorate a function of the sources so that its result is kept if `keep_parts` asked for it.

    The result, a tensor or a (nested) tuple, list or mapping of tensors, belongs to all callers:
    they must not change it. A result with views of the sources is not kept. Arguments besides the
    sources have to be hashable, and given by position.
    """

    @wraps(function)
    def kept(sources: Tensor, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Part:
        parts = cast("_Parts | None", _KEPT.get(sources))
        if parts is None:
            return function(sources, *args, **kwargs)
        key = (function, args)
        if key not in parts:
            part = function(sources, *args, **kwargs)
            tensors = list(_tensors(part))
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            views = any(_shares(tensor, sources) for tensor in tensors)
            if views or parts.bytes + size > MAX_BYTES:
                return part
            parts.bytes += size
            parts[key] = part
        return cast("Part", parts[key])

    return kept


def _shares(tensor: Tensor, sources: Tensor) -> bool:
    """Return whether a tensor is the sources, or a view of them, which keeps them alive."""
    return tensor is sources or tensor._base is sources  # noqa: SLF001  # torch has no other name


def _tensors(part: Any) -> Iterator[Tensor]:
    """Yield all tensors in a part."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping):
        yield from _tensors(part.values())
    elif isinstance(part, Iterable):
        for item in part:
            yield from _tensors(item)
