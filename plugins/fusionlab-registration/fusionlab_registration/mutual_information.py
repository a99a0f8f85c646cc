"""The estimator `mutual-information`: between modalities.

References: double angles and gradient fields, Haber and Modersitzki 2007,
doi:10.3414/ME9046; mutual information, Viola and Wells 1997, doi:10.1023/A:1007958904918, and
Mattes et al. 2003, doi:10.1109/TMI.2003.809072.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionlab.registration.contract import Estimate
from fusionlab_registration.estimators import checked, floats
from fusionlab_registration.fit import Images
from fusionlab_registration.geometry import Model


def mutual_information(
    moving: NDArray[np.float32],
    fixed: NDArray[np.float32],
    *,
    model: Model,
    moving_valid: NDArray[np.bool_] | None = None,
    fixed_valid: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Estimate the transform between images of different modalities.

    Args:
        moving: (H, W), gray in 0..1.
        fixed: (H', W'), likewise; what is bright in one may be dark in the other.
        model: the family of the transform.
        moving_valid: which pixels are data; None: all.
        fixed_valid: likewise.

    Returns:
        The matrix from the fixed to the moving grid and a confidence, or the reason of a refusal.
    """
    return checked(Images(moving, fixed, floats(moving_valid), floats(fixed_valid)), model)
