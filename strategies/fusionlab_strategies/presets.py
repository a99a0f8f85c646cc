"""The presets of this package: methods and metrics that the papers of a field print.

What a table compares is data: the methods of other packages are named here and have a row where
those are installed.
"""

from __future__ import annotations

from fusionlab import Preset

CLASSICS = (
    "adf",
    "cbf",
    "dchwt",
    "fpde",
    "gff",
    "gtf",
    "ifevip",
    "msvd",
    "ratio_pyramid",
    "tif",
    "wls",
)
"""The strategies of `fusionlab-classics` that a preset below names."""

_PACKAGES = {**dict.fromkeys(CLASSICS, "fusionlab-classics"), "cnn": "fusionlab-cnn"}

PAPER = Preset(
    name="paper",
    summary="l1norm without the window of Eq. 6, as the authors' program had it",
    strategies={"addition": {}, "l1norm": {"r": 0}},
)

IVIF = Preset(
    name="ivif",
    summary="infrared and visible: the methods that tables compare with, and their nine metrics",
    settings={"range_policy": "own", "color": "luma"},
    methods=(
        "laplacian_pyramid",
        *(name for name in CLASSICS),
        "cnn",
        "deepfuse/addition",
        "densefuse/addition",
        "densefuse/l1norm",
        "nestfuse/nestfuse",
    ),
    packages=_PACKAGES,
    metrics=("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM"),
)

PRESETS = [PAPER, IVIF]
