"""A GPU that is not there: tensors that claim to be on it, and a list of what would wait for it.

torch's fake tensors have a shape, a dtype and a device, but no values. Operations between two
devices fail as they do on a GPU. What needs the values (`item`, `tolist`, a mask as an index, a
shape that depends on them) raises; on a GPU it makes the host wait until everything before it is
computed, a synchronization. Copies between host and device wait, too, unless they are
asynchronous; these are written down.

It needs no GPU and no CUDA build of torch. It does not compute: values are compared on a GPU only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

CUDA = torch.device("cuda", 0)

READ_VALUES = aten._local_scalar_dense.default
"""What `item`, `tolist`, `float` and `bool` of a tensor call."""

COPIES = {aten._to_copy.default, aten.copy_.default}


class FakeCuda:
    """Makes fake tensors, and knows what would have waited for the device."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        self.waits: Counter[str] = Counter()
        """How often the host would have waited: operation -> times."""

    def tensor(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor on the device."""
        return FakeTensor(self._mode, torch.empty(shape, dtype=dtype, device="meta"), CUDA)

    def like(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device in the form of another one."""
        return self.tensor(*tensor.shape, dtype=tensor.dtype)

    def module(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, in place."""
        return _applied(module, self.like)


@contextmanager
def fake_cuda(believe: Callable[[Tensor], float] | None = None) -> Iterator[FakeCuda]:
    """Let torch compute with tensors on a GPU that is not there, without gradients.

    Args:
        believe: returns the value that a tensor of one element is taken to have where it is asked
            for; None: asking raises `DataDependentOutputException`.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    device = FakeCuda(mode)
    with (
        torch.no_grad(),  # in a torch without CUDA, its graph of gradients ends the process
        mode,
        _Watch(device, believe),
        _Host(),
        patch.object(nn.Module, "_apply", _applied),
    ):
        yield device


def _applied(module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    """Do what `nn.Module.to` and its relatives do; torch refuses to exchange fake parameters."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                new = nn.Parameter(function(parameter.detach()), parameter.requires_grad)
                part._parameters[name] = new
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = function(buffer)
    return module


class _Watch(TorchDispatchMode):
    """Writes down what waits for the device."""

    def __init__(self, device: FakeCuda, believe: Callable[[Tensor], float] | None) -> None:
        super().__init__()
        self._device, self._believe = device, believe

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        if function is READ_VALUES:
            if args[0].device.type == "cuda":
                self._device.waits["value"] += 1
                if self._believe is None:
                    return function(*args, **kwargs)  # raises
            return 1.0 if self._believe is None else self._believe(args[0])
        result = function(*args, **kwargs)
        if function in COPIES and not _is_asynchronous(function, args, kwargs):
            source = args[1] if function is aten.copy_.default else args[0]
            kinds = source.device.type, result.device.type
            if "cuda" in kinds and kinds != ("cuda", "cuda"):
                self._device.waits[" to ".join(kinds)] += 1
        return result


def _is_asynchronous(function: Any, args: Any, kwargs: Any) -> bool:
    if function is aten.copy_.default:
        return bool(args[2] if len(args) > 2 else kwargs.get("non_blocking"))
    return bool(kwargs.get("non_blocking"))


class _Host(TorchFunctionMode):
    """Stands in for what torch asks the CUDA library itself.

    That is page-locked memory, and the values of an array, which are zeros here; and, in a torch
    that was built without CUDA, how tensors move to the device and are indexed there.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = dict(kwargs or {})
        if function is Tensor.pin_memory:
            return args[0].clone()
        if function is Tensor.numpy:
            return np.zeros(args[0].shape, str(args[0].dtype).removeprefix("torch."))
        kwargs.pop("pin_memory", None)
        if torch.backends.cuda.is_built():
            return function(*args, **kwargs)
        stand_in = _STAND_INS.get(function, function)
        return stand_in(*args, **kwargs)


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Do what `Tensor.to` does, with the operation below it."""
    for argument in args:
        if isinstance(argument, Tensor):
            kwargs.update(device=argument.device, dtype=argument.dtype)
        elif isinstance(argument, torch.dtype):
            kwargs["dtype"] = argument
        elif isinstance(argument, bool):
            kwargs["non_blocking"] = argument
        elif argument is not None:
            kwargs["device"] = torch.device(argument)
    device = torch.device(kwargs.get("device") or tensor.device)
    device = CUDA if device.type == "cuda" else device
    dtype = kwargs.get("dtype") or tensor.dtype
    order = kwargs.get("memory_format") or torch.preserve_format
    fits = order is torch.preserve_format or tensor.is_contiguous(memory_format=order)
    if not kwargs.get("copy") and fits and (device, dtype) == (tensor.device, tensor.dtype):
        return tensor
    moved: Tensor = aten._to_copy(
        tensor,
        device=device,
        dtype=dtype,
        non_blocking=bool(kwargs.get("non_blocking")),
        memory_format=order,
    )
    return moved


def _view(tensor: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Apply what an index has in slices and numbers; return the tensors of it, by axis, too."""
    items = list(index) if isinstance(index, tuple) else [index]
    taken = sum(_axes(item) for item in items if item is not Ellipsis)
    at = next((n for n, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + 1] = [slice(None)] * (tensor.ndim - taken)
    tensors: list[Tensor | None] = []
    for item in items:
        axis = len(tensors)
        if item is None:
            tensor = aten.unsqueeze(tensor, axis)
        elif isinstance(item, slice):
            tensor = aten.slice.Tensor(tensor, axis, item.start, item.stop, item.step or 1)
        elif isinstance(item, int):
            tensor = aten.select.int(tensor, axis, item)
            continue
        else:
            numbers = torch.as_tensor(item)
            if numbers.dtype == torch.bool:
                aten.nonzero(numbers)  # raises: the shape depends on values
            tensors.append(numbers)
            continue
        tensors.append(None)
    return tensor, tensors


def _axes(item: Any) -> int:
    """Return how many axes a part of an index takes."""
    if item is None:
        return 0
    return item.ndim if isinstance(item, Tensor) and item.dtype == torch.bool else 1


def _indexed(tensor: Tensor, index: Any) -> Tensor:
    view, tensors = _view(tensor, index)
    result: Tensor = view
    if any(item is not None for item in tensors):
        result = aten.index.Tensor(view, tensors)
    return result


def _set(tensor: Tensor, index: Any, value: Any) -> None:
    view, tensors = _view(tensor, index)
    if not isinstance(value, Tensor):
        value = view.new_full((), value)
    if any(item is not None for item in tensors):
        aten.index_put_(view, tensors, value)
    else:
        aten.copy_(view, value)


def _contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format):
    fits = tensor.is_contiguous(memory_format=memory_format)
    return tensor if fits else aten.clone(tensor, memory_format=memory_format)


def _new_tensor(tensor: Tensor, data: Any, dtype: torch.dtype | None = None) -> Tensor:
    return torch.tensor(data, dtype=dtype or tensor.dtype, device=tensor.device)


_STAND_INS: dict[Any, Callable[..., Any]] = {
    Tensor.__bool__: lambda tensor: bool(tensor.item()),
    Tensor.__float__: lambda tensor: float(tensor.item()),
    Tensor.__getitem__: _indexed,
    Tensor.__int__: lambda tensor: int(tensor.item()),
    Tensor.__invert__: aten.bitwise_not,
    Tensor.__setitem__: _set,
    Tensor.contiguous: _contiguous,
    Tensor.copy_: lambda tensor, source, non_blocking=False: aten.copy_(
        tensor, source, non_blocking
    ),
    Tensor.cuda: lambda tensor: _moved(tensor, CUDA),
    Tensor.new_tensor: _new_tensor,
    Tensor.nonzero: aten.nonzero,
    Tensor.to: _moved,
}
"""What a torch that was built without CUDA refuses to do with tensors there, and what does it."""
