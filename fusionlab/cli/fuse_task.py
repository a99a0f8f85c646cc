"""The part of `fusionlab fuse` for tasks: detect the task of the sources, and take its method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fusionlab.cli.output import warn

if TYPE_CHECKING:
    from fusionlab.detection import Detection
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.plugins.registry import Plugins
    from fusionlab.runs.image_sets import ImageSetItem
    from fusionlab.strategy import Strategy


def detect_from_sources(
    paths: Sequence[Path],
    items: Sequence[ImageSetItem],
    load: Callable[[Sequence[Path]], list[LoadedImage]],
    scale: Sequence[str],
    nodata: Sequence[str],
    plugins: Plugins,
) -> tuple[Detection | None, list[LoadedImage]]:
    """Detect the task of files, or of an image set; print what went wrong with a task as warnings.

    Args:
        paths: the files, where the sources are files.
        items: the image set, where they are folders; empty otherwise.
        load: reads the sources of one image.
        scale: which values of the sources are black and white.
        nodata: which of their values mean no data.
        plugins: the plugins that offer the tasks.

    Returns:
        The detection, None if no image of the set can be read; and the files that were read.
    """
    from fusionlab.detection import detect
    from fusionlab.imaging.given import given_sources
    from fusionlab.imaging.nodata import parse_nodata
    from fusionlab.imaging.scale import parse_scales, scales_of
    from fusionlab.imaging.thumbnails import thumbnails
    from fusionlab.runs.set_detection import detect_task_of_set

    sources: list[LoadedImage] = []
    detection: Detection | None
    if items:
        detection = detect_task_of_set(items, load, scale, plugins, nodata)
    else:
        sources = load(paths)
        pixels, names = given_sources(sources, nodata=parse_nodata(nodata))
        scales = scales_of(sources, parse_scales(scale))
        detection = detect(thumbnails(pixels, scales, names), plugins)
    for problem in detection.problems if detection else ():
        warn(problem)
    return detection, sources


def take_defaults(
    ctx: click.Context, task: str | None, plugins: Plugins
) -> tuple[Strategy, str | None, Any, Any]:
    """Return strategy, backbone, color and range policy: what was given, or else those of a task.

    Args:
        ctx: of the command, which knows what was given.
        task: the detected task; None if none could be detected: the default strategy is taken.
        plugins: the plugins that offer the task and its method.
    """
    from fusionlab.plugins.factory import build_strategy
    from fusionlab.plugins.method_names import split_method

    options = ("strategy", "backbone", "color", "range_policy")
    strategy, backbone, color, range_policy = (ctx.params[name] for name in options)
    if task is None:
        method = plugins.default("strategy")
    else:
        defaults = plugins.tasks.find(task).ref
        own_backbone, method = split_method(defaults.method, plugins)
        if strategy is None:
            backbone = backbone or own_backbone
        if ctx.get_parameter_source("color") is ParameterSource.DEFAULT:
            color = defaults.color
        if ctx.get_parameter_source("range_policy") is ParameterSource.DEFAULT:
            range_policy = defaults.range_policy
    return strategy or build_strategy(method, plugins), backbone, color, range_policy
