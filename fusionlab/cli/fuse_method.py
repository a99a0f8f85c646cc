"""The part of `fusionlab fuse` for methods: their backbone, strategy and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.fuse_files import settings_facts
from fusionlab.cli.fuse_task import detect_from_sources, take_defaults
from fusionlab.cli.session import Session
from fusionlab.plugins.tasks import DETECT

if TYPE_CHECKING:
    from fusionlab.detection import Detection
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.runs.file_fusion import FileFusion
    from fusionlab.runs.image_sets import ImageSetItem

SETTINGS = ("scale", "nodata", "shared_weights", "device", "tile", "engine", "precision")
"""Options that are settings of a fusion as they are."""


def fusion_of_method(
    ctx: click.Context,
    session: Session,
    sources: Sequence[Path],
    items: Sequence[ImageSetItem],
    options: dict[str, Any],
    load: Callable[[Sequence[Path]], list[LoadedImage]] | None = None,
) -> tuple[FileFusion, list[LoadedImage], dict[str, Any]]:
    """Return the fusion of files with the method that was given, or that the sources call for.

    Args:
        ctx: of the command.
        session: of the command.
        sources: the files, or folders.
        items: the image set, where they are folders.
        options: of `FileFusion`.
        load: reads the sources, to detect their task; None: from files, as `FileFusion` does.

    Returns:
        The fusion; the sources, where they have been read to detect their task; and the settings to
        print.
    """
    from fusionlab.fusion import Fusion
    from fusionlab.plugins.factory import build_backbone, default_backbone
    from fusionlab.runs.file_fusion import FileFusion, load_sources

    plugins, chosen = session.plugins, ctx.params
    task, strategy = chosen["task"], chosen["strategy"]
    backbone, color, range_policy = (chosen[key] for key in ("backbone", "color", "range_policy"))
    loaded: list[LoadedImage] = []
    detected: Detection | None = None
    if detecting := task == DETECT or strategy is None:
        how = {name: options[name] for name in ("resize", "max_pixels", "registrar")}
        load = load or partial(load_sources, **how)
        detected, loaded = detect_from_sources(
            sources,
            items,
            load or partial(load_sources, **how),
            chosen["scale"],
            chosen["nodata"],
            plugins,
        )
        task = detected and detected.task
        strategy, backbone, color, range_policy = take_defaults(ctx, task, plugins)
    fusion = Fusion(
        build_backbone(backbone or default_backbone(strategy, plugins), plugins),
        strategy,
        range_policy=range_policy,
        color=color,
        **{name: chosen[name] for name in SETTINGS},
    )
    file_fusion = FileFusion(fusion, plugins, task=task, detected=detected is not None, **options)
    facts = settings_facts(fusion, session, chosen["preset"], task, detected)
    if items and detecting and detected is None:  # every item fails before it has a method
        facts["method"] = None
    return file_fusion, loaded, facts
