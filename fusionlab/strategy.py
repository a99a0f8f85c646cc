"""The base classes of strategies: fusion rules that merge the features of k sources into one.

A strategy is a frozen dataclass whose annotated fields are its parameters. The command line,
the checks and the law suite all read them from there. Most strategies weight the sources and
derive from `WeightedStrategy`:

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Interval

from fusionlab import parameters
from fusionlab.errors import FusionlabError
from fusionlab.ops import box_average, normalize

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fusionlab.backbone import Level

Statistics = Mapping[str, "Tensor"]
"""Named tensors that describe a whole image: sums, counts, maxima."""


class Law(Enum):
    """Properties that strategies declare or must have; `fusionlab.testing` tests them."""

    PERMUTATION = "the order of the sources does not matter"
    IDEMPOTENCE = "k copies of one source give that source back"
    CONVEXITY = "no result lies outside the range of the sources at that place"
    SCALE = "features c times as large give a result c times as large, c > 0"
    TRANSLATION = "an image moved within an empty surround gives the result moved"
    FLIPS = "a mirrored or quarter-turned input gives the result mirrored or turned"
    DUPLICATES = "giving a source twice changes nothing"
    DOMINANCE = "a source far more active than all others is the result"

    SHAPE = "the result has the shape, dtype and device of the features of one source"
    PRECISION = "half, single and double precision give one result, each to its rounding"
    FINITE = "finite features, zeros and huge ones too, give a finite result"
    PARTITION = "weights are not negative and sum to one"
    GRADIENTS = "gradients are finite, also where every activity is zero"
    DERIVATIVE = "gradients are those of finite differences, away from kinks"
    BATCH = "the images of a batch do not affect each other"
    UNTOUCHED = "features and sources are not changed"
    DETERMINISM = "the same input gives the same result, whatever was fused before"
    CONCURRENCY = "what another thread fuses in the meantime changes nothing"
    SUPPORT = "nothing further away than the support matters"
    TILES = "tiles give the result of the whole image"
    MASKS = (
        "the value of a pixel that is no data changes nothing, nor does a mask without such pixels"
    )
    MASKED_TILES = "tiles give the result of the whole image, also where pixels are no data"
    SEQUENCES = (
        "frames that are alike give the image of one of them, also where weights are smoothed"
    )
    AUTOCAST = "within torch.autocast the result is the same, to the rounding of half precision"


DECLARABLE = frozenset(
    {
        Law.PERMUTATION,
        Law.IDEMPOTENCE,
        Law.CONVEXITY,
        Law.SCALE,
        Law.TRANSLATION,
        Law.FLIPS,
        Law.DUPLICATES,
        Law.DOMINANCE,
    }
)
"""The laws that a strategy may declare; all others are required of every strategy."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything a strategy may use besides the features.

    A large image is fused in tiles. All of this describes the tile that is being fused, except the
    statistics.
    """

    sources: Tensor
    """The gray sources at this place, `(k, N, 1, H, W)` in 0..1, at image resolution: one channel
    where color is fused channel by channel with weights for each, else the luminance."""
    level: int = 0
    """Which level of the backbone the features are of; 0 is the finest."""
    stride: int = 1
    """Image pixels per feature pixel of this level."""
    top: int = 0
    """Row of this tile's first pixel in the whole image."""
    left: int = 0
    """Column of this tile's first pixel in the whole image."""
    height: int | None = None
    """Rows of the whole image, extended to a multiple of the backbone's size divisor."""
    width: int | None = None
    """Columns of the whole image, likewise. None, for both: the tile is the whole image."""
    valid_box: tuple[int, int, int, int] | None = None
    """Top, left, bottom and right of this tile without its halo, in its own image pixels: the
    halo belongs to its neighbors. None: there is no halo."""
    statistics: Statistics | None = None
    """The strategy's statistics of all tiles of the image; None where the image is not cut."""
    network: nn.Module | None = None
    """The trained network of a learned strategy for this level."""
    read_color: Callable[[], Tensor | None] | None = None
    """Reads `color_sources`."""
    valid: Tensor | None = None
    """Which pixels of the sources are data, `(k, N, 1, H, W)`, at image resolution; None: all.

    Elsewhere the sources, and with them the features, are filled with what they may have shown. A
    strategy need not look at this: the pipeline leaves out a source where it is no data."""

    @cached_property
    def color_sources(self) -> Tensor | None:
        """The sources in color at this place, `(k, N, 3, H, W)` in 0..1; None where all are gray.

        Gray sources among color ones have three equal channels. Where color is fused channel by
        channel, the three planes of an image have the same color sources: all N planes are here.
        """
        return self.read_color() if self.read_color is not None else None

    def valid_region(self, maps: Tensor) -> Tensor:
        """Crop the halo of the tile from maps `(..., h, w)`.

        Sums of the remaining parts over all tiles count every pixel once. The maps have the
        resolution of the features or of the sources.
        """
        if self.valid_box is None:
            return maps
        step = self.sources.shape[-1] // maps.shape[-1]
        top, left, bottom, right = (edge // step for edge in self.valid_box)
        return maps[..., top:bottom, left:right]


@dataclass(frozen=True)
class Strategy(ABC):
    """A fusion rule: merges the features of several sources into those of one image.

    Its methods are called by several threads, for several tiles of an image at the same time, each
    with torch on one thread: they must not keep anything of one call for another.

    Raises:
        FusionlabError: a parameter is out of its bounds.
    """

    min_k: ClassVar[int] = 2
    max_k: ClassVar[int | None] = None
    min_size: ClassVar[int] = 1
    """The smallest height and width of features that it merges; the law suite draws none smaller.

    A strategy that needs more than one pixel refuses smaller features itself, by a
    `FusionlabError` with the code `too-small`."""
    domain: ClassVar[Literal["any", "pixels"]] = "any"
    """What the strategy merges: `"any"` features, pixels among them, or images only (`"pixels"`).

    A pixel strategy runs on a backbone whose domain is `"pixels"`: its features are one channel,
    the image in gray levels 0..255. A learned backbone is refused."""
    saves: ClassVar[Literal["clip", "minmax"]] = "clip"
    """The range policy with which the program of its authors saves an image.

    It is what the range policy `own` means, unless the backbone declares another one. Pixel
    strategies are saved like this by default, too."""
    roles: ClassVar[tuple[str, ...]] = ()
    """What each source must be, where their order means something: `("infrared", "visible")`."""

    def __post_init__(self) -> None:
        parameters.check(self)

    @property
    def support(self) -> int | None:
        """How many feature pixels away the strategy looks; None: it needs the whole image at once.

        0 for a strategy that treats every pixel by itself, r for a window of half-width r. What it
        looks at through its `statistics` does not count. With None, the default, images are never
        cut into tiles: correct, but bounded by memory.
        """
        return None

    @property
    def laws(self) -> frozenset[Law]:
        """The laws that this instance declares; they may depend on its parameters."""
        return frozenset()

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:  # noqa: ARG002  # for others
        """Return this tile's part of what the strategy needs to know about the whole image.

        For strategies that look at the whole image and can still be cut into tiles: in a first
        pass the pipeline gathers the statistics of all tiles, merges them, and passes them to
        `fuse` as `scene.statistics`. Use `scene.valid_region` to count every pixel once, and
        float64 for sums over many. Call `image_statistics` in `fuse`; it also works for images that
        are not cut.

        Returns:
            Named tensors, which `merge` merges; empty for local strategies.
        """
        return {}

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        """Merge the statistics of two parts of an image; by default, add them."""
        return {name: one[name] + other[name] for name in one}

    def image_statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the statistics of the whole image, whether it was cut into tiles or not."""
        if scene.statistics is not None:
            return scene.statistics
        return self.statistics(features, scene)

    @property
    def two_pass(self) -> bool:
        """Whether the strategy has statistics, so that tiles take two passes."""
        return type(self).statistics is not Strategy.statistics

    @abstractmethod
    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        """Merge features `(k, N, C, h, w)` of one level into `(N, C, h, w)`.

        Must not change `features`, must treat the N images of a batch independently, and must
        be differentiable wherever the formula is.
        """


@dataclass(frozen=True)
class WeightedStrategy(Strategy):
    """A strategy that weights the sources: f = sum_i w_i phi_i.

    The weights are not negative and sum to one over k, so the result is a convex combination
    of the sources: idempotence and convexity follow.
    """

    shares_weights: ClassVar[bool | None] = None
    """Whether the color channels of an image share one set of weights.

    None leaves it to the pipeline, which shares them by default (`Fusion(shared_weights=...)`); the
    paper computes weights for each channel. True or False hold whatever the pipeline is set to.

    Where weights are shared and color is fused channel by channel, they are computed once, from the
    luminance: `features` are those of the luminance, `(k, N, C, h, w)` with one plane per image,
    `scene.sources` is the luminance itself, and `scene.color_sources` the N color images. The
    weights are applied to the features of all three channels, by `weighted_sum`; `fuse` is not
    called. A strategy that overrides `fuse` therefore shares no weights. Gray images, and the
    modes that fuse only the luminance, are not affected."""

    @property
    def laws(self) -> frozenset[Law]:
        """The laws that follow from the weights alone; add those of your weights."""
        return frozenset({Law.IDEMPOTENCE, Law.CONVEXITY})

    @abstractmethod
    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return weights that broadcast to the features `(k, N, C, h, w)`.

        `(k, N, 1, h, w)` per pixel, `(k, N, C, 1, 1)` per channel, and so on; not negative,
        summing to one over k. `normalize` turns activities into such weights.
        """

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weighted sum of the features, in their dtype."""
        return self.weighted_sum(features, self.weights(features, scene))

    @staticmethod
    def weighted_sum(features: Tensor, weights: Tensor) -> Tensor:
        """Return sum_i w_i phi_i, `(N, C, h, w)` in the dtype of the features.

        Args:
            features: `(k, N, C, h, w)`.
            weights: broadcastable to the features.
        """
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        # source by source: a sum over k takes ten times as long for channels-last tensors, and
        # returns them in the other layout
        pairs = zip(features.to(precise), weights.expand_as(features), strict=True)
        source, weight = next(pairs)
        fused: Tensor = source * weight
        for source, weight in pairs:
            fused = torch.addcmul(fused, source, weight)
        return fused.to(features.dtype)


@dataclass(frozen=True)
class ActivityStrategy(WeightedStrategy):
    """Weight each source by its activity, averaged over a window: w_i = A_i / sum_n A_n.

    A subclass implements `activity`; A_i is its mean over (2r+1)^2 pixels. Where all
    activities are zero, each source weighs 1/k.

    At the border of the image the window averages the pixels that lie inside it. The weights are
    the same as with zero padding and (2r+1)^2 in the denominator, because that multiplies the
    activities of all sources at a pixel by the same number. `border=reflect` mirrors the activity
    instead, and needs r to be smaller than both edges of the image.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the averaging window, in pixels (0: none)."
    ] = 1
    border: Annotated[
        Literal["inside", "reflect"],
        "What the window sees beyond the border: nothing, or the image mirrored.",
    ] = "inside"

    activity_support: ClassVar[int] = 0
    """How many feature pixels away `activity` looks, before the window."""

    @property
    def support(self) -> int:
        """The half-width of the window, and what the activity looks at beyond it."""
        return self.r + self.activity_support

    @property
    def laws(self) -> frozenset[Law]:
        """The laws of an activity that is homogeneous and treats all directions alike.

        Homogeneous: features c times as large make it c^p times as large, for some p > 0. Override
        this where the activity is neither.
        """
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    @abstractmethod
    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the activity `(k, N, 1, h, w)` of features `(k, N, C, h, w)`.

        Not negative, and accumulated in at least float32.
        """

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        return normalize(box_average(self.activity(features, scene), self.r, self.border))


@dataclass(frozen=True)
class LearnedStrategy(Strategy):
    """A strategy with networks, trained on the features of one backbone.

    The dataclass is the configuration, as for every strategy. One network per level of the backbone
    is built from it. The networks belong to the pipeline, which loads their weights and passes them
    as `scene.network`. A training (`fusionlab.training`) writes weights and card; the package of
    the strategy offers them as `StrategyRef(..., checkpoints={TAG: PATH})`.

    Raises:
        FusionlabError: as for any strategy.
    """

    checkpoint: Annotated[
        str | None,
        "Trained weights: a tag that its package offers, or a .safetensors file (none: its first).",
    ] = field(default=None, kw_only=True)

    @abstractmethod
    def network(self, level: Level) -> nn.Module:
        """Build the network of one level, with random weights.

        It merges features `(k, N, C, h, w)` into `(N, C, h, w)`, with C = `level.channels`.
        """

    def losses(
        self,
        fused: Tensor,  # noqa: ARG002  # for others
        sources: Tensor,  # noqa: ARG002  # for others
        merged: Sequence[Tensor],  # noqa: ARG002  # for others
        features: Sequence[Tensor],  # noqa: ARG002  # for others
    ) -> Mapping[str, Tensor]:
        """Return named scalars, whose sum a training minimizes.

        A strategy whose networks are not trained on image sets, but by a program of its package,
        does not implement this.

        Args:
            fused: the decoded images, `(N, 1, H, W)`, around 0..1.
            sources: `(k, N, 1, H, W)` in 0..1.
            merged: the outputs of the networks, `(N, C, h, w)` for each level.
            features: their inputs, `(k, N, C, h, w)` for each level.

        Raises:
            FusionlabError: the strategy has no such losses (code `not-trainable`).
        """
        raise FusionlabError(
            f"the networks of {type(self).__name__} are not trained on image sets; the README of "
            "its package says how they are trained",
            code="not-trainable",
        )

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        """Merge features with the network of the scene.

        Raises:
            FusionlabError: the scene has none, because this was called outside the pipeline.
        """
        if scene.network is None:
            raise FusionlabError(
                f"{type(self).__name__} needs its trained networks; fuse with a Fusion, which "
                "loads them",
                code="no-network",
            )
        merged: Tensor = scene.network(features)
        return merged.to(features.dtype)  # autocast narrows what layers return
