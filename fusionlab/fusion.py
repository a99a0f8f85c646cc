"""The pipeline: encode the sources, let the strategy merge the features, decode the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from fusionlab.backbone import Backbone
from fusionlab.checkpoint import Card
from fusionlab.engine.build import build_engine
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.engine.merging import attribute_errors_to
from fusionlab.engine.pipeline import Pipeline
from fusionlab.engine.precision import Precision, convolutions
from fusionlab.engine.tiling import SMALLEST_EDGE, images_at_once
from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import Image, Stack
from fusionlab.imaging.color import Color
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.plugins.factory import (
    build_backbone,
    build_networks,
    build_strategy,
    default_backbone,
)
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import method_id
from fusionlab.strategy import Law, LearnedStrategy, Strategy, WeightedStrategy

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused image, and how much each source weighed."""

    image: Image
    weights: list[Image]
    """One map per source, floats in 0..1; empty unless asked for. Where color was fused channel
    by channel, so are the maps."""
    limits: Tensor
    """The values of each source that became black and white: `(k, N, 2)`, float64, in its units."""
    extremes: Tensor
    """The smallest and largest value of each source, likewise; NaN for 8-bit sources whose scale
    is `full`."""
    tile: int | None = None
    """Edge of the tiles, if memory did not suffice for those that were planned."""


