"""Metrics of fusion quality: one family a file, listed in the catalog.

    import torch
    from fusionlab.metrics.edges import qabf

    qabf(fused, torch.stack([infrared, visible]))          # (N,) values of N images

Every metric is a function of the fused images `(N, H, W)` and their sources `(k, N, H, W)` in
gray levels, 0..255, and returns N values in float64, on the device of the images. What it is
called, in which direction it is better, what it does for k > 2 and which other programs it can
reproduce stands in its entry of the catalog; see also `docs/metrics.md`.

The shipped metrics register as those of a stranger's package do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusionlab.hookspecs import hookimpl
from fusionlab.metrics.catalog import CATALOG
from fusionlab.plugins.offers import MetricRef
from fusionlab.plugins.presets import Preset


@hookimpl
def fusionlab_defaults() -> Mapping[str, str]:
    """Say what is computed when nobody chooses: a metric of each family, all of them symmetric."""
    return {"metrics": "EN MI SD Qabf SCD VIF SSIM MS_SSIM"}


@hookimpl
def fusionlab_presets() -> Sequence[Preset]:
    """Registration the metrics of the paper, in the order of its Table II."""
    return [
        Preset(
            name="paper",
            summary="the seven metrics of Table II, as the authors' programs compute them",
            metrics=("EN", "Qabf@paper", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"),
        )
    ]


@hookimpl
def fusionlab_metrics() -> Sequence[MetricRef]:
    """List the metrics that ship with fusionlab."""
    return CATALOG
