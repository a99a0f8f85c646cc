"""Table II of DenseFuse: the published means over its twenty pairs, for comparison.

Li and Wu, IEEE TIP 2019, doi:10.1109/TIP.2018.2887342. The rows of DenseFuse are reproduced, to the
last digit but four of 56, by the authors' network of January 2018 with `range_policy=minmax` and,
for l1norm, r = 0. `NOTES` says which of the other rows can be reproduced.
"""

from __future__ import annotations

METRICS = ("EN", "Qabf@paper", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM")

_ROWS = {
    "CBF": (6.81494, 0.44119, 1.38963, 0.32012, 0.26619, 0.60304, 0.70879),
    "JSR": (6.78576, 0.32572, 1.59136, 0.18506, 0.14184, 0.53906, 0.75523),
    "GTF": (6.63597, 0.40992, 1.00488, 0.41004, 0.39384, 0.70369, 0.80844),
    "JSRSD": (6.78441, 0.32553, 1.59124, 0.18502, 0.14201, 0.53963, 0.75517),
    "CNN": (6.80593, 0.29451, 1.48060, 0.53954, 0.35746, 0.71109, 0.80772),
    "DeepFuse": (6.68170, 0.43989, 1.84525, 0.42438, 0.41357, 0.72949, 0.93353),
    "densefuse@1e0/addition": (6.66280, 0.44114, 1.84929, 0.42713, 0.41557, 0.73159, 0.93039),
    "densefuse@1e1/addition": (6.65139, 0.44039, 1.84549, 0.42707, 0.41552, 0.73246, 0.92896),
    "densefuse@1e2/addition": (6.65426, 0.44190, 1.84854, 0.42731, 0.41587, 0.73186, 0.92995),
    "densefuse@1e3/addition": (6.64377, 0.43831, 1.84172, 0.42699, 0.41558, 0.73259, 0.92794),
    "densefuse@1e0/l1norm,r=0": (6.83278, 0.47560, 1.71182, 0.43191, 0.38062, 0.71880, 0.85707),
    "densefuse@1e1/l1norm,r=0": (6.81348, 0.47680, 1.71264, 0.43224, 0.38048, 0.72052, 0.85803),
    "densefuse@1e2/l1norm,r=0": (6.83091, 0.47684, 1.71705, 0.43129, 0.38109, 0.71901, 0.85975),
    "densefuse@1e3/l1norm,r=0": (6.84189, 0.47595, 1.72000, 0.43147, 0.38404, 0.72106, 0.86340),
}

TABLE_II = {name: dict(zip(METRICS, row, strict=True)) for name, row in _ROWS.items()}
"""Row -> metric -> mean."""

METHODS = {
    "CBF": "cbf,variant=authors",
    "JSR": "jsr,variant=authors",
    "GTF": "gtf,solver=irn",
    "JSRSD": "jsrsd,variant=authors",
    "CNN": "cnn,variant=authors",
    "DeepFuse": "deepfuse/addition",
}
"""Row -> the method of ours that it belongs to; all other rows have the name of their method."""

PACKAGES = {
    **dict.fromkeys(("cbf", "jsr", "gtf", "jsrsd"), "fusionlab-classics"),
    "cnn": "fusionlab-cnn",
}
"""Strategy -> the distribution that offers it."""

NOTES = {
    "CBF": "the published SCD and MS_SSIM are means over 21 pairs, over which the author's program "
    "reproduces the SCD to the last digit. All other values are means over these 20; ours are "
    "equal to the last digit.",
    "JSR": "this row cannot be reproduced. Its dictionaries were trained from random starts "
    "and are not available. The images published in June 2018 were made with "
    "dictionaries trained anew, and lack a factor 1/sqrt(2) of the common part, as "
    "ours do with variant=authors; their EN is 6.440, their SCD over 21 pairs 1.751.",
    "GTF": "this row can be reproduced closely, not exactly: the authors' program, which "
    "stops after five loops and before the optimum, gives an EN of 6.637 and an SCD "
    "of 1.028 (1.013 over 21 pairs).",
    "JSRSD": "this row cannot be reproduced, because its dictionaries are not available. The "
    "images published in June 2018, with dictionaries trained anew, have an EN of "
    "6.749 and an SCD over 21 pairs of 1.598.",
    "CNN": "this row cannot be reproduced with the authors' program for infrared and visible"
    " images, which gives an EN of 7.066 and an SCD of 1.724 with their weights. The "
    "published images must come from another program, perhaps the one for focus "
    "stacks of 2017. Our row uses weights trained for this project.",
    "DeepFuse": "our row uses weights trained for this project. The published SCD and MS_SSIM are"
    " means over 21 pairs; over these 20 the authors' weights give 1.85782 and "
    "0.93429, and the published EN to the last digit.",
}
"""Row -> how and why ours differs from it."""
