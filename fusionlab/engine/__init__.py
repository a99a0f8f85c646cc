"""Engines: ways to run the frozen backbone of a fusion.

Read `base` (what an engine is), `eager` (the default), `pipeline` (how tiles pass through it).
This module registers the engines that ship with fusionlab; it does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusionlab.hookspecs import hookimpl
from fusionlab.plugins.engine_names import DEFAULT
from fusionlab.plugins.offers import EngineRef


@hookimpl
def fusionlab_defaults() -> Mapping[str, str]:
    """Return the engine that runs the backbone when the user does not choose one."""
    return {"engine": DEFAULT}


@hookimpl
def fusionlab_engines() -> Sequence[EngineRef]:
    """List the engines that ship with fusionlab."""
    return [
        EngineRef("eager", f"{__name__}.eager:Eager", "PyTorch, operation by operation."),
        EngineRef(
            "compile",
            f"{__name__}.compiled:Compiled",
            "torch.compile: for many images of one size on CUDA.",
        ),
        EngineRef(
            "openvino",
            f"{__name__}.openvino:OpenVINO",
            "OpenVINO, for CPUs (pip install 'fusionlab-imaging[openvino]').",
        ),
        EngineRef(
            "ncnn",
            f"{__name__}.ncnn:NCNN",
            "ncnn, for CPUs: the fastest in fp32 (pip install 'fusionlab-imaging[ncnn]').",
        ),
    ]
