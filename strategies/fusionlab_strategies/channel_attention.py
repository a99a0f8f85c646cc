"""Channel attention (NestFuse): weight each channel of each source by its pooled activity.

a_i^m = mean_{x,y} |phi_i^m|            pool=avg
      = max_{x,y} |phi_i^m|             pool=max
      = sum of the singular values of the h x w matrix phi_i^m    pool=nuclear
w_i^m = a_i^m / sum_n a_n^m,   f^m = sum_i w_i^m phi_i^m
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import Law, WeightedStrategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics


@dataclass(frozen=True)
class ChannelAttention(WeightedStrategy):
    """Weight each channel of each source by its activity over the whole image.

    One weight per source and channel, the same at every pixel. `pool` is how a channel's
    activity is pooled; the three are those of the authors' program. The paper's channel attention
    is half of `nestfuse`.

    Differs from the authors' program in three ways. It adds 1e-5 to the denominator, so that the
    weights of weakly active channels do not sum to one; here they do, and a channel that is dead
    in all sources weighs 1/k. It pools signed features, which suits the output of a ReLU
    only; here absolute values are pooled, which gives the same there and no negative weights
    elsewhere. Its nuclear norm uses the first image of a batch only and adds 1e-5 to each feature;
    here it is computed for every image, without an offset.

    With `pool=nuclear` the time grows with the cube of the shorter edge.

    Reference: NestFuse, doi:10.1109/TIM.2020.3005230.
    """

    pool: Annotated[
        Literal["avg", "max", "nuclear"], "How the activity of a channel is pooled over the image."
    ] = "avg"

    @property
    def support(self) -> int | None:
        """0, or None for a nuclear norm, which cannot be merged from those of tiles."""
        return None if self.pool == "nuclear" else 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the activity `(k, N, C)` of each channel: sum, maximum or nuclear norm."""
        import torch

        region = scene.valid_region(features)
        if self.pool == "avg":  # the number of pixels is the same for all sources
            return {"activity": region.abs().sum(dim=(-2, -1), dtype=torch.float64)}
        if self.pool == "max":
            return {"activity": region.abs().amax(dim=(-2, -1)).double()}
        precise = torch.promote_types(features.dtype, torch.float32)
        return {"activity": torch.linalg.svdvals(region.to(precise)).sum(dim=-1)}

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        """Add up sums, keep the larger maximum."""
        if self.pool == "max":
            return {"activity": one["activity"].maximum(other["activity"])}
        return super().merge(one, other)

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, C, 1, 1)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        activity = self.image_statistics(features, scene)["activity"]
        return normalize(activity[..., None, None]).to(precise)
