"""Records: how an image was made, so that anybody can make it again.

A record is plain JSON. It holds no time and no absolute path: the same sources, settings and
versions give the same bytes. It is written next to the image (`fused.png.json`), and into PNG and
TIFF files as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np

from fusionlab.errors import FusionlabError
from fusionlab.fused import Fused
from fusionlab.imaging.formats import pillow_formats
from fusionlab.imaging.nodata import nodata_text
from fusionlab.imaging.reading import MAX_PIXELS, LoadedImage, read_image
from fusionlab.imaging.rows import Rows, bands
from fusionlab.parameters import Param, params_of
from fusionlab.plugins.engine_names import engines_named
from fusionlab.plugins.method_names import method_id
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.destination import Destination, is_record_path, record_path
from fusionlab.storage.hashing import sha256_of_parts
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import Count, mismatch, newer_version
from fusionlab.storage.versions import library_versions

if TYPE_CHECKING:
    from fusionlab.fusion import Fusion

LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "imageio", "pillow", "tifffile", "imagecodecs")
"""The distributions that read, compute or write pixels."""

Record = dict[str, Any]

_MARKS = {"method", "result", "parameters"}
"""What tells a record from other JSON."""


class _Image(TypedDict):
    name: str
    width: Count
    height: Count
    channels: Count
    depth: Count
    kind: str


class _Source(_Image):
    sha256: str
    black: float
    white: float
    no_data: NotRequired[Count]


class _Result(_Image):
    pixels_sha256: str


class _Weights(TypedDict):
    tag: str
    sha256: str


class _Model(TypedDict):
    name: str
    sha256: str


class _Task(TypedDict):
    name: str
    detected: bool


class MethodRecord(TypedDict):
    """The fields that say how images are fused, as they are read; see `describe_method`."""

    method: str
    backbone: str
    weights: _Weights | None
    strategy: str
    parameters: Mapping[str, bool | str]
    networks: NotRequired[_Weights | None]
    range: str
    color: str
    shared_weights: NotRequired[bool]  # older records lack it
    scale: list[str]
    nodata: NotRequired[list[str]]
    resize: str | None
    device: str
    gpu: str | None
    tile: Count | None
    engine: str
    precision: str
    plugins: Mapping[str, str | None]
    libraries: Mapping[str, str | None]
    task: NotRequired[_Task | None]
    model: NotRequired[_Model]


class _Record(MethodRecord):
    """The fields of a record that are read; see `describe_method` and `describe_run`."""

    sources: list[_Source]
    result: _Result


def describe_method(fusion: Fusion, plugins: Plugins) -> Record:
    """Return the part of a record that does not depend on the sources."""
    import torch

    backbone, strategy = fusion.backbone, fusion.strategy
    registrations = (
        plugins.backbones.registration_of(type(backbone)),
        plugins.strategies.registration_of(type(strategy)),
        *engines_named(fusion.engine, plugins),
    )
    used = {registration.plugin for registration in registrations if registration}
    card = fusion.card
    any_nodata = any(value is not None for value in fusion.nodata)
    networks = {"networks": {"tag": card.tag, "sha256": card.sha256}} if card else {}
    return {
        "method": method_id(backbone, strategy, plugins),
        "backbone": plugins.backbones.name_of(type(backbone)),
        "weights": backbone.card and {"tag": backbone.card.tag, "sha256": backbone.card.sha256},
        "strategy": plugins.strategies.name_of(type(strategy)),
        "parameters": {
            param.name: _as_option(param, getattr(strategy, param.name))
            for param in params_of(type(strategy))
        },
        **networks,
        "range": fusion.range_policy,
        "color": fusion.color,
        "shared_weights": fusion.shared_weights,
        "scale": [str(scale) for scale in fusion.scale],
        **({"nodata": [*map(nodata_text, fusion.nodata)]} if any_nodata else {}),
        "device": str(fusion.device),
        "gpu": torch.cuda.get_device_name(fusion.device) if fusion.device.type == "cuda" else None,
        "tile": fusion.tile,
        "engine": fusion.engine,
        "precision": fusion.precision,
        "plugins": {p.name: p.version for p in plugins.loaded if p.name in used},
        "libraries": library_versions(LIBRARIES),
    }


def describe_run(
    sources: Sequence[LoadedImage], fused: Fused[Rows], stored: Rows, output: Path
) -> Record:
    """Return the part of a record that describes the sources and the result.

    Args:
        sources: as they were read.
        fused: the result of the pipeline.
        stored: the pixels that a reader of `output` gets.
        output: where the image is written.
    """
    names = portable_names([source.name for source in sources])
    counts = [0] * len(sources) if fused.no_data is None else fused.no_data[:, 0].tolist()
    return {
        "color": fused.colors[0],
        "sources": [
            {
                "name": name,
                "sha256": source.sha256,
                **_describe_pixels(source.pixels),
                "black": float(black),
                "white": float(white),
                **({"no_data": count} if count else {}),  # pixels
                **({"registration": moved.description} if (moved := source.resampled) else {}),
            }
            for source, name, (black, white), count in zip(
                sources, names, fused.limits[:, 0], counts, strict=True
            )
        ],
        "result": {
            "name": output.name,
            **_describe_pixels(stored),
            "pixels_sha256": pixels_sha256(stored),
        },
        **({"tile": fused.tile} if fused.tile else {}),  # memory did not suffice for larger tiles
    }


def to_json(record: Record, *, indent: int | None = None) -> str:
    """Return a record as ASCII text, the only kind that TIFF allows."""
    return json.dumps(record, indent=indent, ensure_ascii=True, allow_nan=False)


def read_record(path: Path) -> Record:
    """Return the record inside an image, next to it, or in the file `path` itself.

    Raises:
        FusionlabError: there is no record (code `no-record`), it is damaged (code `bad-record`), or
            the file cannot be read.
    """
    if not path.is_dir():  # which the error below says
        check_own_file(path, reading=True)
    try:
        content = path.read_bytes()
        record = _parse(content if is_record_path(path) else _embedded_text(content), path)
        if record is None and record_path(path).exists():
            check_own_file(record_path(path), reading=True)
            record = _parse(record_path(path).read_bytes(), record_path(path))
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist", code="missing-file", path=path) from None
    except OSError as error:
        raise FusionlabError(
            f"cannot read {path}: {error.strerror}", code="unreadable", path=path
        ) from error
    if record is None:
        raise FusionlabError(
            f"{path} has no record of fusionlab; records are written only on request",
            code="no-record",
            option="record",
            path=path,
        )
    return record


def remove_stale_record(destination: Destination) -> None:
    """Remove the record of an older image beside one that has just been written without a record.

    Maps of its weights, which have names of their own, are left.
    """
    path = record_path(destination.image)
    if destination.record is not None or path.is_symlink() or not path.is_file():
        return
    try:
        is_record = _parse(path.read_bytes(), path) is not None
    except FusionlabError:
        is_record = True
    except OSError:
        return
    if is_record:
        with suppress(OSError):  # then `explain` says that the image is another one
            path.unlink()


def is_unchanged(record: Record, image: Path, max_pixels: int | None = MAX_PIXELS) -> bool:
    """Return whether an image still has the pixels that its record describes.

    One that claims more pixels than the record says has been changed, and is not decoded.

    Args:
        record: of the image.
        image: its file.
        max_pixels: refuse a larger image, also if its record says so; None: no limit.

    Raises:
        FusionlabError: the image cannot be read, or is too large (code `too-many-pixels`).
    """
    stated = record["result"]["width"] * record["result"]["height"]
    within = max_pixels is None or stated <= max_pixels
    try:
        pixels = read_image(image, stated if within else max_pixels).pixels
    except FusionlabError as error:
        if within and error.code == "too-many-pixels":
            return False
        raise
    return bool(pixels_sha256(pixels) == record["result"]["pixels_sha256"])


def pixels_sha256(pixels: Rows) -> str:
    """Return the SHA-256 of pixels: row by row, channels interleaved, little-endian."""
    dtype = pixels.dtype.newbyteorder("<")
    return sha256_of_parts(np.ascontiguousarray(band, dtype).tobytes() for band in bands(pixels))


def _parse(content: str | bytes | None, path: Path) -> Record | None:
    """Return the record in a text; None if it is another text.

    Raises:
        FusionlabError: it is a record, but damaged or of a later version (code `bad-record`).
    """
    try:
        record = json.loads(content or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not record.keys() >= _MARKS:
        return None
    if "colour" in record:  # the spelling before the first release
        record["color"] = record.pop("colour")
    check_record(record, _Record, path)
    return record


def check_record(record: Record, kind: type, path: Path) -> None:
    """Check the fields of a record.

    Args:
        record: that was read.
        kind: the fields, a `TypedDict`.
        path: of the file.

    Raises:
        FusionlabError: it is damaged or of a later version (code `bad-record`).
    """
    problem = mismatch(record, kind)
    if not problem and record.get("networks") and "checkpoint" not in record["parameters"]:
        problem = "parameters.checkpoint is missing"
    if problem:
        ours = library_versions(LIBRARIES[:1])[LIBRARIES[0]]
        newer = newer_version(record, ("libraries", LIBRARIES[0]), str(ours))
        by = f" was written by fusionlab {newer}, which is newer than {ours}; update fusionlab"
        raise FusionlabError(
            f"the record of {path}{by}" if newer else f"the record of {path} is damaged: {problem}",
            code="bad-record",
            path=path,
        )


def _embedded_text(content: bytes) -> str | None:
    """Return the text inside a PNG or TIFF; None for other files, and for damaged ones."""
    try:
        if content.startswith(pillow_formats.PNG_SIGNATURE):
            return pillow_formats.png_record(content)
        from fusionlab.imaging.formats import tiff

        return tiff.record(content)
    except Exception:  # decoders may raise anything
        return None


def _describe_pixels(pixels: Rows) -> Record:
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "channels": 1 if pixels.ndim == 2 else pixels.shape[2],
        "depth": 8 * pixels.dtype.itemsize,
        "kind": {"u": "unsigned", "i": "signed", "f": "float"}[pixels.dtype.kind],
    }


def _as_option(param: Param, value: object) -> bool | str:
    """Return a value as an option takes it: a boolean for a switch, otherwise text."""
    switch = param.kind is bool and not param.many and not param.optional
    return bool(value) if switch else param.format(value)


def portable_names(names: Sequence[str]) -> list[str]:
    """Return paths as the user gave them, unless one reveals a location on this machine.

    In that case, keep only as many of the last parts as distinguish them: `ir/1.png`, `vis/1.png`.
    """
    paths = [PurePath(name) for name in names]
    if not any(path.is_absolute() or ".." in path.parts for path in paths):
        return [path.as_posix() for path in paths]
    parts = [tuple(p for p in path.parts if p not in (path.anchor, "..")) for path in paths]
    count = 1
    while len({path[-count:] for path in parts}) < len(set(parts)):
        count += 1
    return ["/".join(path[-count:]) for path in parts]
