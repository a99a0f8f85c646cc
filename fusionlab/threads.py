"""How many cores this process may use.

The number of processors of the machine says little: a process may be bound to some of them, and a
container may be given the time of two of sixty-four. Threads beyond that wait for each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
"""Where Linux tells which core each processor belongs to."""

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells what the groups of processes may use."""

OF_THIS_PROCESS = Path("/proc/self/cgroup")
"""The groups that this process belongs to."""


def available_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    The smaller of the cores that it is bound to (`taskset`, a batch system) and of the processor
    time that its control groups grant (`docker run --cpus`), rounded up. Two processors of one
    core count once, since a network keeps the whole core busy.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len({_core(processor) for processor in os.sched_getaffinity(0)})
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas())]))


def _core(processor: int) -> tuple[str, str]:
    """Return what is the same for all processors of a core."""
    topology = CPUS / f"cpu{processor}" / "topology"
    try:
        package = (topology / "physical_package_id").read_text().strip()
        return package, (topology / "core_id").read_text().strip()
    except OSError:  # some virtual machines do not tell
        return "", str(processor)


def _quotas() -> Iterator[float]:
    """Yield the numbers of cores whose time the groups of this process may use."""
    try:
        lines = OF_THIS_PROCESS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or controllers not in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            continue
        root = CGROUPS if controllers == "" else CGROUPS / "cpu"
        # a group is limited by those around it; inside a container the path may be that of the host
        group = Path(path.lstrip("/"))
        for folder in (root / group, *(root / parent for parent in group.parents)):
            quota = _second_version(folder) if controllers == "" else _first_version(folder)
            if quota is not None and quota > 0:
                yield quota


def _second_version(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _first_version(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None
