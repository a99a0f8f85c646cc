"""A fusionlab plugin: weights by double nonlocal attention, every pixel against the whole image.

For each source, with X = |phi_i| as a C x P matrix of P pixels, K its averages over about
`pool` x `pool` pixels (C x M), and n(E) = (E - min E) / (max E - min E):

    c_i = X + softmax(n(X X^T)) X                    channels attend to channels, (C, C)
    s_i = X + K softmax(n(X^T K))^T                  pixels attend to averages, (P, M)
    w_i = (c_i / sum_n c_n + s_i / sum_n s_n) / 2    element by element
    f   = sum_i w_i phi_i

Reference: Res2Fusion, Wang, Wu, Wang, Xu & Shao 2022, doi:10.1109/TIM.2021.3139654.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, StrategyRef, WeightedStrategy, hookimpl, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

_AT_ONCE = 2**20
"""How many entries of the P x M matrix exist at a time: 4 MiB in float32, and a few copies."""


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [
        StrategyRef("nonlocal", f"{__name__}:NonLocal", "Weight by attention over the whole image.")
    ]


@dataclass(frozen=True)
class NonLocal(WeightedStrategy):
    """Weight by attention over the whole image.

    One weight per source, channel and pixel. Needs the image in one piece. The P x M matrix of
    spatial attention, P^2 / pool^2 entries, is 11 GiB for one source of 768x576; it is never
    there as a whole, but made in blocks of rows, twice: for its range, and for the result (and
    once more each for gradients). So memory grows with the features alone, and time with the
    square of the number of pixels: half the `pool` takes four times as long, and so does an image
    of twice as many pixels.

    n(E) is in 0..1, so that no term of a softmax is more than e times another: attention adds
    little more than a mean to each feature. The weights are those of |phi_i| itself, drawn
    toward each other.

    Differs from the authors' program in these ways:

    * It takes minimum and maximum over a batch; here images do not see each other.
    * It takes features as they are, fit for the ReLU only: others would give weights below zero.
      Here attention sees their magnitudes, which is the same behind a ReLU.
    * It leaves out rows and columns beyond a multiple of 8, and fails below 8 pixels; here the
      windows of the averages are stretched to cover all pixels, so that a mirrored image gives
      the result mirrored. For multiples of 8 they are the same.
    * It adds 1e-10 to denominators, and divides 0 by 0 where all of E is one number: here weights
      sum to one, each is 1/k where all sources are zero, and such an E attends evenly.
    * It fuses two sources; here it is any number.
    """

    pool: Annotated[
        int, Interval(ge=1, le=256), "Edge of the windows whose averages pixels attend to."
    ] = 8

    @property
    def laws(self) -> frozenset[Law]:
        """Not of pictures that are moved: the windows stay where they are."""
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.FLIPS, Law.DOMINANCE}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, C, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        magnitudes = features.to(precise).abs()
        # common to all sources of an image, so that it changes no weight but keeps squares finite
        unit = magnitudes.detach().amax(dim=(0, 2, 3, 4), keepdim=True)
        magnitudes = magnitudes / torch.where(unit > 0, unit, 1)
        shares = [
            normalize(torch.stack([attend(x) for x in magnitudes.flatten(0, 1)]).view_as(features))
            for attend in (self._channels, self._pixels)
        ]
        return (shares[0] + shares[1]) / 2

    def _channels(self, x: Tensor) -> Tensor:
        """Let the channels of `(C, h, w)` attend to each other."""
        flat = x.flatten(1)
        energy = flat @ flat.T
        attention = _normalized(energy, energy.min(), energy.max()).softmax(dim=1)
        return x + (attention @ flat).view_as(x)

    def _pixels(self, x: Tensor) -> Tensor:
        """Let the pixels of `(C, h, w)` attend to averages over windows."""
        import torch
        from torch.nn.functional import adaptive_avg_pool2d
        from torch.utils.checkpoint import checkpoint

        height, width = (max(1, edge // self.pool) for edge in x.shape[1:])
        keys = adaptive_avg_pool2d(x, (height, width)).flatten(1)  # (C, M)
        pixels = x.flatten(1).T
        step = max(1, _AT_ONCE // keys.shape[1])
        blocks = [slice(start, start + step) for start in range(0, len(pixels), step)]
        least = most = (pixels[0] @ keys)[0]
        for block in blocks:
            # what a block needs for its gradient is made again, rather than kept for all blocks
            low, high = checkpoint(_limits, pixels[block], keys, use_reentrant=False)
            least, most = least.minimum(low), most.maximum(high)
        # written in place: small results between large blocks would keep the heap from shrinking
        attended = torch.empty_like(pixels)
        for block in blocks:
            attended[block] = checkpoint(
                _attended, pixels[block], keys, least, most, use_reentrant=False
            )
        return x + attended.T.reshape(x.shape)


def _limits(rows: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and largest energy of the pixels `(p, C)` and averages `(C, M)`."""
    energy = rows @ keys
    return energy.min(), energy.max()


def _attended(rows: Tensor, keys: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Return what the pixels `(p, C)` get from the averages `(C, M)` they attend to."""
    return _normalized(rows @ keys, least, most).softmax(dim=1) @ keys.T


def _normalized(energy: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Bring energies to 0..1; where they are all the same, to 0."""
    import torch

    spread = most - least
    return (energy - least) / torch.where(spread > 0, spread, 1)
