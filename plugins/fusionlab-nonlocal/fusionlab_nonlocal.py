"""A fusionlab plugin: weights by double nonlocal attention of every pixel to the whole image.

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
    stored as a whole, but computed in blocks of rows, twice: for its range, and for the result (and
    once more each for gradients). So memory grows with the features alone, and time with the
    square of the number of pixels: half the `pool` takes four times as long, and so does an image
    of twice as many pixels.

    n(E) is in 0..1, so no term of a softmax is more than e times another: attention adds little
    more than a mean to each feature. The weights are close to those of |phi_i| itself, but less
    different from each other.

    Differs from the authors' program in these ways:

    * It takes minimum and maximum over a batch; here the images of a batch are independent.
    * It uses signed features, which suits the output of a ReLU only: others would give negative
      weights. Here attention uses magnitudes, which is the same after a ReLU.
    * It drops rows and columns beyond a multiple of 8, and fails below 8 pixels; here the windows
      of the averages are enlarged to cover all pixels, so a mirrored image gives the mirrored
      result. For multiples of 8 both are the same.
    * It adds 1e-10 to denominators, and divides 0 by 0 where E is constant: here weights sum to
      one, each is 1/k where all sources are zero, and a constant E gives uniform attention.
    * It fuses two sources; here any number.
    """

    pool: Annotated[
        int, Interval(ge=1, le=256), "Edge of the windows whose averages pixels attend to."
    ] = 8

    @property
    def laws(self) -> frozenset[Law]:
        """No translation: the windows do not move with the image."""
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
        lowest = highest = (pixels[0] @ keys)[0]
        for block in blocks:
            # recompute each block for its gradient instead of storing all blocks
            low, high = checkpoint(_limits, pixels[block], keys, use_reentrant=False)
            lowest, highest = lowest.minimum(low), highest.maximum(high)
        # written in place: small results between large blocks would fragment the heap
        attended = torch.empty_like(pixels)
        for block in blocks:
            attended[block] = checkpoint(
                _attended, pixels[block], keys, lowest, highest, use_reentrant=False
            )
        return x + attended.T.reshape(x.shape)


def _limits(rows: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and largest energy of the pixels `(p, C)` and averages `(C, M)`."""
    energy = rows @ keys
    return energy.min(), energy.max()


def _attended(rows: Tensor, keys: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Return the attention `(p, C)` of the pixels `(p, C)` to the averages `(C, M)`."""
    return _normalized(rows @ keys, lowest, highest).softmax(dim=1) @ keys.T


def _normalized(energy: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Normalize energies to 0..1, or to 0 where all are equal."""
    import torch

    spread = highest - lowest
    return (energy - lowest) / torch.where(spread > 0, spread, 1)
