"""Devices: find the one that is asked for, and try it."""

from __future__ import annotations

import torch

from fusionlab.errors import FusionlabError


def available_device(name: str | torch.device) -> torch.device:
    """Return a device by name.

    Raises:
        FusionlabError: it does not exist here, or cannot compute.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).cpu()
    except Exception as error:  # each torch backend raises errors of its own
        reason = str(error).partition("\n")[0]
        raise FusionlabError(
            f"the device {name!s} is not available: {reason}; try cpu",
            code="no-device",
            option="device",
        ) from error
    return device
