"""The memory of a fusion on a CPU: measured in a process of its own.

In a process that has run before, memory that it has freed but kept would hide what is measured.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from fusionlab.bench.cases import Case
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import load_plugins

WARM_UP = 32
"""Edge of the first images, in pixels: with them the libraries are loaded."""


def peak_on_cpu(case: Case, threads: int, blocked: Sequence[str] = ()) -> int | None:
    """Return by how many bytes a fusion raises the memory of a process; None where none says.

    Network and sources lie in memory already; the result is part of it, and so is what an engine
    compiles for this size.

    Args:
        case: what to fuse.
        threads: that torch may use; each has memory of its own.
        blocked: plugins that are left out.

    Raises:
        FusionlabError: the case cannot be run, or its process was ended from outside.
    """
    if sys.platform == "win32":  # no module `resource`
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_growth, case, threads, tuple(blocked)).result()
        except BrokenProcessPool as error:
            raise FusionlabError(
                "the process that fuses was ended from outside, for want of memory most likely; "
                "choose a smaller size, or fewer sources"
            ) from error


def _growth(case: Case, threads: int, blocked: tuple[str, ...]) -> int:
    torch.set_num_threads(threads)  # of this process alone
    fusion = case.fusion("cpu", load_plugins(blocked))
    fusion(replace(case, width=WARM_UP, height=WARM_UP).images())
    images = case.images()
    _forget()
    before = _peak()
    fusion(images)
    return _peak() - before


def _forget() -> None:
    """Give back what is free, and let the peak of this process be what it holds now.

    Both where the system can do it: the GNU C library keeps what was freed for the next to come,
    and Linux the peak.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """Return the largest memory of this process so far, in bytes.

    On Linux `ru_maxrss` would not do: it begins with the memory of the process that started this
    one, and `_forget` does not reach it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (one for one in status.read_text("ascii").splitlines() if "VmHWM" in one)
        return 1024 * int(line.split()[1])
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss  # in bytes on macOS
