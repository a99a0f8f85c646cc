"""numpy for arrays, torch for tensors, so that a formula is written once.

A function that takes either asks for the namespace of what it got, and calls what both have, under
the same name and with the same arguments: `where`, `stack`, `concatenate`, `floor`, `clip`, `amin`
and `amax` with `axis` and `keepdims`, which torch takes, too. What differs is here.

Nothing here imports torch: who holds a tensor has imported it. The package array-api-compat, which
does the same for more libraries, imports all of numpy, which takes longer than reading an image.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = Any
"""A numpy array or a torch tensor; those of one call are all of one kind."""

ArrayT = TypeVar("ArrayT")
"""An array or a tensor; the result is of the same kind."""

_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def is_tensor(value: object) -> bool:
    """Return whether something is a tensor of torch."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(value, kind)


def is_on_cuda(array: Array) -> bool:
    """Return whether something is a tensor on a GPU of CUDA."""
    return is_tensor(array) and array.device.type == "cuda"


def namespace_of(array: Array) -> Any:
    """Return torch for a tensor, numpy for anything else."""
    if is_tensor(array):
        return sys.modules["torch"]
    import numpy as np

    return np


def dtype_name(array: Array) -> str:
    """Return the name of the dtype of an array or a tensor, such as `uint8` or `bfloat16`."""
    return str(array.dtype).removeprefix("torch.")


def as_dtype(array: Array, name: str) -> Array:
    """Return an array or a tensor in the dtype of a name; itself where it has that dtype."""
    if is_tensor(array):
        return array.to(getattr(sys.modules["torch"], name))
    return array.astype(name, copy=False)


def like(values: Array, model: Array) -> Array:
    """Return an array or a tensor as a tensor where the model is one, on its device."""
    if not is_tensor(model):
        return values
    tensor = sys.modules["torch"].as_tensor(values)
    if not is_on_cuda(model) or tensor.device.type != "cpu":
        return tensor.to(model.device)
    return tensor.pin_memory().to(model.device, non_blocking=True)  # the host does not wait


def as_array(values: Array) -> NDArray[Any]:
    """Return an array, or the values of a tensor, which numpy has: bfloat16 becomes float32."""
    if not is_tensor(values):
        import numpy as np

        return np.asarray(values)
    tensor = values.detach().cpu()
    values = tensor.float() if dtype_name(tensor) == "bfloat16" else tensor
    return values.numpy()  # type: ignore[no-any-return]


def detached(array: Array) -> Array:
    """Return an array, or a tensor through which no gradients flow."""
    return array.detach() if is_tensor(array) else array


def contiguous(array: Array) -> Array:
    """Return a copy of a part that skips some values, which would keep the whole alive."""
    return array.contiguous() if is_tensor(array) else namespace_of(array).ascontiguousarray(array)


def is_floating(dtype: str) -> bool:
    """Return whether a dtype, by its name, is one of floats."""
    return "float" in dtype


def item_size(dtype: str) -> int:
    """Return the bytes of a value of a dtype, by its name."""
    bits = re.search(r"\d+$", dtype)
    return int(bits[0]) // 8 if bits else 1  # truth values


def eps(dtype: str) -> float:
    """Return the distance from 1 to the next float of a dtype, by its name."""
    return _EPS[dtype]
