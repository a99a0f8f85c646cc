"""The part of `fusionlab fuse` for files, and the settings and results that it prints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.cli.output import show_facts, show_progress, warn
from fusionlab.cli.registration import described
from fusionlab.cli.session import Session
from fusionlab.plugins.engine_names import DEFAULT

if TYPE_CHECKING:
    from fusionlab.detection import Detection
    from fusionlab.fusion import Fusion
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.runs.destination import Destination
    from fusionlab.runs.file_fusion import FileFusion


def settings_facts(
    fusion: Fusion,
    session: Session,
    preset: str | None,
    task: str | None,
    detected: Detection | None,
) -> dict[str, Any]:
    """Return the settings to print."""
    from fusionlab.plugins.method_names import method_id

    votes = detected and {"votes": detected.votes, "images": detected.images}
    return {
        "task": task,
        "detected": votes,
        "method": method_id(fusion.backbone, fusion.strategy, session.plugins),
        "preset": preset,
        "range": fusion.range_policy,
        "color": fusion.color,
        "shared_weights": fusion.shared_weights,
        "scale": " ".join(map(str, fusion.scale)),
        "device": str(fusion.device),
        "engine": fusion.engine,
    }


def as_lines(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as people read them: one line about the task, and one about color."""
    facts = {"left out" if name == "left_out" else name: value for name, value in facts.items()}
    task, votes = facts["task"], facts["detected"]
    if votes:
        several = f" in {votes['votes']} of {votes['images']} images"
        task += f" (detected{several if votes['images'] > 1 else '; choose with --task'})"
    color, shared = facts["color"], facts["shared_weights"]
    separate = ", separate weights" if color in ("auto", "per-channel") and not shared else ""
    engine = facts.get("engine")  # an exported model has none
    lines = {
        "task": task,
        "detected": None,
        "color": f"{color}{separate}",
        "shared_weights": None,
        "engine": None if engine == DEFAULT else engine,
    }
    return {**facts, **lines}


def output_file(output: str | None, sources: Sequence[Path], suffix: str) -> tuple[Path, bool]:
    """Return the file of one image, and whether `output` names only its folder.

    A folder ends in a slash, or exists. The file in it is named after the sources, if all have one
    stem.
    """
    path = Path(output or "fused.png")
    if not names_folder(output):
        return path, False
    from fusionlab.imaging.selecting import file_of

    stems = {file_of(source).stem for source in sources}
    return path / f"{stems.pop() if len(stems) == 1 else 'fused'}.{suffix}", True


def names_folder(output: str | None) -> bool:
    """Return whether an output is a folder, not the name of an image."""
    from fusionlab.imaging.writing import FORMATS

    if output is None:
        return False
    path = Path(output)
    is_image = path.suffix.lower() in FORMATS
    return output.endswith(("/", os.sep)) or (not is_image and path.is_dir())


def fuse_files(
    file_fusion: FileFusion,
    sources: Sequence[LoadedImage],
    destination: Destination,
    settings: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Fuse sources to a file, and print the settings and what was written."""
    from fusionlab.runs.record import remove_stale_record
    from fusionlab.storage.atomic import atomic_write_all, make_folder

    with show_progress("fusing") as progress:
        product = file_fusion.fuse(sources, destination, progress)
    files = file_fusion.encode(product)
    for folder in destination.folders:
        make_folder(folder)
    with atomic_write_all(files):
        pass
    remove_stale_record(destination)
    for note in product.notes:
        warn(note)
    height, width = product.fused.image.shape[:2]
    facts = {
        **settings,
        "color": product.fused.colors[0],
        "depth": 8 * product.fused.image.dtype.itemsize,
        "width": width,
        "height": height,
        "sources": [source.name for source in sources],
        "registrations": [
            source.resampled and dict(source.resampled.description) for source in sources
        ],
        "weights": [
            str(path)
            for path in (destination.weights, *destination.weight_maps)
            if path is not None
        ],
        "index": str(destination.index) if destination.index else None,
        "overlay": str(destination.overlay) if destination.overlay else None,
        "record": str(destination.record) if destination.record else None,
        "no_data": [0] * len(sources)
        if (counts := product.fused.no_data) is None
        else counts[:, 0].tolist(),
        "output": str(destination.image),
        "warnings": product.notes,
    }
    if not as_json:
        size = f"{len(sources)} of {facts.pop('width')}x{facts.pop('height')}"
        lacking = [
            f"{source.name} at {count} pixels"
            for source, count in zip(sources, facts.pop("no_data"), strict=True)
            if count
        ]
        registered = [
            f"{source.name} {described(source.resampled.description)}"
            for source in sources
            if source.resampled
        ]
        facts = as_lines(facts) | {"sources": size, "registrations": registered}
        facts |= {"no data": lacking or None, "warnings": None}
    show_facts(facts, as_json=as_json)
