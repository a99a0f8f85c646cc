"""Sum-modified-Laplacian: weight each source by the curvature of its features.

ML_i^m     = |2 phi - phi_left - phi_right| + |2 phi - phi_up - phi_down|,  phi = phi_i^m(x, y)
C_i        = mean of sum_m ML_i^m over a (2r+1)^2 window         activity
w_i        = C_i / sum_n C_n,   f = sum_i w_i phi_i              weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, box_average, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class SML(WeightedStrategy):
    """Weight each source by the sum-modified-Laplacian of its features.

    A measure of focus: flat regions and even slopes have none. Absolute values are taken in
    each direction, so that the curvatures of a saddle do not cancel as in the Laplacian.

    Differs from the reference, which measures the gray levels of one image with a step and a
    threshold: here the step is one pixel, nothing is cut off, channels are summed, and the
    weights are the ratio. Beyond the border the outermost pixel is repeated. Fusion programs
    that multiply the measure by a constant get the same weights.

    Reference: Nayar and Nakagawa, Shape from focus, doi:10.1109/34.308479.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the averaging window, in pixels (0: none)."
    ] = 1

    @property
    def support(self) -> int:
        return self.r + 1

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch
        from torch.nn.functional import pad

        precise = torch.promote_types(features.dtype, torch.float32)
        x = features.to(precise).flatten(0, 1)
        activity = torch.zeros_like(x[:, :1])
        for axis, beyond in ((-1, (1, 1, 0, 0)), (-2, (0, 0, 1, 1))):
            curvature = pad(x, beyond, mode="replicate").diff(n=2, dim=axis)
            activity = activity + curvature.abs().sum(dim=1, keepdim=True)
        return normalize(box_average(activity.unflatten(0, features.shape[:2]), self.r))
