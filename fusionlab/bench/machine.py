"""Describe the machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from fusionlab.storage.versions import library_versions

LIBRARIES = ("fusionlab-imaging", "torch", "openvino", "numpy")
"""The distributions that compute."""


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return the device, versions and the load of the machine; plain values for JSON."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
    return {
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": None if load is None else round(load, 1),
        "system": platform.platform(terse=True),
        "versions": {
            "python": platform.python_version(),
            **library_versions(LIBRARIES),
            **({"cuda": torch.version.cuda} if device.type == "cuda" else {}),
        },
    }


def _processor() -> str:
    """Return the name of the processor, and its widest instruction set that torch supports."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # exists on Linux only
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, "") or platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
