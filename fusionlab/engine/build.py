"""The engines there are, by name; each is imported when it is chosen."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, get_args

import torch

from fusionlab.backbone import Backbone
from fusionlab.engine.base import Engine
from fusionlab.engine.precision import Precision, check_precision
from fusionlab.errors import FusionlabError

EngineName = Literal["eager", "compile", "openvino"]

_CLASSES = {"eager": "eager:Eager", "compile": "compiled:Compiled", "openvino": "openvino:OpenVINO"}


def build_engine(
    name: EngineName, backbone: Backbone, device: torch.device, precision: Precision
) -> Engine:
    """Build the engine that a name stands for.

    Raises:
        FusionlabError: there is none of this name, or it cannot run there or in this precision.
    """
    if name not in get_args(EngineName):
        raise FusionlabError(
            f"the engine must be one of {', '.join(get_args(EngineName))}, got {name!r}"
        )
    check_precision(precision, device)
    module, _, cls = _CLASSES[name].partition(":")
    engine: Engine = getattr(import_module(f"fusionlab.engine.{module}"), cls)(
        backbone, device, precision
    )
    return engine
