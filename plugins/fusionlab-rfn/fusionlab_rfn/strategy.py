"""The residual fusion network (RFN) of RFN-Nest, on the features of a frozen backbone.

    f = g(a, b) + h(u(a), v(b))

a, b: features of the two sources; g, u, v: a 3x3 convolution and a ReLU each; h: three of them, the
first 1x1. The training minimizes the sum of two terms:

    detail  = W (1 - SSIM(F, B))                         F: the fused image, B: the second source
    feature = mean over features of (f - (s a + (1 - s) b))^2

References: RFN-Nest, doi:10.1016/j.inffus.2021.02.023, Eq. 3 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fusionlab import LearnedStrategy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fusionlab import Level


@dataclass(frozen=True)
class RFN(LearnedStrategy):
    """Merge two sources with a trained residual network.

    Give the infrared source first, the visible one second: the network is trained to keep the
    detail of the second and the brightness of the first, and declares no law.

    Differs from the paper in four ways. Borders are padded by replication; the released code
    mirrors them, which images of one pixel do not allow. The shares of the two sources in the
    feature term sum to one; the paper's, 6 and 3, ask for features nine times as large, and its
    program applies min-max normalization afterwards. The feature term is a mean, and weighs more
    against the detail. There is one level instead of four, that of the backbone.

    Raises:
        FusionlabError: there are not exactly two sources, or the weights are of another backbone.
    """

    max_k: ClassVar[int] = 2
    detail: ClassVar[float] = 30.0
    """W; alpha = 700 in the paper, where the feature term is a sum. Here it is a mean, and with 700
    a warm figure in front of a dark wood vanishes."""
    share: ClassVar[float] = 2 / 3
    """s; w_ir = 6 and w_vi = 3 in the paper."""

    @property
    def support(self) -> int:
        """One 3x3 convolution per source, then two."""
        return 3

    def network(self, level: Level) -> nn.Module:
        from fusionlab_rfn.network import Residual

        return Residual(level.channels)

    def losses(
        self,
        fused: Tensor,
        sources: Tensor,
        merged: Sequence[Tensor],
        features: Sequence[Tensor],
    ) -> Mapping[str, Tensor]:
        import torch

        from fusionlab.training.losses import ssim

        terms = [
            (output - (self.share * first + (1 - self.share) * second)).square().mean()
            for output, (first, second) in zip(merged, features, strict=True)
        ]
        return {
            "detail": self.detail * (1 - ssim(255 * fused, 255 * sources[1])),
            "feature": torch.stack(terms).mean(),
        }
