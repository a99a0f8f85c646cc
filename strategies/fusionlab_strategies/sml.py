"""Sum-modified-Laplacian: weight each source by the curvature of its features.

ML_i^m     = |2 phi - phi_left - phi_right| + |2 phi - phi_up - phi_down|,  phi = phi_i^m(x, y)
C_i        = mean of sum_m ML_i^m over a (2r+1)^2 window         activity
w_i        = C_i / sum_n C_n,   f = sum_i w_i phi_i              weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fusionlab import ActivityStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class SML(ActivityStrategy):
    """Weight each source by the sum-modified-Laplacian of its features.

    A measure of focus: flat regions and constant slopes have none. The absolute value is taken in
    each direction, so the curvatures of a saddle do not cancel as in the Laplacian.

    Differs from the reference, which measures the gray levels of one image with a variable step
    and a threshold: here the step is one pixel, there is no threshold, channels are summed, and
    the weights are the ratio. Beyond the border the outermost pixel is repeated. Fusion programs
    that multiply the measure by a constant get the same weights.

    Reference: Nayar and Nakagawa, Shape from focus, doi:10.1109/34.308479.
    """

    border: ClassVar[Literal["inside"]] = "inside"  # type: ignore[misc]  # no parameter here
    activity_support: ClassVar[int] = 1

    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the sum of the curvatures over the channels, `(k, N, 1, h, w)`."""
        import torch
        from torch.nn.functional import pad

        precise = torch.promote_types(features.dtype, torch.float32)
        x = features.to(precise).flatten(0, 1)
        total = torch.zeros_like(x[:, :1])
        for axis, padding in ((-1, (1, 1, 0, 0)), (-2, (0, 0, 1, 1))):
            curvature = pad(x, padding, mode="replicate").diff(n=2, dim=axis)
            total = total + curvature.abs().sum(dim=1, keepdim=True)
        activity: Tensor = total.unflatten(0, features.shape[:2])
        return activity
