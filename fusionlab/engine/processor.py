"""Name the processor of this machine."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch


@cache
def processor_name() -> str:
    """Return the name of the processor, and its widest instruction set that torch supports."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # exists on Linux only
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, "") or platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
