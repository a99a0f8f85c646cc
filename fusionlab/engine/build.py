"""Build an engine by name."""

from __future__ import annotations

import torch

from fusionlab.backbone import Backbone
from fusionlab.engine.base import Engine
from fusionlab.engine.pair import Pair
from fusionlab.engine.precision import Precision, check_precision
from fusionlab.plugins.engine_names import engines_named
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.plugins.offers import EngineRef
from fusionlab.plugins.registry import Plugins, Registration


def build_engine(
    name: str, backbone: Backbone, device: torch.device, precision: Precision, plugins: Plugins
) -> Engine:
    """Build the engine `[PLUGIN:]NAME`, or two of them, `ENCODER+DECODER`.

    Raises:
        FusionlabError: there is no engine of this name (code `unknown-name`), or it does not
            support the device or the precision.
    """
    registrations = engines_named(name, plugins)
    check_precision(precision, device)
    engines = [_built(each, backbone, device, precision) for each in registrations]
    return engines[0] if len(engines) == 1 else Pair(*engines)


def _built(
    registration: Registration[EngineRef],
    backbone: Backbone,
    device: torch.device,
    precision: Precision,
) -> Engine:
    with attribute_errors_to(registration):
        cls = registration.ref.load()
        if not (isinstance(cls, type) and issubclass(cls, Engine)):
            raise TypeError(f"{registration.ref.target} is not a fusionlab.Engine")
        engine = cls(backbone, device, precision)
        if not isinstance(engine.dtype, torch.dtype) or engine.pixels_at_once < 1:
            raise TypeError("an engine has a dtype, and encodes at least one pixel at once")
        return engine
