"""Entropy weights: one weight per source, by the entropy of its gray levels.

E_i = -sum_j p_i(j) log2 p_i(j)    p_i(j): share of the pixels of source i with gray level j
w_i = E_i / sum_n E_n,   f = sum_i w_i phi_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law, WeightedStrategy, histograms, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics


@dataclass(frozen=True)
class EntropyGlobal(WeightedStrategy):
    """Weight each source by the entropy of its image.

    One weight per source, the same at every pixel and channel. It looks at the sources, not at
    the features: at their 256 gray levels, to which 0..1 is rounded. A constant image has
    weight 0; if all are constant, each weighs 1/k. Noise has entropy too.

    Counts have no gradient, so the weights are constants for differentiation.

    The entropy is that of the padded image: where a size is not divisible by the backbone's
    `size_divisor`, the padding counts as well.

    Reference: entropy (EN), as in the measures of fusion; the program of U2Fusion,
    doi:10.1109/TPAMI.2020.3012548, has it as a comment next to the gradients it uses.
    """

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return how many pixels of each source have each gray level, `(k, N, 256)`."""
        import torch

        k, count = scene.sources.shape[:2]
        precise = torch.promote_types(scene.sources.dtype, torch.float32)
        levels = (
            scene.valid_region(scene.sources)
            .detach()
            .to(precise)
            .clamp(0, 1)
            .mul(255)
            .add(0.5)
            .floor()
            .long()
        )
        counts = histograms(levels.flatten(0, 1).flatten(1), 256)
        return {"counts": counts.view(k, count, 256)}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, 1, 1)`, from the sources of the scene."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        counts = self.image_statistics(features, scene)["counts"].to(precise)
        share = counts / counts.sum(dim=2, keepdim=True)
        entropy = -torch.xlogy(share, share).sum(dim=2)
        return normalize(entropy.clamp(min=0))[..., None, None, None].to(features.device)
