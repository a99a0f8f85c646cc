"""Faulty strategies with one typical mistake each, and the laws that they break.

All are derived from `Sound`, which is `l1norm` without a window and keeps all laws that it
declares. The laws include those that break as a consequence: a floor under the activities, for
example, keeps a source from dominating.
"""

from collections import deque
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch.nn.functional import avg_pool2d

from fusionlab import Law, Strategy, WeightedStrategy, normalize

WEIGHING = frozenset(
    {
        Law.PERMUTATION,
        Law.IDEMPOTENCE,
        Law.CONVEXITY,
        Law.SCALE,
        Law.TRANSLATION,
        Law.FLIPS,
        Law.DOMINANCE,
    }
)

BREAKS: dict[type[Strategy], set[Law]] = {}
"""Fault -> the laws it breaks; one that breaks DETERMINISM may occasionally break any other."""

RARELY: dict[type[Strategy], set[Law]] = {}
"""Fault -> laws that it breaks, too, where few inputs show it: which are drawn depends on the
constants of all modules that are loaded, hypothesis takes some from there."""


IN_PIPELINES = {Law.TILES, Law.MASKS, Law.MASKED_TILES, Law.SEQUENCES}
"""Laws whose tests fuse images in a pipeline."""

REFUSED = {Law.SHAPE, Law.UNTOUCHED, Law.FINITE, Law.PARTITION}
"""Laws that a pipeline looks after itself: it refuses a strategy that breaks one of them."""


def breaks(*laws, rarely=()):
    def register(fault):
        BREAKS[fault], RARELY[fault] = set(laws), set(rarely)
        if Law.TILES in laws:  # of which the other is a smaller version
            RARELY[fault].add(Law.MASKED_TILES)
        if REFUSED & set(laws):
            RARELY[fault] |= IN_PIPELINES
        return fault

    return register


@dataclass(frozen=True)
class Sound(WeightedStrategy):
    """Keeps all laws that it declares."""

    support = 0
    laws = WEIGHING

    def activity(self, features):
        return features.abs().sum(dim=2, keepdim=True, dtype=self.precise(features))

    def weights(self, features, scene):
        return normalize(self.activity(features))

    @staticmethod
    def precise(features):
        return torch.promote_types(features.dtype, torch.float32)


# ------------------------------------------------------------------ zeros, and numbers too large


@breaks(Law.IDEMPOTENCE, Law.CONVEXITY, Law.PARTITION, Law.SCALE)
class BareEpsilon(Sound):
    """Adds an epsilon to the denominator: weights of weak places no longer sum to one."""

    def weights(self, features, scene):
        activity = self.activity(features)
        return activity / (activity.sum(dim=0) + 1e-2)


@breaks(Law.FINITE)
class NothingDividedByNothing(Sound):
    """Divides by the sum of the activities, zero or not."""

    def weights(self, features, scene):
        activity = self.activity(features)
        return activity / activity.sum(dim=0)


@breaks(Law.GRADIENTS)
class SingleWhere(Sound):
    """Replaces 0/0 afterwards, which the gradient does not know."""

    def weights(self, features, scene):
        activity = self.activity(features)
        total = activity.sum(dim=0)
        return torch.where(total > 0, activity / total, 1 / len(features))


@breaks(Law.FINITE, Law.PRECISION, rarely=[Law.PARTITION, Law.CONVEXITY, Law.GRADIENTS])
class UnstableSoftmax(Sound):
    """Takes exponentials of features as they are."""

    laws = WEIGHING - {Law.SCALE}

    def weights(self, features, scene):
        powers = features.mean(dim=2, keepdim=True).exp()
        return powers / powers.sum(dim=0)


@breaks(Law.PARTITION, Law.CONVEXITY, Law.DOMINANCE, Law.PRECISION)
class CancelingVariance(Sound):
    """Has a variance over channels as a difference of squares, which rounding makes negative."""

    def activity(self, features):
        maps = features.to(self.precise(features))
        squares = maps.square().mean(dim=2, keepdim=True)
        return squares - maps.mean(dim=2, keepdim=True).square()


@breaks(Law.FINITE, Law.SCALE)
class HighPower(Sound):
    """Sharpens the weights by a power that overflows."""

    def activity(self, features):
        return super().activity(features) ** 8


@breaks(Law.IDEMPOTENCE, Law.CONVEXITY, Law.SCALE, Law.DOMINANCE)
class Clamped(Sound):
    """Clamps the result to gray levels."""

    def fuse(self, features, scene):
        return super().fuse(features, scene).clamp(0, 255)


