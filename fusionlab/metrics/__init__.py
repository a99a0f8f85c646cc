"""Metrics of fusion quality: one family a file, listed in the catalog.

    import torch
    from fusionlab.metrics import qabf, ssim

    qabf(fused, torch.stack([infrared, visible]))          # (N,) values of N images

Every metric is a function of the fused images `(N, H, W)` and their sources `(k, N, H, W)` in
gray levels, 0..255, and returns N values in float64, on the device of the images. Those in `colors`
take `(N, 3, H, W)` and `(k, N, 3, H, W)`. The entry of a metric in the catalog has its name and
direction, its definition for k > 2, and the programs that it can reproduce; see also
`docs/metrics.md`. Read `catalog`, then `inputs`, then one family.

The metrics in `temporal` are functions of consecutive frames, `(T, H, W)` and `(k, T, H, W)`, and
return a value for each step; those that need optical flow take it as an argument.

The functions are imported on first use. The shipped metrics register as those of any plugin do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fusionlab.hookspecs import hookimpl
from fusionlab.metrics.catalog import CATALOG, TEMPORAL_CATALOG
from fusionlab.plugins.offers import MetricRef, TemporalMetricRef
from fusionlab.plugins.presets import Preset

if TYPE_CHECKING:
    from fusionlab.plugins.offers import MetricFunction, TemporalMetricFunction

_SHIPPED: tuple[MetricRef | TemporalMetricRef, ...] = (*CATALOG, *TEMPORAL_CATALOG)
_FUNCTIONS = {ref.target.partition(":")[2]: ref for ref in _SHIPPED}

__all__ = sorted(_FUNCTIONS)  # noqa: PLE0605  # the catalog is the list


def __getattr__(name: str) -> MetricFunction | TemporalMetricFunction:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = _FUNCTIONS[name].load()
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@hookimpl
def fusionlab_defaults() -> Mapping[str, str]:
    """Return the metrics that are computed by default.

    One of each family, all symmetric; of sequences also the one that needs no optical flow.
    """
    return {"metrics": "EN MI SD Qabf SCD VIF SSIM MS_SSIM", "temporal metrics": "flicker"}


@hookimpl
def fusionlab_presets() -> Sequence[Preset]:
    """Return the metrics of the paper, in the order of its Table II."""
    return [
        Preset(
            name="paper",
            summary="the seven metrics of Table II, as the authors' programs compute them",
            metrics=("EN", "Qabf@paper", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"),
        )
    ]


@hookimpl
def fusionlab_metrics() -> Sequence[MetricRef | TemporalMetricRef]:
    """List the metrics that ship with fusionlab."""
    return _SHIPPED
