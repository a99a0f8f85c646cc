"""Measure the memory of a fusion on a CPU, in a process of its own.

In a process that has run before, memory that was freed but not returned to the system would hide
the growth.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from fusionlab.bench.cases import Case
from fusionlab.errors import FusionlabError, PluginWarning
from fusionlab.plugins.host import load_plugins

WARM_UP_SIZE = 32
"""Edge of the first images, in pixels; their fusion loads the libraries."""


def peak_on_cpu(case: Case, threads: int, blocked: Sequence[str] = ()) -> int | None:
    """Return by how many bytes a fusion raises the peak memory of a process; None on Windows.

    Network and sources are in memory before. The result counts, and so does what an engine
    compiles for this size.

    Args:
        case: what to fuse.
        threads: number of threads that torch may use; each has memory of its own.
        blocked: plugins that are left out.

    Raises:
        FusionlabError: the case cannot be run, or its process was killed (code `killed`).
    """
    if sys.platform == "win32":  # no module `resource`
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_growth, case, threads, tuple(blocked)).result()
        except BrokenProcessPool as error:
            raise FusionlabError(
                "the process that fuses was killed, probably because memory ran out; choose a "
                "smaller size, or fewer sources",
                code="killed",
                option="size",
            ) from error


def _growth(case: Case, threads: int, blocked: tuple[str, ...]) -> int:
    torch.set_num_threads(threads)  # of this process only
    warnings.simplefilter("ignore", PluginWarning)  # the parent has said it
    fusion = case.fusion("cpu", load_plugins(blocked))
    fusion(replace(case, width=WARM_UP_SIZE, height=WARM_UP_SIZE).images())
    images = case.images()
    _reset_peak()
    before = _peak()
    fusion(images)
    return _peak() - before


def _reset_peak() -> None:
    """Return free memory to the system, and reset the peak of this process to its present size.

    The former works with the GNU C library, the latter on Linux; elsewhere nothing happens.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """Return the peak memory of this process so far, in bytes.

    On Linux `ru_maxrss` is no use: it starts with the memory of the parent process, and
    `_reset_peak` does not reset it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text("ascii").splitlines() if "VmHWM" in line)
        return 1024 * int(line.split()[1])
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss  # in bytes on macOS
