"""What engines that come with an extra refuse, in the same words."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

import torch

from fusionlab.engine.precision import Precision
from fusionlab.errors import FusionlabError


def package_for_cpu(
    name: str, device: torch.device, precision: Precision, precisions: Collection[Precision]
) -> Any:
    """Return the package of an engine for CPUs; engine, package and extra have one name.

    Raises:
        FusionlabError: it is not installed, the device is not a CPU, or the precision is not one
            of those of the engine.
    """
    try:
        package = import_module(name)
    except ImportError as error:
        raise FusionlabError(
            f"the engine {name} needs a package that is not installed; install it with "
            f"pip install 'fusionlab-imaging[{name}]', or choose the engine eager"
        ) from error
    if device.type != "cpu":
        raise FusionlabError(
            f"the engine {name} runs on the cpu, got the device {device}; choose the engine "
            "eager or compile"
        )
    if precision not in precisions:
        raise FusionlabError(
            f"the engine {name} computes in {' or '.join(precisions)}, got {precision}"
        )
    return package
