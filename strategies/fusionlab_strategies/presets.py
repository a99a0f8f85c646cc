"""The presets of this package: methods and metrics that the papers of a field print.

What a table compares is data: the methods of other packages are named here and have a row where
those are installed.
"""

from __future__ import annotations

from fusionlab import Preset

INFRARED_CLASSICS = (
    "adf",
    "cbf",
    "dchwt",
    "dwt",
    "fpde",
    "gff",
    "gtf",
    "hmsd_gf",
    "hybrid_msd",
    "ifevip",
    "mdlatlrr",
    "msvd",
    "ratio_pyramid",
    "tif",
    "wls",
)
"""The strategies of `fusionlab-classics` that tables of infrared and visible images have."""

PACKAGES = {
    **dict.fromkeys((*INFRARED_CLASSICS, "mertens"), "fusionlab-classics"),
    "cnn": "fusionlab-cnn",
}
"""Strategy -> the distribution that offers it."""

SIMPLE = ("identity/mean", "identity/max", "laplacian_pyramid")
"""What anybody has without a network: a table shows at once where a method is worse.

`mertens` belongs to them where sources differ in exposure or focus.
"""

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
        *SIMPLE,
        *INFRARED_CLASSICS,
        "cnn",
        "deepfuse/addition",
        "densefuse/addition",
        "densefuse/l1norm",
        "nestfuse/nestfuse",
    ),
    packages=PACKAGES,
    metrics=("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM"),
)

# The methods of the presets below lead the tables of docs/results.md.

FOCUS = Preset(
    name="focus",
    summary="focus stacks: the methods that keep the sharpest source",
    settings={"range_policy": "clip"},
    methods=(
        *SIMPLE,
        "mertens",
        "gff",
        "cnn",
        "cbf",
        "laplacian_pyramid,select=consistency",
        "identity/spatial_frequency",
        "densefuse/spatial_frequency",
    ),
    packages=PACKAGES,
    metrics=("NMI", "SF", "Qabf", "SSIM", "VIF", "Q_CB"),
)

EXPOSURE = Preset(
    name="exposure",
    summary="exposure brackets: methods for any number of sources",
    settings={"range_policy": "clip"},
    methods=(
        *SIMPLE,
        "mertens",
        "gff",
        "identity/entropy_global",
        "laplacian_pyramid,select=consistency",
        "tif",
    ),
    packages=PACKAGES,
    metrics=("MS_SSIM", "EN", "SD", "MI", "Qabf", "SSIM", "VIF", "Q_CB"),
)

MEDICAL = Preset(
    name="medical",
    summary="CT, MRI and PET: clipped, because their black background must stay black",
    settings={"range_policy": "clip", "color": "luma"},
    methods=(
        *SIMPLE,
        "densefuse/choose_max",
        "densefuse/unfusion",
        "densefuse/l1norm",
        "gff",
    ),
    packages=PACKAGES,
    metrics=("EN", "SD", "MI", "Qabf", "SSIM", "MS_SSIM", "VIF", "Q_CB"),
)

PRESETS = [PAPER, IVIF, FOCUS, EXPOSURE, MEDICAL]
