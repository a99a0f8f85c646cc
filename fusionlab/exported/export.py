"""Export a method: trace it, convert it, compare it with the pipeline, and write the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch

from fusionlab.checkpoint import Card
from fusionlab.engine.checks import check_sources
from fusionlab.engine.eager import Eager
from fusionlab.engine.pipeline import Pipeline
from fusionlab.errors import FusionlabError
from fusionlab.exported.assembly import DECODED, assembled, extended_name
from fusionlab.exported.comparison import SIZES, compare
from fusionlab.exported.conversion import OPSET, SMALLEST_EDGE, to_onnx, traced
from fusionlab.exported.graph import OF_A_TILE, OF_COLOR, DisplayedImage, MethodGraph, ScaledImage
from fusionlab.exported.metadata import FORMAT, ModelMetadata, Weights
from fusionlab.exported.sessions import NotExportable
from fusionlab.fusion import Fusion
from fusionlab.imaging.depth import DTYPES, Depth
from fusionlab.imaging.scale import scales_for
from fusionlab.plugins.failures import failures_of, memory_errors
from fusionlab.plugins.host import installed
from fusionlab.runs.destination import check_writable
from fusionlab.runs.record import describe_method
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.storage.versions import library_versions
from fusionlab.torch_defaults import torch_defaults

if TYPE_CHECKING:
    import onnx

LIBRARIES = ("fusionlab-imaging", "torch", "onnx", "onnxscript", "onnxruntime")
"""The distributions that make a model, and that compare it with the pipeline."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the export needs besides torch."""
OLDEST_TORCH = (2, 9)
"""The first version of torch whose exporter writes what this project traces."""
SUFFIX = ".onnx"

EXAMPLE_EDGE = 40
"""Smallest edge of the images that are traced, in pixels: wider than the windows of most
strategies, so that no pixel is a special case."""


