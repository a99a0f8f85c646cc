"""Record the operations of a stage of a backbone, for engines that compute them elsewhere.

The stage runs once, on a tile of zeros, and every operation on what depends on the tile is noted.
What depends on nothing but the parameters of the backbone is a constant. So any backbone can be
recorded, however it is written; what an engine cannot do with the operations is its own concern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from fusionlab.backbone import Features
from fusionlab.errors import FusionlabError


class Value(NamedTuple):
    """A tensor that depends on the tile."""

    number: int
    shape: tuple[int, ...]


class Operation(NamedTuple):
    """An operation of PyTorch, with `Value`s in the place of tensors that depend on the tile."""

    name: str
    """With its overload, such as `aten.relu_.default`."""
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    results: tuple[Value, ...]


class Recording(NamedTuple):
    """The operations of a stage in their order."""

    inputs: tuple[Value, ...]
    operations: list[Operation]
    outputs: tuple[Value, ...]


def recorded(stage: Callable[[Features], Features], tile: Features) -> Recording:
    """Run a stage on a tile, and return its operations.

    Args:
        stage: takes and returns a tuple of tensors, `(M, C, h, w)`.
        tile: what it is given; the values do not matter.

    Raises:
        FusionlabError: the stage writes in place to what other tensors share, or returns what does
            not depend on the tile (code `engine-unsupported`).
    """
    # outside of inference mode, where composite operations would not be taken apart
    with torch.inference_mode(mode=False), torch.no_grad():
        inputs = tuple(torch.zeros_like(tensor) for tensor in tile)
        with _Recorder(inputs) as recorder:
            outputs = stage(inputs)
        values = tuple(recorder.value(tensor) for tensor in outputs)
        if not all(isinstance(value, Value) for value in values):
            raise unsupported("a result that does not depend on the image")
        return Recording(recorder.inputs, recorder.operations, values)


def unsupported(what: str) -> FusionlabError:
    """Return the error of an engine that cannot do something that a backbone asks for."""
    return FusionlabError(
        f"the backbone needs {what}, which this engine cannot compute; choose the engine eager",
        code="engine-unsupported",
        option="engine",
    )


class _Recorder(TorchDispatchMode):
    """Sees every operation of this thread."""

    def __init__(self, inputs: Features) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._count = 0
        self._values: dict[int, Value] = {}
        self._tensors: list[Tensor] = []
        """Those with a value, which must stay alive: a number of `id` would be used again."""
        self._inputs = inputs
        self.inputs = tuple(map(self._named, inputs))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: telling the compiler to leave this alone would import it, for a second."""
        return False

    def value(self, leaf: object) -> Any:
        """Return the value of a tensor that depends on the tile; anything else as it is."""
        return self._values.get(id(leaf), leaf)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        arguments, named = tree_map(self.value, (args, kwargs))
        if not any(isinstance(leaf, Value) for leaf in _leaves((arguments, named))):
            return func(*args, **kwargs)
        if func._schema.is_mutable:  # noqa: SLF001  # the only way to ask
            self._check_alone(args[0], str(func))
        results = func(*args, **kwargs)
        values = tuple(map(self._named, _leaves(results)))
        self.operations.append(Operation(str(func), arguments, named, values))
        return results

    def _named(self, leaf: object) -> Value:
        if not isinstance(leaf, Tensor):
            raise unsupported("a number that depends on the image")
        value = self._values[id(leaf)] = Value(self._count, tuple(leaf.shape))
        self._tensors.append(leaf)
        self._count += 1
        return value

    def _check_alone(self, written: Tensor, name: str) -> None:
        """Refuse writes that other tensors would see."""
        storage = written.untyped_storage().data_ptr()
        sharing = {
            id(tensor) for tensor in self._tensors if tensor.untyped_storage().data_ptr() == storage
        }
        if sharing != {id(written)} or any(written is tensor for tensor in self._inputs):
            raise unsupported(f"{name} on a part of another tensor")


def _leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of nested tuples and lists; a `Value` is one."""
    yield from tree_leaves(tree, is_leaf=lambda node: isinstance(node, Value))
