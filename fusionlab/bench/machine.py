"""Describe the machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from fusionlab.engine.processor import processor_name
from fusionlab.storage.versions import library_versions

LIBRARIES = ("fusionlab-imaging", "torch", "openvino", "ncnn", "numpy")
"""The distributions that compute."""


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return the device, versions and the load of the machine; plain values for JSON."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
    return {
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "processor": processor_name(),
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
