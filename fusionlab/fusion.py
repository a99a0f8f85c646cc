"""The pipeline: encode the sources, let the strategy merge the features, decode the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Generic, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fusionlab.backbone import Backbone, Features
from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import Image, to_planes
from fusionlab.imaging.colour import Colour
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.display import RangePolicy
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.method import build_backbone, build_networks, build_strategy, method_id
from fusionlab.plugins import in_one_line, installed
from fusionlab.precision import convolutions
from fusionlab.strategy import (
    Law,
    LearnedStrategy,
    Scene,
    Statistics,
    Strategy,
    WeightedStrategy,
)
from fusionlab.tiling import WHOLE_BYTES, Tile, default_edge, images_at_once, plan
from fusionlab.weights import Card

Encoder = Callable[[Tensor], Features]
"""What turns the images `(M, 1, H, W)` of a tile into features."""


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused image, and how much each source weighed."""

    image: Image
    weights: list[Image]
    """One map per source, floats in 0..1; empty unless asked for. Where colour was fused channel
    by channel, so are the maps."""
    limits: Tensor
    """What counted as black and white of each source: `(k, N, 2)`, float64, in its own units."""


class Fusion:
    """A method ready to fuse any number of images: backbone, strategy and settings.

        fusion = Fusion("densefuse@1e2", "l1norm,r=0", range_policy="minmax")
        fused = fusion([infrared, visible])

    Sources are numpy arrays (`(H, W)` or `(H, W, 3)`) or torch tensors (`(H, W)`, `(C, H, W)`
    or `(N, C, H, W)` with C 1 or 3), all of one size: integers or floats, which `scale` brings to
    0..1. The result is of the same kind, in colour if any source is, and as deep as the deepest.

    Gradients flow to tensors that require them, and to a strategy with learned parameters,
    but never to the backbone; ask for `range_policy=None` where rounding or a stretch would
    be in their way. (On CUDA, `backward` runs after the call and takes TF32 as torch sees fit.)

    To reproduce Table II of the paper: `range_policy="minmax"` with `addition` or
    `l1norm,r=0`, on 8-bit gray pairs.

    Args:
        backbone: a backbone or its name; None takes the default of the installed plugins. A
            module that is passed in is frozen and moved to the device, as it stands.
        strategy: a strategy, or its name with parameters; None takes the default.
        range_policy: how the decoded image becomes displayable, see `fusionlab.imaging.display`.
            `auto` clips for strategies that claim convexity and stretches for all others;
            None returns what the decoder gave, as floats.
        scale: which values of a source are black and white: `full`, `minmax`, `percentile=1,99`
            or `LO,HI`; one for all sources or one for each, see `fusionlab.imaging.scale`.
        colour: `per-channel`, `luma` or `gray`, see `fusionlab.imaging.colour`.
        device: where to compute; the result comes back to where the sources are.
        tile: edge of the tiles that large images are cut into, in pixels; None derives it from
            the number of sources. The result is the same up to the rounding of float32. Where the
            strategy needs the image in one piece, a larger image is refused.
        allow_tf32: let CUDA round the inputs of its convolutions to 10 bits: faster, and less
            precise. Only ever for the duration of a call.
        networks: of a learned strategy, one for each level of the backbone, in place of those
            whose weights its package offers; used as they stand.

    Raises:
        FusionlabError: a name or a setting is unknown, or the device is not there.
    """

    def __init__(
        self,
        backbone: Backbone | str | None = None,
        strategy: Strategy | str | None = None,
        *,
        range_policy: RangePolicy | Literal["auto"] | None = "auto",
        scale: str | Scale | Sequence[str | Scale] = "full",
        colour: Colour = "per-channel",
        device: str | torch.device = "cpu",
        tile: int | None = None,
        allow_tf32: bool = False,
        networks: nn.ModuleList | None = None,
    ) -> None:
        _check_kinds(backbone, strategy, range_policy, colour)
        if not isinstance(backbone, Backbone):
            plugins = installed()
            backbone = build_backbone(backbone or plugins.default("backbone"), plugins)
        if not isinstance(strategy, Strategy):
            plugins = installed()
            strategy = build_strategy(strategy or plugins.default("strategy"), plugins)
        with _blaming(strategy):
            convex, self._support = Law.CONVEXITY in strategy.laws, strategy.support
        if self._support is not None and self._support < 0:
            raise FusionlabError(f"the support of a strategy is 0 or more, got {self._support}")
        if range_policy == "auto":
            range_policy = "clip" if convex else "minmax"
        if tile is not None and tile < backbone.multiple:
            raise FusionlabError(f"a tile needs at least {backbone.multiple} pixels, got {tile}")
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
        self.strategy = strategy
        self.range_policy: RangePolicy | None = range_policy
        self.scale = parse_scales(scale)
        self.colour: Colour = colour
        self.tile = tile
        self.allow_tf32 = allow_tf32

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
        encoder: Encoder | None = None,
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
            encoder: in place of the backbone's own, for example one that remembers what it has
                encoded for another strategy; it must give the same features.
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
        planes, kind = to_planes(sources, self.scale, self.colour, names)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not kind.numpy):
            fused, maps = self.fuse_planes(
                planes, weights=weights, encoder=encoder, progress=progress
            )
        del planes  # as large as the result, times k, and not needed any more
        return Fused(
            image=kind.restore(fused, self.range_policy, depth),
            weights=[kind.maps(one) for one in maps],
            limits=kind.limits,
        )

    def fuse_planes(
        self,
        planes: Tensor,
        *,
        weights: bool = False,
        encoder: Encoder | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> tuple[Tensor, Tensor]:
        """Fuse gray images `(k, N, 1, H, W)` in 0..1 to `(N, 1, H, W)`, as the decoder gives it.

        Returns:
            The decoded images, and the weight maps `(k, N, 1, H, W)`, or `(0, N, 1, H, W)` where
            they are not asked for.
        """
        k, _, _, height, width = planes.shape
        self._check(k, weights=weights)
        planes = self._padded(planes)
        fused = planes.new_empty(planes.shape[1:])
        maps = planes.new_empty((k if weights else 0, *planes.shape[1:]))
        batches, tiles = self._plan(planes.shape)
        passes = 2 if self.strategy.gathers and len(tiles) > 1 else 1
        steps = count(1)
        encode = encoder or self.backbone.encode

        def step() -> None:
            progress(next(steps), passes * len(batches) * len(tiles))

        with convolutions(self.device, allow_tf32=self.allow_tf32):
            for images in batches:
                known: list[Statistics | None] = [None] * len(self.backbone.levels)
                if passes == 2:
                    for tile in tiles:
                        self._gather(planes[:, images], tile, known, encode)
                        step()
                for tile in tiles:
                    self._fuse_tile(
                        planes[:, images], tile, known, fused[images], maps[:, images], encode
                    )
                    step()
        if not fused.isfinite().all():
            raise FusionlabError(
                f"the strategy {type(self.strategy).__name__} gave values that are not finite"
            )
        return fused[..., :height, :width], maps[..., :height, :width]

    def _gather(
        self, planes: Tensor, tile: Tile, known: list[Statistics | None], encode: Encoder
    ) -> None:
        """Add what the strategy wants to know of one tile to what is `known` at each level."""
        for features, scene in self._scenes(planes, tile, encode):
            with _blaming(self.strategy):
                found = self.strategy.statistics(features, scene)
                before = known[scene.level]
                known[scene.level] = found if before is None else self.strategy.merge(before, found)

    def _fuse_tile(
        self,
        planes: Tensor,
        tile: Tile,
        known: list[Statistics | None],
        fused: Tensor,
        maps: Tensor,
        encode: Encoder,
    ) -> None:
        """Encode, merge and decode one tile, and write the kept part of it into `fused`."""
        merged = []
        for features, found in self._scenes(planes, tile, encode):
            scene = replace(found, statistics=known[found.level])
            merged.append(self._merged(features, scene))
            if scene.level == 0 and len(maps) and isinstance(self.strategy, WeightedStrategy):
                with _blaming(self.strategy):
                    weights = self.strategy.weights(features, scene).expand_as(features)
                weights = weights.mean(dim=2, keepdim=True)
                for axis in (-2, -1):
                    weights = weights.repeat_interleave(scene.stride, dim=axis)
                maps[..., *tile.inner.slices] = weights[..., *tile.kept.slices].to(maps)
        decoded = self.backbone.decode(tuple(merged))
        fused[..., *tile.inner.slices] = decoded[..., *tile.kept.slices].to(fused)

    def _scenes(
        self, planes: Tensor, tile: Tile, encode: Encoder
    ) -> Iterator[tuple[Tensor, Scene]]:
        """Encode one tile; yield the features `(k, N, C, h, w)` of each level, and its scene."""
        sources = planes[..., *tile.outer.slices].to(self.device)
        levels = zip(self.backbone.levels, encode(sources.flatten(0, 1)), strict=True)
        for number, (level, flat) in enumerate(levels):
            scene = Scene(
                sources=sources,
                level=number,
                stride=level.stride,
                top=tile.outer.top,
                left=tile.outer.left,
                height=planes.shape[-2],
                width=planes.shape[-1],
                kept=tile.kept,
                network=self.networks[number] if self.networks else None,
            )
            yield flat.unflatten(0, planes.shape[:2]), scene

    def _merged(self, features: Tensor, scene: Scene) -> Tensor:
        """Apply the strategy to one level, and hold it to its contract."""
        with _blaming(self.strategy):
            merged = self.strategy.fuse(features, scene)
        if not isinstance(merged, Tensor) or (merged.shape, merged.dtype, merged.device) != (
            features.shape[1:],
            features.dtype,
            features.device,
        ):
            raise FusionlabError(
                f"the strategy {type(self.strategy).__name__} must make {_kind(features[0])} out "
                f"of {_kind(features)}, got {_kind(merged)}"
            )
        return merged

    def _check(self, k: int, *, weights: bool) -> None:
        name, least, most = type(self.strategy).__name__, self.strategy.min_k, self.strategy.max_k
        if k < least or (most is not None and k > most):
            wanted = f"at least {least}" if most is None else f"{least} to {most}"
            raise FusionlabError(f"the strategy {name} takes {wanted} sources, got {k}")
        if weights and not isinstance(self.strategy, WeightedStrategy):
            raise FusionlabError(
                f"the strategy {name} gives the sources no weights, so there are no weight maps; "
                "choose a weighting strategy"
            )

    def _padded(self, planes: Tensor) -> Tensor:
        """Extend the images at the bottom and right to the multiple the backbone needs."""
        multiple = self.backbone.multiple
        bottom, right = (-planes.shape[-2] % multiple, -planes.shape[-1] % multiple)
        if not bottom and not right:
            return planes
        flat = pad(planes.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
        return flat.view(*planes.shape[:3], *flat.shape[-2:])

    def _plan(self, shape: torch.Size) -> tuple[list[slice], list[Tile]]:
        """Divide planes `(k, N, 1, H, W)`: the images that are fused together, and their tiles.

        Raises:
            FusionlabError: the strategy needs the images in one piece, and they are too large.
        """
        k, images, _, height, width = shape
        edge, halo = self.tile or default_edge(k), 0
        if self._support is None:
            self._check_whole(k, height, width)
            tiles = plan(height, width, None, 0)
            reach = None
        else:
            halo = self.backbone.halo(self._support)
            tiles = plan(height, width, edge, halo, self.backbone.multiple)
            reach = edge + 2 * halo
        step = images_at_once(k, height, width, reach)
        return [slice(start, start + step) for start in range(0, images, step)], tiles

    def _check_whole(self, k: int, height: int, width: int) -> None:
        """Refuse images that a strategy needs in one piece and that are larger than allowed."""
        samples = sum(level.channels / level.stride**2 for level in self.backbone.levels)
        needed = int(4 * k * height * width * samples)
        if max(height, width) <= self.tile if self.tile else needed <= WHOLE_BYTES:
            return
        raise FusionlabError(
            f"the strategy {type(self.strategy).__name__} needs the whole image at once, and "
            f"{k} sources of {width}x{height} have features of {needed / 2**30:.1f} GiB ({needed} "
            f"bytes); choose a strategy that can be cut into tiles, smaller images, or insist "
            f"with a tile of {max(height, width)}"
        )


def _check_kinds(backbone: object, strategy: object, range_policy: object, colour: object) -> None:
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
    if colour not in get_args(Colour):
        raise FusionlabError(
            f"the colour mode must be one of {', '.join(get_args(Colour))}, got {colour!r}"
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


@contextmanager
def _blaming(strategy: Strategy) -> Iterator[None]:
    """Say which strategy an exception came from; its traceback stays attached."""
    try:
        yield
    except FusionlabError:
        raise
    except Exception as error:
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} failed: {in_one_line(error)}"
        ) from error


def _kind(features: object) -> str:
    if not isinstance(features, Tensor):
        return type(features).__name__
    return f"{tuple(features.shape)} {features.dtype} on {features.device}"
