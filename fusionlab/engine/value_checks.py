"""Check values that are computed on the way, without waiting for a GPU.

Whoever reads a value from a GPU waits until all that was queued before it is computed, and queues
nothing more meanwhile. So what the checks of a call need is kept on the GPU, and is read once,
after everything has been queued. On a CPU there is nothing to wait for, and every check is made at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError


class ValueChecks:
    """The checks of one call, in the order in which their values were computed.

    Args:
        at_once: make each of them when it is added; else all when `settle` is called.
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._values: list[Tensor] = []
        self._checks: list[tuple[int, Callable[..., None]]] = []

    def add(self, values: Sequence[Tensor], check: Callable[..., None]) -> None:
        """Check some values.

        Args:
            values: tensors of one element, all on one device.
            check: is called with the values as floats, and raises if they are wrong.
        """
        together = torch.stack(list(values)).detach()
        if self._at_once:
            check(*together.tolist())
            return
        self._values.append(together.double())
        self._checks.append((len(values), check))

    def settle(self) -> None:
        """Make the checks that are left, in one go; raise what the first of them raises."""
        values, checks = self._values, self._checks
        self._values, self._checks = [], []
        if not checks:
            return
        numbers = iter(torch.cat(values).cpu().tolist())
        for count, check in checks:
            check(*(next(numbers) for _ in range(count)))


@contextmanager
def value_checks(device: torch.device) -> Iterator[ValueChecks]:
    """Check values that the block computes on a device, the last of them after the block.

    Where the block fails, wrong values before that are probably why, and what their check raises
    says more.
    """
    checks = ValueChecks(at_once=device.type != "cuda")
    try:
        yield checks
    except FusionlabError:
        with suppress(RuntimeError):  # of a GPU that computes no more
            checks.settle()
        raise
    checks.settle()