@torch_defaults()
def export(
    fusion: Fusion,
    path: str | os.PathLike[str],
    *,
    sources: int = 2,
    depths: Depth | Sequence[Depth] | None = None,
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ModelMetadata:
    """Export a method as one ONNX graph: encoder, strategy and decoder, for gray images.

        fusionlab.export(Fusion("densefuse", "l1norm"), "l1norm.onnx", sources=3)

    The graph takes `source_1` to `source_K`, float32 `(N, 1, H, W)` in 0..1, and returns `fused`,
    as the decoder does, before the range policy. N, H and W vary. It is compared with the pipeline
    in onnxruntime before the file is written; docs/export.md says how it is run, and what a
    strategy must be like. It takes the extra `onnx`, and torch 2.9 or later.

    Args:
        fusion: the method and its settings; it is not changed. Its scale, range policy and color go
            into the metadata of the file, and with `depths` into the graph.
        path: the file, whose name ends in `.onnx`.
        sources: k, how many sources the graph has as inputs.
        depths: 8, 16 or 32 puts scale and range policy into the graph, too: it takes `image_1` to
            `image_K` of so many bits per sample (uint8, uint16, float32), and returns
            `fused_image`. One for all sources, or one for each; the fused image has the most of
            them.
        size: width and height of all images, for methods that decide by them; None: any.
        overwrite: whether the file may exist already.
        progress: called with (steps done, steps in all).

    Returns:
        The metadata of the model; `difference` is the largest that was found.

    Raises:
        FusionlabError: the method cannot be exported (code `not-exportable`), a setting does not
            suit it, a package is missing (code `missing-package`), or the file cannot be written.
    """
    file = Path(path)
    if file.suffix.lower() != SUFFIX:
        raise FusionlabError(
            f"cannot write {file}: the name of a model must end in {SUFFIX}",
            code="output-format",
            path=file,
        )
    check_writable(file, overwrite=overwrite)
    model, metadata = exported_model(
        fusion, sources=sources, depths=depths, size=size, progress=progress
    )
    with atomic_write_all({file: model.SerializeToString()}):
        pass
    return metadata


def exported_model(
    fusion: Fusion,
    *,
    sources: int,
    depths: Depth | Sequence[Depth] | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[onnx.ModelProto, ModelMetadata]:
    """Return a model and its metadata; see `export`."""
    _check_packages()
    try:
        with memory_errors("to export the method"):
            return _exported_model(fusion, sources, depths, size, progress)
    except NotExportable as error:
        raise FusionlabError(
            f"the method {fusion.method} cannot be exported: {error}",
            code="not-exportable",
            option=error.option,
        ) from error


def _exported_model(
    fusion: Fusion,
    sources: int,
    depths: Depth | Sequence[Depth] | None,
    size: tuple[int, int] | None,
    progress: Callable[[int, int], None],
) -> tuple[onnx.ModelProto, ModelMetadata]:
    """Return a model and its metadata; see `export`.

    Raises:
        NotExportable: the method cannot be exported.
        FusionlabError: a setting does not suit it.
    """
    if fusion.precision != "fp32":
        raise FusionlabError(
            f"a model computes in fp32, got the precision {fusion.precision}; choose fp32",
            code="precision",
            option="precision",
        )
    check_sources(fusion.strategy, sources, weights=False)
    all_depths = _all_depths(depths, sources)
    _check_settings(fusion, sources, all_depths)
    sizes: tuple[tuple[int, int], ...] = SIZES if size is None else (size[::-1],)
    steps, done = 3 + len(sizes), count(1)

    def step() -> None:
        progress(next(done), steps)

    progress(0, steps)
    graph = MethodGraph(fusion)
    divisor = fusion.backbone.size_divisor
    examples = _examples(fusion, sources, size)
    # what the code keeps from its first call must not be tensors of the tracer
    fusion.fuse_planes(torch.stack(examples))
    program, least = traced(graph, (examples,), divisor, fixed=size is not None)
    step()
    inputs = [extended_name(number) for number in range(1, sources + 1)]
    method = to_onnx(program, inputs, DECODED)
    step()
    metadata = _metadata(fusion, graph, sources, all_depths, size)
    around = _around(fusion, sources, all_depths)
    candidates = [1] if size is not None else _smallest(fusion, least)
    for smallest in candidates:
        metadata = replace(metadata, smallest=smallest)
        checked = tuple((max(h, smallest), max(w, smallest)) for h, w in sizes)
        try:
            trial = assembled(method, metadata, *around)
            difference = compare(fusion, trial, metadata, checked, step)
            break
        except NotExportable:
            if smallest == candidates[-1]:
                raise
    metadata = replace(
        metadata, difference=difference.largest, differing=difference.share, checked=checked
    )
    model = assembled(method, metadata, *around)
    step()
    return model, metadata


def _check_packages() -> None:
    """Refuse a torch that is too old, and packages that are missing."""
    if torch_version() < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise FusionlabError(
            f"the export needs torch {oldest} or later, got {torch.__version__}; update torch",
            code="torch-too-old",
        )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise FusionlabError(
            f"the export needs packages that are not installed ({', '.join(missing)}); install "
            "them with pip install 'fusionlab-imaging[onnx]'",
            code="missing-package",
        )


def torch_version() -> tuple[int, int]:
    """Return the version of torch."""
    major, minor, *_ = torch.__version__.split(".")
    return int(major), int(minor)


def _all_depths(depths: Depth | Sequence[Depth] | None, sources: int) -> tuple[Depth, ...] | None:
    """Return one depth for each source; None: none was given."""
    if depths is None:
        return None
    given = (depths,) if isinstance(depths, int) else tuple(depths)
    if any(depth not in get_args(Depth) for depth in given):
        raise FusionlabError(
            f"the depths must be 8, 16 or 32, got {', '.join(map(str, given))}", option="depths"
        )
    if len(given) not in (1, sources):
        raise FusionlabError(
            f"expected one depth, or one for each of {sources} sources, got {len(given)}",
            option="depths",
        )
    return given * sources if len(given) == 1 else given


def _check_settings(fusion: Fusion, sources: int, depths: tuple[Depth, ...] | None) -> None:
    """Refuse settings that a graph cannot hold."""
    scales = scales_for(fusion.scale, sources)
    if depths is None:
        return
    if fusion.range_policy is None:
        raise FusionlabError(
            "a graph that returns images needs a range policy, got None; choose clip or minmax",
            code="no-range",
            option="range_policy",
        )
    for scale in scales:
        if scale.kind == "percentile" or scale.unit:
            raise NotExportable(
                f"the scale {scale} cannot be part of a graph; choose full, minmax or LO,HI",
                option="scale",
            )


def _examples(
    fusion: Fusion, sources: int, size: tuple[int, int] | None
) -> tuple[torch.Tensor, ...]:
    """Return images to trace, `(2, 1, H, W)` for each source, of edges that differ."""
    divisor = fusion.backbone.size_divisor
    if size is None:
        with failures_of("strategy", fusion.strategy):
            support = fusion.strategy.support or 0
        _, halo, _ = fusion.backbone.halos(support)
        edge = max(EXAMPLE_EDGE, 2 * halo + 8)
        size = (edge + 2 * divisor, edge)
    width, height = (-(-edge // divisor) * divisor for edge in size)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(sources, 2, 1, height, width, generator=generator)
    return tuple(images.unbind())


def _smallest(fusion: Fusion, least: int) -> list[int]:
    """Return what the smallest edge of images may be, in pixels; the last one is certain.

    A graph that was traced for two or three pixels mostly holds for one, too, which
    `fusionlab.exported.assembly` repeats; the comparison says it. A block of several pixels is not
    repeated, which would change what lies around it.

    Args:
        fusion: the method.
        least: of how many blocks of the size divisor an image consists at least.
    """
    divisor = fusion.backbone.size_divisor
    stride = max(level.stride for level in fusion.backbone.levels)
    floor = stride * (fusion.strategy.min_size - 1) + 1  # which the strategy asks for
    if divisor > 1:
        return [max(floor, divisor * (least - 1) + 1)]
    return [floor, max(floor, least)] if least <= SMALLEST_EDGE + 1 else [max(floor, least)]


def _around(fusion: Fusion, sources: int, depths: tuple[Depth, ...] | None) -> tuple[Any, ...]:
    """Return the graphs of scale and range policy; nothing if they stay outside."""
    if depths is None:
        return ()
    assert fusion.range_policy is not None  # checked
    scalings = [
        _converted(ScaledImage(scale), DTYPES[depth], f"image_{number}", f"source_{number}")
        for number, (scale, depth) in enumerate(
            zip(scales_for(fusion.scale, sources), depths, strict=True), start=1
        )
    ]
    display = DisplayedImage(fusion.range_policy, DTYPES[max(depths)])
    return scalings, _converted(display, "float32", "fused", "fused_image")


def _converted(module: torch.nn.Module, dtype: str, source: str, result: str) -> Any:
    """Return the graph of a module that treats each pixel by itself."""
    example = torch.rand(2, 1, EXAMPLE_EDGE, EXAMPLE_EDGE + 2).mul(200).to(getattr(torch, dtype))
    program, _ = traced(module, (example,), 1, fixed=False)
    return to_onnx(program, [source], result)


def _metadata(
    fusion: Fusion,
    graph: MethodGraph,
    sources: int,
    depths: tuple[Depth, ...] | None,
    size: tuple[int, int] | None,
) -> ModelMetadata:
    """Return what is known before the model has been compared with the pipeline."""
    facts = describe_method(fusion, installed())
    backbone, strategy = fusion.backbone, fusion.strategy
    engine = Eager(backbone, fusion.device, "fp32")
    pipeline = Pipeline(engine, strategy, fusion.networks, None, fusion.shared_weights)
    with failures_of("strategy", strategy):
        support = strategy.support
        cut = (
            support is not None
            and backbone.receptive_field is not None
            and not strategy.two_pass
            and not graph.read & OF_A_TILE
            and size is None
        )
    return ModelMetadata(
        format=FORMAT,
        method=facts["method"],
        backbone=facts["backbone"],
        weights=_weights(backbone.card),
        strategy=facts["strategy"],
        parameters=facts["parameters"],
        networks=_weights(fusion.card),
        sources=sources,
        roles=tuple(strategy.roles),
        range=fusion.range_policy,
        saves=backbone.saves or strategy.saves,
        scale=tuple(map(str, fusion.scale)),
        color=fusion.color,
        shared_weights=pipeline.shares_weights,
        looks_at_color=bool(graph.read & OF_COLOR),
        depths=depths,
        size=None if size is None else size[::-1],
        smallest=1,
        size_divisor=backbone.size_divisor,
        halos=backbone.halos(support or 0) if cut else None,
        difference=0,
        differing=0,
        checked=(),
        opset=OPSET,
        plugins=facts["plugins"],
        libraries=library_versions(LIBRARIES),
    )


def _weights(card: Card | None) -> Weights | None:
    if card is None:
        return None
    return {"tag": card.tag, "sha256": card.sha256, "license": card.license}
