"""Build an engine by name."""

from __future__ import annotations

import torch

from fusionlab.backbone import Backbone
from fusionlab.engine.base import Engine
from fusionlab.engine.precision import Precision, check_precision
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.plugins.registry import Plugins


def build_engine(
    name: str, backbone: Backbone, device: torch.device, precision: Precision, plugins: Plugins
) -> Engine:
    """Build the engine `[PLUGIN:]NAME`.

    Raises:
        FusionlabError: there is no engine of this name (code `unknown-name`), or it does not
            support the device or the precision.
    """
    registration = plugins.engines.find(name)
    check_precision(precision, device)
    with attribute_errors_to(registration):
        cls = registration.ref.load()
        if not (isinstance(cls, type) and issubclass(cls, Engine)):
            raise TypeError(f"{registration.ref.target} is not a fusionlab.Engine")
        engine = cls(backbone, device, precision)
        if not isinstance(engine.dtype, torch.dtype) or engine.pixels_at_once < 1:
            raise TypeError("an engine has a dtype, and encodes at least one pixel at once")
        return engine