class Fusion:
    """A method ready to fuse any number of images: backbone, strategy and settings.

        fusion = Fusion("densefuse@1e2", "l1norm,r=0", range_policy="minmax")
        fused = fusion([infrared, visible])

    Sources are numpy arrays (`(H, W)` or `(H, W, 3)`) or torch tensors (`(H, W)`, `(C, H, W)`
    or `(N, C, H, W)` with C 1 or 3), all of one size: integers or floats, which `scale` brings to
    0..1. The result is of the same kind, in color if any source is, and as deep as the deepest.

    Gradients flow to tensors that require them, and to a strategy with learned parameters,
    but never to the backbone; ask for `range_policy=None` where rounding or a stretch would
    be in their way. They take the plain backbone, in float32, whatever the engine and its
    precision. (On CUDA, `backward` runs after the call and takes TF32 as torch sees fit.)

    To reproduce Table II of the paper: `range_policy="minmax"` with `addition` or
    `l1norm,r=0`, on 8-bit gray pairs.

    Args:
        backbone: a backbone or its name; None takes the default of the installed plugins: for
            pixel strategies the one that leaves images as they are. A module that is passed in is
            frozen and moved to the device, as it stands.
        strategy: a strategy, or its name with parameters; None takes the default.
        range_policy: how the decoded image becomes displayable, see
            `fusionlab.imaging.range_policy`.
            `auto` clips for strategies that claim convexity and stretches for all others;
            None returns what the decoder gave, as floats.
        scale: which values of a source are black and white: `full`, `minmax`, `percentile=1,99`
            or `LO,HI`; one for all sources or one for each, see `fusionlab.imaging.scale`.
        color: `per-channel`, `luma` or `gray`, see `fusionlab.imaging.color`.
        device: where to compute; the result comes back to where the sources are.
        tile: edge of the tiles that large images are cut into, in pixels; None derives it from
            the number of sources, what the strategy sees, and the engine. The result is the same up
            to rounding. Where the strategy needs the image in one piece, a larger image is refused.
        engine: the name of the engine that runs the backbone, for example `eager`, `compile` or
            `openvino`, see docs/speed.md; None takes the default. The result is the same up to the
            rounding of the precision.
        precision: in which numbers: `fp32`, or faster and less precise `tf32` (CUDA), `bf16` or
            `fp16`; see `fusionlab.engine.precision`.
        networks: of a learned strategy, one for each level of the backbone, in place of those
            whose weights its package offers; used as they stand.

    Raises:
        FusionlabError: a name or a setting is unknown, the device is not available, or the strategy
            merges pixels and the backbone learned features (code `pixel-strategy`).
    """

    def __init__(
        self,
        backbone: Backbone | str | None = None,
        strategy: Strategy | str | None = None,
        *,
        range_policy: RangePolicy | Literal["auto"] | None = "auto",
        scale: str | Scale | Sequence[str | Scale] = "full",
        color: Color = "per-channel",
        device: str | torch.device = "cpu",
        tile: int | None = None,
        engine: str | None = None,
        precision: Precision = "fp32",
        networks: nn.ModuleList | None = None,
    ) -> None:
        _check_kinds(backbone, strategy, range_policy, color)
        if not isinstance(strategy, Strategy):
            plugins = installed()
            strategy = build_strategy(strategy or plugins.default("strategy"), plugins)
        if not isinstance(backbone, Backbone):
            plugins = installed()
            backbone = build_backbone(backbone or default_backbone(strategy, plugins), plugins)
        _check_domains(backbone, strategy)
        _check_shared_weights(strategy)
        if not hasattr(backbone, "receptive_field"):
            raise FusionlabError(
                f"the backbone {type(backbone).__name__} does not say how far it sees; give it a "
                "`receptive_field`, the pixels that its encoder and its decoder look away"
            )
        with attribute_errors_to(strategy):
            convex, support = Law.CONVEXITY in strategy.laws, strategy.support
        if support is not None and support < 0:
            raise FusionlabError(f"the support of a strategy is 0 or more, got {support}")
        self._in_one_piece = support is None
        if range_policy == "auto":
            range_policy = "clip" if convex else "minmax"
        if tile is not None and tile < backbone.size_divisor:
            raise FusionlabError(
                f"a tile needs at least {backbone.size_divisor} pixels, got {tile}"
            )
        self.card: Card | None = None
        """The card of the networks of a learned strategy, where their weights were loaded."""
        if networks is None and isinstance(strategy, LearnedStrategy):
            networks, strategy, self.card = build_networks(strategy, backbone, installed())
        self.device = available_device(device)
        if networks and len(networks) != len(backbone.levels):
            raise FusionlabError(
                f"expected a network for each of {len(backbone.levels)} levels of the backbone, "
                f"got {len(networks)}"
            )
        self.networks = (networks or nn.ModuleList()).to(self.device)
        self.backbone = backbone.freeze().to(self.device)
        engine = engine or installed().default("engine")
        self._engine = build_engine(engine, self.backbone, self.device, precision, installed())
        half = self._engine.dtype != torch.float32
        self._networks = deepcopy(self.networks).to(self._engine.dtype) if half else self.networks
        self.strategy = strategy
        self.range_policy: RangePolicy | None = range_policy
        self.scale = parse_scales(scale)
        self.color: Color = color
        self.tile = tile
        self.engine = engine
        self.precision: Precision = precision

    @property
    def method(self) -> str:
        """The full name of the method, for example `densefuse@1e2/l1norm,r=1,border=inside`."""
        return method_id(self.backbone, self.strategy, installed())

    def __call__(self, sources: Sequence[Image]) -> Image:
        """Fuse k sources into one image of the same kind; see the class for what they may be.

        Raises:
            FusionlabError: the sources are too few or too many, differ in size or kind, or hold
                values that the scale does not take.
        """
        return self.fuse(sources).image

    def fuse(
        self,
        sources: Sequence[Image],
        *,
        weights: bool = False,
        depth: Depth | None = None,
        names: Sequence[str] = (),
        feature_cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Fused[Image]:
        """Fuse k sources; like a call, with more to ask for and more in the answer.

        Args:
            sources: as for a call.
            weights: also return the weight map of each source: the weight at the finest level
                of the backbone, averaged over its channels.
            depth: bits per sample of the result (32: float32 in 0..1); None: as the deepest
                source.
            names: what errors call the sources.
            feature_cache: where the features of small images are kept, for another strategy to find
                them there.
            progress: called with (tiles done, tiles in all) after each tile.

        Raises:
            FusionlabError: as for a call, or `weights` with a strategy that has none.
        """
        if depth not in (None, *get_args(Depth)):
            raise FusionlabError(f"the depth must be 8, 16, 32 or None, got {depth!r}")
        if names and len(names) != len(sources):
            raise FusionlabError(
                f"expected one name for each of {len(sources)} sources, got {len(names)}"
            )
        stack = Stack(sources, self.scale, self.color, names)

        def run(pipeline: Pipeline) -> Fused[Image]:
            maps = []

            def fused() -> Iterator[Tensor]:
                for band in pipeline.bands(
                    stack, weights=weights, feature_cache=feature_cache, progress=progress
                ):
                    maps.append(band.maps)
                    yield band.fused

            image = stack.image(fused(), self.range_policy, depth)
            tile = pipeline.tile if pipeline.tile != self.tile else None
            return Fused(image, stack.weight_maps(maps), stack.limits, stack.extremes, tile)

        with torch.set_grad_enabled(torch.is_grad_enabled() and stack.on_tensors):
            graded = any(isinstance(one, Tensor) and one.requires_grad for one in sources)
            return self._run(run, stack.shape[0], weights=weights, graded=graded)

    def at_once(self, k: int, height: int, width: int) -> int:
        """Return how many images of k sources of a size are best given in one batch."""
        return images_at_once(k, height, width, self._engine.pixels_at_once)

    def fuse_planes(
        self,
        planes: Tensor,
        *,
        weights: bool = False,
        feature_cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> tuple[Tensor, Tensor]:
        """Fuse gray images `(k, N, 1, H, W)` in 0..1 to `(N, 1, H, W)`, as the decoder gives it.

        Returns:
            The decoded images, and the weight maps `(k, N, 1, H, W)`, or `(0, N, 1, H, W)` where
            they are not asked for.
        """
        stack = _Stacked(planes)

        def run(pipeline: Pipeline) -> tuple[Tensor, Tensor]:
            bands = list(
                pipeline.bands(
                    stack, weights=weights, feature_cache=feature_cache, progress=progress
                )
            )
            fused, maps = (torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True))
            return fused.to(planes.device), maps.to(planes.device)

        return self._run(run, len(planes), weights=weights, graded=planes.requires_grad)

    def _run(
        self, run: Callable[[Pipeline], Result], k: int, *, weights: bool, graded: bool
    ) -> Result:
        """Run the pipeline; where CUDA runs out of memory, again, with tiles of half the edge."""
        self._check(k, weights=weights)
        pipeline = Pipeline(self._engine, self.strategy, self._networks, self.tile)
        graded = graded or any(one.requires_grad for one in self.networks.parameters())
        if graded and torch.is_grad_enabled():
            plain = Eager(self.backbone, self.device, "fp32")
            pipeline = replace(pipeline, engine=plain, networks=self.networks)
        with convolutions(self.device, allow_tf32=self.precision == "tf32"):
            while True:
                try:
                    return run(pipeline)
                except torch.OutOfMemoryError:
                    edge = pipeline.edge(k)
                    if self._in_one_piece or edge is None or edge // 2 < SMALLEST_EDGE:
                        raise
                    pipeline = replace(pipeline, tile=edge // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _check(self, k: int, *, weights: bool) -> None:
        strategy, name = self.strategy, type(self.strategy).__name__
        if k < strategy.min_k or (strategy.max_k is not None and k > strategy.max_k):
            wanted = f"{strategy.min_k} to {strategy.max_k}"
            if strategy.max_k is None:
                wanted = f"at least {strategy.min_k}"
            elif strategy.max_k == strategy.min_k:
                wanted = f"exactly {strategy.min_k}"
            roles = f" ({', '.join(strategy.roles)})" if strategy.roles else ""
            raise FusionlabError(
                f"the strategy {name} takes {wanted} sources{roles}, got {k}",
                code="number-of-sources",
            )
        if weights and not isinstance(self.strategy, WeightedStrategy):
            raise FusionlabError(
                f"the strategy {name} gives the sources no weights, so there are no weight maps; "
                "choose a weighting strategy"
            )


@dataclass(frozen=True)
class _Stacked:
    """Planes that are there already, as the pipeline takes them."""

    planes: Tensor
    group = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        k, images, _, height, width = self.planes.shape
        return k, images, height, width

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        return self.planes[:, images, :, rows, columns].float()

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Tensor:
        return self.cut(images, rows, columns)

    def cut_color(self, images: slice, rows: slice, columns: slice) -> None:  # noqa: ARG002
        return None


def _check_kinds(backbone: object, strategy: object, range_policy: object, color: object) -> None:
    """Refuse what cannot be meant, before anything is loaded for it."""
    for what, given, kind in (
        ("backbone", backbone, Backbone),
        ("strategy", strategy, Strategy),
    ):
        if not (given is None or isinstance(given, str | kind)):
            raise FusionlabError(f"the {what} must be a name or an instance, got {given!r}")
    if range_policy not in (None, "auto", *get_args(RangePolicy)):
        raise FusionlabError(
            f"the range policy must be auto, clip, minmax or None, got {range_policy!r}"
        )
    if color not in get_args(Color):
        raise FusionlabError(
            f"the color mode must be one of {', '.join(get_args(Color))}, got {color!r}"
        )


def _check_domains(backbone: Backbone, strategy: Strategy) -> None:
    """Refuse a pixel strategy on features, and domains that do not exist."""
    name = type(strategy).__name__
    if strategy.domain not in ("any", "pixels"):
        raise FusionlabError(
            f"the domain of the strategy {name} must be 'any' or 'pixels', got {strategy.domain!r}"
        )
    if strategy.domain == "pixels" and backbone.domain != "pixels":
        raise FusionlabError(
            f"the strategy {name} merges pixels and cannot merge the features of "
            f"{type(backbone).__name__}; leave out the backbone",
            code="pixel-strategy",
            option="backbone",
        )


def _check_shared_weights(strategy: Strategy) -> None:
    """Refuse a strategy that shares weights and overrides the sum that they are used in."""
    if not (isinstance(strategy, WeightedStrategy) and strategy.shares_weights):
        return
    if type(strategy).fuse is not WeightedStrategy.fuse:
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} shares its weights between the color channels "
            "and must not override `fuse`; override `weighted_sum` or `weights`",
            code="shared-weights",
        )


def available_device(name: str | torch.device) -> torch.device:
    """Return a device that is there: asked for by name, and tried."""
    try:
        device = torch.device(name)
        torch.ones(1, device=device).cpu()
    except Exception as error:  # each backend has its own way to say no
        reason = str(error).partition("\n")[0]
        raise FusionlabError(f"the device {name!s} is not available: {reason}; try cpu") from error
    return device
