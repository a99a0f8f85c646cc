"""The estimator `ecc`: within a modality, such as focus stacks and exposure brackets.

The enhanced correlation coefficient, Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113,
of gradients that are compared with those around them. So a change of exposure changes little, and
neither does saturation: what the median-threshold bitmaps of Ward 2003,
doi:10.1080/10867651.2003.10487583, are for. Unlike those, gradients tell a scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionlab.registration.contract import Estimate
from fusionlab_registration.estimators import checked, floats
from fusionlab_registration.fit import Images
from fusionlab_registration.geometry import Model


def ecc(
    moving: NDArray[np.float32],
    fixed: NDArray[np.float32],
    *,
    model: Model,
    moving_valid: NDArray[np.bool_] | None = None,
    fixed_valid: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Estimate the transform between images of one modality, sub-pixel.

    Args:
        moving: (H, W), gray in 0..1.
        fixed: (H', W'), likewise; dark where the moving image is dark.
        model: the family of the transform.
        moving_valid: which pixels are data; None: all.
        fixed_valid: likewise.

    Returns:
        The matrix from the fixed to the moving grid and a confidence, or the reason of a refusal.
    """
    masks = floats(moving_valid), floats(fixed_valid)
    return checked(Images(moving, fixed, *masks, doubled=False, share=0.0), model)