# ------------------------------------------------------------------ dtypes


@breaks(Law.FINITE, Law.DERIVATIVE, Law.SCALE)
class SilentHalf(Sound):
    """Computes activities in half precision to save memory."""

    def activity(self, features):
        return super().activity(features).half().to(self.precise(features))


@breaks(Law.SHAPE, Law.DERIVATIVE)
class Upcast(Sound):
    """Returns float32, whatever it was given."""

    def fuse(self, features, scene):
        return super().fuse(features, scene).float()


@breaks(Law.PRECISION)
class NarrowSum(Sound):
    """Sums up over channels in the dtype of the features, and squares there."""

    def activity(self, features):
        return features.square().sum(dim=2, keepdim=True)


@breaks(Law.AUTOCAST, Law.PRECISION, Law.DOMINANCE)
class CancellationByMatrixProduct(Sound):
    """Has the variance over channels as a difference of products, which autocast makes short."""

    def activity(self, features):
        ones = torch.ones(features.shape[2], 1, device=features.device, dtype=features.dtype)
        last = features.movedim(2, -1) / features.shape[2]
        mean, square = last @ ones, (last * last * features.shape[2]) @ ones
        return (square - mean**2).clamp(min=0).movedim(-1, 2)


# ------------------------------------------------------------------ sources and batches


@breaks(Law.PERMUTATION)
class ForgetsTheThird(Sound):
    """Was written for two sources."""

    def weights(self, features, scene):
        two = normalize(self.activity(features[:2]))
        return torch.cat([two, torch.zeros_like(two[:1]).repeat(len(features) - 2, 1, 1, 1, 1)])


@breaks(Law.PERMUTATION)
class PrefersTheFirst(Sound):
    """Multiplies the first activity by 1.1."""

    def activity(self, features):
        activity = super().activity(features)
        return torch.cat([1.1 * activity[:1], activity[1:]])


@breaks(Law.BATCH)
class FirstOfTheBatch(Sound):
    """Measures the first image and weighs them all by it."""

    def activity(self, features):
        return super().activity(features[:, :1]).expand(-1, features.shape[1], -1, -1, -1)


@breaks(Law.BATCH, Law.SUPPORT, Law.TILES, Law.DOMINANCE)
class NormalizedOverTheBatch(Sound):
    """Brings activities to 0..1 by the largest of the batch, then adds a floor."""

    def activity(self, features):
        activity = super().activity(features)
        largest = activity.amax()
        return activity / torch.where(largest > 0, largest, 1) + 0.1


@breaks(Law.DUPLICATES)
class ClaimsDuplicates(Sound):
    """Promises what weights by ratio cannot keep."""

    laws = WEIGHING | {Law.DUPLICATES}


@breaks(Law.DOMINANCE)
class ClaimsDominance(Sound):
    """Promises what an average cannot keep."""

    def weights(self, features, scene):
        return torch.full_like(features[:, :, :1], 1 / len(features))


@breaks(Law.PARTITION, Law.CONVEXITY)
class SignedActivity(Sound):
    """Sums up features instead of their sizes: weights become negative, or infinite."""

    def activity(self, features):
        return features.sum(dim=2, keepdim=True, dtype=self.precise(features))


@breaks(Law.CONCURRENCY)
class LeavesActivitiesLying(Sound):
    """Puts the activities down where all threads find them."""

    desk = {}  # noqa: RUF012  # the fault

    def weights(self, features, scene):
        self.desk["activities"] = self.activity(features)
        assert features.isfinite().any()  # a thread may come in here
        return normalize(self.desk["activities"])


@breaks(Law.SEQUENCES, rarely=Law)  # whichever test shows it something three times
class TiresOfRepetition(Sound):
    """Averages as soon as it is shown something for the third time."""

    seen = deque(maxlen=6)  # noqa: RUF012  # the fault: three frames at two levels

    def weights(self, features, scene):
        shown = tuple(features.flatten().tolist())
        self.seen.append(shown)
        if self.seen.count(shown) > 2:
            return torch.full_like(features[:, :, :1], 1 / len(features))
        return super().weights(features, scene)


# ------------------------------------------------------------------ gradients


@breaks(Law.DERIVATIVE)
class Detached(Sound):
    """Takes the weights for constants."""

    def activity(self, features):
        return super().activity(features.detach())


@breaks(Law.GRADIENTS, Law.DERIVATIVE)
class NoGradient(Sound):
    """Fuses under no_grad."""

    def fuse(self, features, scene):
        with torch.no_grad():
            return super().fuse(features, scene)


# ------------------------------------------------------------------ place


