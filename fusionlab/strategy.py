"""What a fusion strategy is: the rule that merges the features of k sources into one.

A strategy is a frozen dataclass whose annotated fields are its parameters; the command line,
the checks and the law suite all read them from there. Most rules give every source a weight
and derive from `WeightedStrategy`:

    @dataclass(frozen=True)
    class Mean(WeightedStrategy):
        \"\"\"Give every source the same weight.\"\"\"

        @property
        def support(self) -> int:
            return 0

        def weights(self, features: Tensor, scene: Scene) -> Tensor:
            return torch.full_like(features[:, :, :1], 1 / len(features))

A module with strategies imports torch inside its methods (or under `TYPE_CHECKING`), so that
`fusionlab fuse --strategy NAME --help` answers without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from fusionlab import params

if TYPE_CHECKING:
    from torch import Tensor


class Law(Enum):
    """What a rule may promise about itself; the law suite tests exactly what is claimed."""

    PERMUTATION = "the order of the sources does not matter"
    IDEMPOTENCE = "k copies of one source give that source back"
    CONVEXITY = "no result lies outside the range of the sources at that place"
    SCALE = "features c times as large give a result c times as large, c > 0"
    FLIPS = "a mirrored or quarter-turned input gives the result mirrored or turned"
    DUPLICATES = "giving a source twice changes nothing"
    DOMINANCE = "a source far more active than all others is the result"


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything a rule may look at besides the features, so that `fuse` never changes.

    A large image is fused in tiles; all of this is about the tile that is being fused.
    """

    sources: Tensor
    """The sources at this place, `(k, N, 1, H, W)` in 0..1, at image resolution."""
    level: int = 0
    """Which level of the backbone the features are of; 0 is the finest."""
    stride: int = 1
    """Image pixels per feature pixel of this level."""
    top: int = 0
    """Row of this tile's first pixel in the whole image."""
    left: int = 0
    """Column of this tile's first pixel in the whole image."""
    height: int | None = None
    """Rows of the whole image, extended to the multiple that the backbone needs."""
    width: int | None = None
    """Columns of the whole image, likewise. None, for both: the tile is the whole image."""


@dataclass(frozen=True)
class Strategy(ABC):
    """A rule that merges the features of several sources into one.

    Raises:
        FusionlabError: when built with a parameter out of its bounds.
    """

    min_k: ClassVar[int] = 2
    max_k: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        params.check(self)

    @property
    def support(self) -> int | None:
        """How many feature pixels away the rule looks; None: at the whole image.

        0 for a rule that treats every pixel by itself, r for a window of half-width r. A rule
        that says nothing is never cut into tiles: correct, but bounded by memory.
        """
        return None

    @property
    def laws(self) -> frozenset[Law]:
        """The laws this instance obeys; they may depend on its parameters."""
        return frozenset()

    @abstractmethod
    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        """Merge features `(k, N, C, h, w)` of one level into `(N, C, h, w)`.

        Must not change `features`, must treat the N images of a batch independently, and must
        be differentiable wherever the rule is.
        """


@dataclass(frozen=True)
class WeightedStrategy(Strategy):
    """A rule that gives each source a weight: f = sum_i w_i phi_i.

    The weights are not negative and sum to one over k, so the result is a convex combination
    of the sources: idempotence and convexity follow.
    """

    @property
    def laws(self) -> frozenset[Law]:
        """What follows from the weights alone; add what your activity brings."""
        return frozenset({Law.IDEMPOTENCE, Law.CONVEXITY})

    @abstractmethod
    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return weights that broadcast to the features `(k, N, C, h, w)`.

        `(k, N, 1, h, w)` per pixel, `(k, N, C, 1, 1)` per channel, and so on; not negative,
        summing to one over k. `normalise` turns activities into such weights.
        """

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weighted sum of the features, in their dtype."""
        weighted = self.weights(features, scene) * features
        return weighted.sum(dim=0).to(features.dtype)


def normalise(activities: Tensor) -> Tensor:
    """Turn activities `(k, ...)`, not negative, into weights that sum to one over k (Eq. 7).

    Where all activities are zero the weights are 1/k, and the gradients there are zero rather
    than NaN. The authors' programs divide 0 by 0 at such places, others add an epsilon to the
    denominator, and then the weights of weakly active places no longer sum to one.
    """
    import torch

    total = activities.sum(dim=0, keepdim=True)
    active = total > 0
    # the inner `where` keeps the division finite where its result is not used: the gradient of
    # the unused branch would otherwise be 0 x inf = NaN
    ratio = activities / torch.where(active, total, 1)
    return torch.where(active, ratio, 1 / len(activities))
