"""The Python interface of a fusion: a backbone and a strategy, ready to fuse images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from fusionlab.backbone import Backbone
from fusionlab.checkpoint import Card
from fusionlab.engine.arrays_on_device import may_move, moved, moved_back
from fusionlab.engine.build import build_engine
from fusionlab.engine.checks import (
    check_method,
    check_networks,
    check_settings,
    check_smoothing,
    check_sources,
)
from fusionlab.engine.choice import chosen_engine
from fusionlab.engine.device import available_device
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.engine.pipeline import Pipeline
from fusionlab.engine.precision import Precision, convolutions
from fusionlab.engine.scenes import TensorPlanes
from fusionlab.engine.tiling import SMALLEST_EDGE, images_at_once
from fusionlab.engine.transfers import in_main_memory
from fusionlab.engine.untouched import untouched
from fusionlab.engine.weight_history import FrameWeights
from fusionlab.engine.workers import workers
from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.fused import Fused, fuse_by_mode, shown_bands
from fusionlab.imaging.arrays import Stack, color_modes
from fusionlab.imaging.color import Color
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.given import given_scales, given_sources, with_files_read
from fusionlab.imaging.nodata import parse_nodata
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.range_use import range_use
from fusionlab.imaging.scale import Scale, parse_scales, scales_for
from fusionlab.imaging.sources import unmasked
from fusionlab.namespaces import Array, as_array, is_tensor
from fusionlab.plugins.declarations import check_backbone, check_strategy
from fusionlab.plugins.engine_names import AUTO
from fusionlab.plugins.factory import (
    build_backbone,
    build_networks,
    build_strategy,
    default_backbone,
)
from fusionlab.plugins.failures import failures_of, is_out_of_memory, memory_errors, name_of
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import method_id, split_method
from fusionlab.strategy import Law, LearnedStrategy, Strategy
from fusionlab.temporal import FrameStep, TemporalConsistency
from fusionlab.torch_defaults import one_thread_each, torch_defaults

Result = TypeVar("Result")


class Fusion:
    """A method ready to fuse any number of images: backbone, strategy and settings.

        fusion = Fusion("densefuse@1e2", "l1norm,r=0", range_policy="minmax")
        fused = fusion([infrared, visible])

    Sources are numpy arrays (`(H, W)` or `(H, W, 3)`) or torch tensors (`(H, W)`, `(C, H, W)`
    or `(N, C, H, W)` with C 1 or 3), all of one size: integers or floats, which `scale` brings to
    0..1, or truth values, which become black and white. The result is of the same kind, in color if
    any source is, and as deep as the deepest. Paths, `LoadedImage`s of `fusionlab.read_image`,
    Pillow images and arrays of other libraries count as numpy arrays; what is ignored in a file
    costs a `FusionlabWarning`.

    Pixels may be no data: masked ones of a masked array, NaN, those that `valid` of a call leaves
    out, those with the value `nodata`. The value of such a pixel counts nowhere; the result shows
    the other sources there. See docs/guide.md.

    What the program has set for torch changes nothing: an open autocast, the default dtype and
    device, inference mode.

    Gradients flow to tensors that require them, and to a strategy with learned parameters, but
    never to the backbone. Use `range_policy=None` where rounding or min-max normalization would
    stop them. When gradients are required, the backbone runs directly in float32, whatever the
    engine and its precision. (On CUDA, `backward` runs after the call and follows torch's TF32
    settings.)

    To reproduce Table II of the DenseFuse paper: `range_policy="minmax"` with `addition` or
    `l1norm,r=0`, on 8-bit gray pairs.

    A fusion can be pickled, for example to send it to another process; the engine is rebuilt
    there.

    Args:
        backbone: a backbone or its name; None takes the default of the installed plugins, or
            for pixel strategies the one that leaves images as they are. A module is used as it is:
            it is frozen and moved to the device.
        strategy: a strategy, or its name with parameters; None takes the default.
        range_policy: how the decoded image becomes displayable, see
            `fusionlab.imaging.range_policy`. `auto` takes what a pixel strategy declares;
            otherwise it clips for strategies that declare idempotence and normalizes from minimum
            to maximum for all others. `own` takes what the backbone declares, or else the strategy:
            how the program of its authors saves. None returns the decoded floats.
        scale: which values of a source are black and white: `auto`, `full`, `minmax`,
            `percentile=1,99` or `LO,HI`; one for all sources or one for each, see
            `fusionlab.imaging.scale`.
        nodata: the value of pixels that are no data, in the units of the sources, such as -9999,
            or 0 for the black frame of a warped image; a color pixel is no data if all its
            channels have the value. One for all sources or one for each; None: there is none.
        color: `auto`, `per-channel`, `luma` or `gray`, see `fusionlab.imaging.color`.
        shared_weights: whether the three channels of a color image share one set of weights,
            computed from the luminance, where color is fused channel by channel. False computes
            weights for each channel, as in the paper. A strategy may declare one or the other
            (`WeightedStrategy.shares_weights`).
        device: where to compute; the result is returned on the device of the sources.
        tile: edge of the tiles that large images are cut into, in pixels. None derives it from the
            number of sources, the receptive fields, and the engine. The result is the same up to
            rounding. Where the strategy needs the whole image, larger images are refused.
        engine: the name of the engine that runs the backbone, for example `eager`, `ncnn` or
            `openvino`, see docs/speed.md; of two, `eager+ncnn`, the second decodes. `auto` is the
            fastest on this machine, measured once; then the attribute `engine` names what was
            chosen. None takes the default. The result is the same up to the
            rounding of the precision.
        precision: numerical precision of the backbone: `fp32`, or faster and less precise `tf32`
            (CUDA), `bf16` or `fp16`; see `fusionlab.engine.precision`.
        networks: of a learned strategy, one for each level of the backbone, used as they are;
            None loads those that its package offers.
        task: the name of an installed task, such as `focus`, in place of the defaults: its method
            (of which an explicit backbone replaces the backbone, and an explicit strategy all), and
            its color mode and range policy where these are `auto`. `fusionlab.detect_task`
            returns the name that suits the sources.

    Raises:
        FusionlabError: a name or a setting is unknown, the device is not available, or the strategy
            merges pixels and the backbone has learned features (code `pixel-strategy`).
    """

    @torch_defaults()
    def __init__(
        self,
        backbone: Backbone | str | None = None,
        strategy: Strategy | str | None = None,
        *,
        range_policy: RangePolicy | Literal["auto", "own"] | None = "auto",
        scale: str | Scale | Sequence[str | Scale] = "auto",
        nodata: float | str | Sequence[float | str | None] | None = None,
        color: Color | Literal["auto"] = "auto",
        shared_weights: bool = True,
        device: str | torch.device = "cpu",
        tile: int | None = None,
        engine: str | None = None,
        precision: Precision = "fp32",
        networks: nn.ModuleList | None = None,
        task: str | None = None,
    ) -> None:
        check_settings(backbone, strategy, range_policy, color)
        if task is not None:
            defaults = installed().tasks.find(task).ref
            range_policy = defaults.range_policy if range_policy == "auto" else range_policy
            color = defaults.color if color == "auto" else color
            if strategy is None:
                default, strategy = split_method(defaults.method, installed())
                backbone = default if backbone is None else backbone
        if not isinstance(strategy, Strategy):
            plugins = installed()
            strategy = build_strategy(strategy or plugins.default("strategy"), plugins)
        check_strategy(strategy)
        if not isinstance(backbone, Backbone):
            plugins = installed()
            backbone = build_backbone(backbone or default_backbone(strategy, plugins), plugins)
        check_backbone(backbone)
        check_method(backbone, strategy, tile)
        self.card: Card | None = None
        """The card of the loaded weights of a learned strategy."""
        if networks is None and isinstance(strategy, LearnedStrategy):
            networks, strategy, self.card = build_networks(strategy, backbone, installed())
        self.device = available_device(device)
        check_networks(networks, backbone)
        self.networks = (networks or nn.ModuleList()).to(self.device)
        with failures_of("backbone", backbone):
            self.backbone = backbone.freeze().to(self.device)
        self.strategy = strategy
        self.range_policy: RangePolicy | None
        if range_policy == "auto":
            self.range_policy = self._automatic_range()
        elif range_policy == "own":
            self.range_policy = self.backbone.saves or self.strategy.saves
        else:
            self.range_policy = range_policy
        self.scale = parse_scales(scale)
        self.nodata = parse_nodata(nodata)
        self.color: Color | Literal["auto"] = color
        self.shared_weights = shared_weights
        self.tile = tile
        self.engine = engine or installed().default("engine")
        self.precision: Precision = precision
        self._build_engine()

    @torch_defaults()
    def _build_engine(self) -> None:
        """Build the engine, and the networks in its precision."""
        if self.engine == AUTO:
            self.engine = chosen_engine(self.backbone, self.device, self.precision, installed())
        self._engine = build_engine(
            self.engine, self.backbone, self.device, self.precision, installed()
        )
        half = self._engine.dtype != torch.float32
        self._networks = deepcopy(self.networks).to(self._engine.dtype) if half else self.networks

    def _automatic_range(self) -> RangePolicy:
        """Return what the range policy `auto` means for the strategy.

        The result of a pixel strategy, or of one that gives back what all sources show, has the
        gray levels of the sources: a pixel that overshoots must not change the contrast of others.
        """
        if self.strategy.domain == "pixels":
            return self.strategy.saves
        with failures_of("strategy", self.strategy):
            return "clip" if Law.IDEMPOTENCE in self.strategy.laws else "minmax"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the engine: it may hold compiled code."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_engine", "_networks")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build_engine()

    def __repr__(self) -> str:
        """Show the method, and the settings that differ from their defaults."""
        backbone, _, strategy = self.method.partition("/")
        scales = [str(scale) for scale in self.scale]
        settings: dict[str, tuple[object, object]] = {  # name -> value and default
            "range_policy": (self.range_policy, self._automatic_range()),
            "scale": (scales[0] if len(scales) == 1 else scales, "auto"),
            "nodata": (self.nodata[0] if len(self.nodata) == 1 else [*self.nodata], None),
            "color": (self.color, "auto"),
            "shared_weights": (self.shared_weights, True),
            "device": (str(self.device), "cpu"),
            "tile": (self.tile, None),
            "engine": (self.engine, installed().default("engine")),
            "precision": (self.precision, "fp32"),
        }
        changed = [
            f"{name}={value!r}" for name, (value, default) in settings.items() if value != default
        ]
        return f"Fusion({', '.join([repr(backbone), repr(strategy), *changed])})"

    @property
    def method(self) -> str:
        """The full name of the method, for example `densefuse@1e2/l1norm,r=1,border=inside`."""
        return method_id(self.backbone, self.strategy, installed())

    def __call__(self, sources: Iterable[Any], valid: Sequence[Any] | None = None) -> Any:
        """Fuse k sources into one image of the same kind; see the class for their kinds.

        Args:
            sources: the images.
            valid: see `fuse`.

        Raises:
            FusionlabError: the sources are too few or too many, differ in size or kind, or hold
                values that the scale does not accept.
        """
        return self.fuse(sources, valid=valid).image

    @memory_errors("to fuse these sources")
    @torch_defaults()
    def fuse(
        self,
        sources: Iterable[Any],
        *,
        valid: Sequence[Any] | None = None,
        weights: bool = False,
        depth: Depth | None = None,
        names: Sequence[str] = (),
        scale: Sequence[Scale] = (),
        feature_cache: FeatureCache | None = None,
        temporal: TemporalConsistency | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Fused[Any]:
        """Fuse k sources, like a call, with more options and a more detailed result.

        Args:
            sources: an iterable of k images, as for a call.
            valid: which pixels of each source are data: k arrays or tensors of truth values,
                `(H, W)`, for batches also `(N, 1, H, W)`, or None for a source that is data
                everywhere. What the sources themselves call no data remains so.
            weights: also return the weight map of each source: the weight at the finest level
                of the backbone, averaged over its channels.
            depth: bits per sample of the result (32: float32 in 0..1); None: as the deepest
                source.
            names: names of the sources for error messages.
            scale: one for each source in the place of those of the fusion, such as these converted
                to the units of the sources.
            feature_cache: keeps the features of small images, so that other strategies on the same
                backbone do not encode them again.
            temporal: what carries over from frame to frame of a sequence, whose next frame these
                sources are; None: they stand alone.
            progress: called with (tiles done, tiles in all) after each tile.

        Raises:
            FusionlabError: as for a call, or `weights` with a strategy that has none; see also
                `TemporalConsistency.begin`.
        """
        if depth not in (None, *get_args(Depth)):
            raise FusionlabError(f"the depth must be 8, 16, 32 or None, got {depth!r}")
        named = bool(names)
        read = with_files_read(sources)
        scales = scale or given_scales(read, self.scale)
        images, names = given_sources(read, names, valid=valid, nodata=self.nodata)
        if not named:  # whoever names them has read files, and reports on these
            self._warn_of_unused_ranges(images, names, scales)
        step: FrameStep | None = None
        if temporal is None:
            modes = color_modes(images, self.color, names)
        else:
            if temporal.smoothing:
                self.check_smoothing()
            step = temporal.begin(
                images, names, scales=scales, color=self.color, range_policy=self.range_policy
            )
            scales, modes = step.scales, step.modes

        def fuse(sources: Sequence[Any], color: Color) -> Fused[Any]:
            stack = Stack(sources, scales, color, names)
            return self._fuse_stack(stack, weights, depth, feature_cache, step, progress)

        fused: Fused[Any]
        if depth == 16 or not may_move(images, self.device):
            fused = fuse_by_mode(images, modes, fuse)
        else:
            with torch.no_grad():  # arrays have none
                fused = fuse_by_mode([moved(image, self.device) for image in images], modes, fuse)
            fused = replace(
                fused,
                image=moved_back(fused.image),
                weights=[moved_back(weights) for weights in fused.weights],
            )
        if temporal is not None and step is not None:
            temporal.end(step)
        return fused

    def _warn_of_unused_ranges(
        self, images: Sequence[Any], names: Sequence[str], scales: Sequence[Scale]
    ) -> None:
        """Warn of arrays that take up too little of the range of their type."""
        if len(scales) not in (1, len(images)):
            return  # the stack says what is wrong
        for image, name, scale in zip(images, names, scales_for(scales, len(images)), strict=True):
            use = range_use(image) if isinstance(unmasked(image), np.ndarray) else None
            if scale.kind == "auto" and use is not None and use.too_little:
                warnings.warn(f"{name} {use.advice}", FusionlabWarning, stacklevel=4)

    def _fuse_stack(
        self,
        stack: Stack,
        weights: bool,
        depth: Depth | None,
        feature_cache: FeatureCache | None,
        step: FrameStep | None,
        progress: Callable[[int, int], None],
    ) -> Fused[Any]:
        """Fuse sources in one color mode; see `fuse` for the arguments."""
        planes = _StackPlanes(stack)

        def run(pipeline: Pipeline) -> Fused[Any]:
            maps: list[Array] = []

            def decoded() -> Iterator[Tensor]:
                for band in pipeline.bands(
                    planes, weights=weights, feature_cache=feature_cache, progress=progress
                ):
                    maps.append(band.maps)
                    yield band.fused

            bands = decoded() if stack.on_tensors else in_main_memory(decoded())
            shown = shown_bands(
                stack,
                map(planes.like_sources, bands),
                self.range_policy,
                depth,
                None if step is None else step.minmax,
            )
            return replace(
                shown,
                weights=stack.weight_maps([planes.like_sources(each) for each in maps]),
                tile=pipeline.tile if pipeline.tile != self.tile else None,
            )

        with torch.set_grad_enabled(torch.is_grad_enabled() and stack.on_tensors):
            return self._run(
                run,
                stack.shape[0],
                weights=weights,
                gradients=stack.requires_grad,
                smoothing=None if step is None else step.weights,
            )

    def check_smoothing(self) -> None:
        """Raise `FusionlabError` unless the weights can be smoothed over time (`no-weights`)."""
        check_smoothing(self.strategy)

    def at_once(self, k: int, height: int, width: int) -> int:
        """Return how many images of this size, of k sources each, a batch should have."""
        return images_at_once(k, height, width, self._engine.pixels_at_once)

    def together(self, k: int, height: int, width: int) -> int:
        """Return how many images of this size, of k sources each, are best fused at the same time.

        With 1, one follows another, and the tiles of each are computed at the same time.
        """
        if self.device.type != "cpu" or not self._engine.tiles_in_parallel:
            return 1
        pipeline = Pipeline(self._engine, self.strategy, self._networks, self.tile)
        return pipeline.together(k, height, width, torch.get_num_threads())

    def one_of_several(self) -> AbstractContextManager[object]:
        """Return the block in which this thread fuses one of several images that are `together`."""
        return one_thread_each()

    @memory_errors("to fuse these planes")
    @torch_defaults()
    def fuse_planes(
        self,
        planes: Tensor,
        *,
        weights: bool = False,
        feature_cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> tuple[Tensor, Tensor]:
        """Fuse gray images `(k, N, 1, H, W)` in 0..1.

        Returns:
            The decoded images `(N, 1, H, W)` without a range policy, and the weight maps
            `(k, N, 1, H, W)`, or `(0, N, 1, H, W)` where they were not asked for.
        """
        stack = TensorPlanes(planes)

        def run(pipeline: Pipeline) -> tuple[Tensor, Tensor]:
            bands = list(
                pipeline.bands(
                    stack, weights=weights, feature_cache=feature_cache, progress=progress
                )
            )
            fused, maps = (torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True))
            return fused.to(planes.device), maps.to(planes.device)

        return self._run(run, len(planes), weights=weights, gradients=planes.requires_grad)

    def _run(
        self,
        run: Callable[[Pipeline], Result],
        k: int,
        *,
        weights: bool,
        gradients: bool,
        smoothing: FrameWeights | None = None,
    ) -> Result:
        """Run the pipeline; where memory does not suffice, retry with tiles of half the edge."""
        check_sources(self.strategy, k, weights=weights)
        pipeline = Pipeline(
            self._engine,
            self.strategy,
            self._networks,
            self.tile,
            self.shared_weights,
            smoothing=smoothing,
        )
        gradients = gradients or any(p.requires_grad for p in self.networks.parameters())
        gradients = gradients and torch.is_grad_enabled()
        if gradients:
            plain = Eager(self.backbone, self.device, "fp32")
            pipeline = replace(pipeline, engine=plain, networks=self.networks)
        of_backbone, of_networks = self.backbone.parameters(), self._networks.parameters()
        with (
            untouched(partial(_named, "backbone", self.backbone), "its parameters", *of_backbone),
            untouched(partial(_named, "strategy", self.strategy), "its networks", *of_networks),
            convolutions(self.device, allow_tf32=self.precision == "tf32"),
        ):
            on_cpu = self.device.type == "cpu"
            in_parallel = on_cpu and not gradients and pipeline.engine.tiles_in_parallel
            while True:
                try:
                    with workers(in_parallel=in_parallel) as threads:
                        return run(replace(pipeline, workers=threads))
                except (FusionlabError, MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
                    edge = pipeline.edge(k)
                    if pipeline.support is None or edge is None or edge // 2 < SMALLEST_EDGE:
                        raise
                    pipeline = replace(pipeline, tile=edge // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()


@dataclass(frozen=True)
class _StackPlanes:
    """The planes of a stack as the pipeline takes them: tensors, also of arrays."""

    stack: Stack

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.stack.shape

    @property
    def group(self) -> int:
        return self.stack.group

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        return _tensor(self.stack.cut(images, rows, columns))

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Tensor:
        return _tensor(self.stack.cut_luminance(images, rows, columns))

    def cut_color(self, images: slice, rows: slice, columns: slice) -> Tensor | None:
        color = self.stack.cut_color(images, rows, columns)
        return None if color is None else _tensor(color)

    def cut_valid(self, images: slice, rows: slice, columns: slice) -> Tensor | None:
        valid = self.stack.cut_valid(images, rows, columns)
        return None if valid is None else _tensor(valid)

    def like_sources(self, tensor: Tensor) -> Array:
        """Return a tensor on the device of the sources, or as an array where they are arrays."""
        return tensor.to(self.stack.device) if self.stack.on_tensors else as_array(tensor)


def _tensor(array: Array) -> Tensor:
    tensor: Tensor = array if is_tensor(array) else torch.from_numpy(np.ascontiguousarray(array))
    return tensor


def _named(role: str, part: object) -> str:
    return f"the {role} {name_of(part)}"