@breaks(Law.FLIPS, Law.DOMINANCE)
class OneSidedDifference(Sound):
    """Measures the step to the right-hand neighbor only."""

    support = 1

    def activity(self, features):
        step = features.diff(dim=-1, append=features[..., -1:])
        return step.abs().sum(dim=2, keepdim=True, dtype=self.precise(features))


@dataclass(frozen=True)
class Window(Sound):
    """Averages activities over a window."""

    r: Annotated[int, Interval(ge=1, le=3), "Half-width of the window."] = 1

    @property
    def support(self):
        return self.r

    def activity(self, features):
        activity = super().activity(features)
        size = 2 * self.r + 1
        flat = avg_pool2d(activity.flatten(0, 1), size, 1, self.r, count_include_pad=False)
        return flat.view_as(activity)


@breaks(Law.SUPPORT, Law.TILES)
class SupportOffByOne(Window):
    """Says it looks one pixel less far than it does."""

    @property
    def support(self):
        return self.r - 1


@breaks(Law.SUPPORT, Law.TILES, Law.DOMINANCE)
class SecretlyGlobal(Sound):
    """Divides by the largest activity of the image, then adds a floor; and says it is local."""

    def activity(self, features):
        activity = super().activity(features)
        largest = activity.amax(dim=(-2, -1), keepdim=True).amax(dim=0)
        return activity / torch.where(largest > 0, largest, 1) + 0.1


@breaks(Law.TILES)
class CountsTheMargins(Sound):
    """Collects statistics of whole tiles, halos included."""

    support = 1

    def statistics(self, features, scene):
        return {"sum": features.abs().sum(dim=(2, 3, 4), dtype=torch.float64)}

    def weights(self, features, scene):
        sums = self.image_statistics(features, scene)["sum"][..., None, None, None]
        return normalize(sums).to(self.precise(features))


@breaks(Law.TRANSLATION, Law.FLIPS, Law.TILES)
class Vignette(Sound):
    """Trusts the first source less toward the right-hand border."""

    def activity(self, features):
        activity = super().activity(features)
        fall = 1 / (1 + torch.arange(features.shape[-1], device=features.device))
        return torch.cat([activity[:1] * fall, activity[1:]])

    laws = WEIGHING - {Law.PERMUTATION}


@breaks(
    Law.SHAPE, Law.IDEMPOTENCE, Law.CONVEXITY, Law.TRANSLATION, Law.FLIPS, Law.DOMINANCE, Law.TILES
)
class Transposed(Sound):
    """Swaps rows and columns: square images do not show it by their shape."""

    def fuse(self, features, scene):
        return super().fuse(features, scene).mT


# ------------------------------------------------------------------ pixels that are no data


@breaks(Law.MASKS, Law.MASKED_TILES)
class AveragesWithMasks(Sound):
    """Averages wherever it is given a mask at all."""

    def weights(self, features, scene):
        weights = super().weights(features, scene)
        return weights if scene.valid is None else torch.full_like(weights, 1 / len(weights))


@breaks(Law.MASKED_TILES)
class TrustsWholeTiles(Sound):
    """Weights each source by the part of the tile that is data."""

    def activity(self, features, valid=None):
        activity = super().activity(features)
        return activity if valid is None else activity * valid.float().mean((-2, -1), keepdim=True)

    def weights(self, features, scene):
        return normalize(self.activity(features, scene.valid))


# ------------------------------------------------------------------ side effects


@breaks(Law.UNTOUCHED, Law.IDEMPOTENCE, Law.GRADIENTS, Law.DERIVATIVE)
class InPlace(Sound):
    """Takes absolute values in the features it was given."""

    def activity(self, features):
        return features.abs_().sum(dim=2, keepdim=True, dtype=self.precise(features))


@breaks(Law.UNTOUCHED)
class ChangesTheSources(Sound):
    """Inverts the sources it was shown."""

    def weights(self, features, scene):
        scene.sources.neg_().add_(1)
        return super().weights(features, scene)


@breaks(Law.DETERMINISM)
class Remembers(Sound):
    """Smooths its weights over the calls."""

    last = {}  # noqa: RUF012  # the fault

    def weights(self, features, scene):
        weights = super().weights(features, scene)
        before = self.last.get(weights.shape, weights)
        self.last[weights.shape] = weights.detach()
        return (weights + before) / 2


@breaks(Law.DETERMINISM)
class Dithers(Sound):
    """Adds noise to break ties."""

    def activity(self, features):
        activity = super().activity(features)
        return activity * (1 + 0.01 * torch.rand_like(activity))
