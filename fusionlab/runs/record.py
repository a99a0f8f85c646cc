"""Records: how a picture was made, so that anybody can make it again.

A record is plain JSON. It holds no time and no absolute path: the same sources, settings and
versions give the same bytes. It lies beside the picture (`fused.png.json`), and PNG and TIFF
carry it inside as well.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from fusionlab.errors import FusionlabError
from fusionlab.fusion import Fused, Fusion
from fusionlab.imaging import pillow_formats, tiff
from fusionlab.imaging.reading import LoadedImage, read_image
from fusionlab.imaging.rows import Rows, bands
from fusionlab.parameters import Param, params_of
from fusionlab.plugins.factory import method_id
from fusionlab.plugins.registry import Plugins
from fusionlab.storage.hashing import sha256_of_parts
from fusionlab.storage.versions import library_versions

LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "imageio", "pillow", "tifffile", "imagecodecs")
"""The distributions that pixels pass through."""

Record = dict[str, Any]


def path_beside(picture: Path) -> Path:
    """Return where the record of a picture lies: `fused.png` -> `fused.png.json`."""
    return picture.with_name(f"{picture.name}.json")


def is_beside(path: Path) -> bool:
    """Return whether `path` is the record of a picture, not a picture."""
    return path.suffix.lower() == ".json"


def describe_method(fusion: Fusion, plugins: Plugins) -> Record:
    """Return everything about a fusion that does not depend on its sources."""
    backbone, strategy = fusion.backbone, fusion.strategy
    names = plugins.backbones.name_of(type(backbone)), plugins.strategies.name_of(type(strategy))
    registrations = (
        [o for o in plugins.backbones.registrations if names[0] in (o.ref.name, o.qualified)],
        [o for o in plugins.strategies.registrations if names[1] in (o.ref.name, o.qualified)],
    )
    used = {registration.plugin for found in registrations for registration in found[:1]}
    card = fusion.card
    networks = {"networks": {"tag": card.tag, "sha256": card.sha256}} if card else {}
    return {
        "method": method_id(backbone, strategy, plugins),
        "backbone": names[0],
        "weights": backbone.card and {"tag": backbone.card.tag, "sha256": backbone.card.sha256},
        "strategy": names[1],
        "parameters": {
            param.name: _plain(param, getattr(strategy, param.name))
            for param in params_of(type(strategy))
        },
        **networks,
        "range": fusion.range_policy,
        "color": fusion.color,
        "scale": [str(scale) for scale in fusion.scale],
        "device": str(fusion.device),
        "gpu": torch.cuda.get_device_name(fusion.device) if fusion.device.type == "cuda" else None,
        "tile": fusion.tile,
        "engine": fusion.engine,
        "precision": fusion.precision,
        "plugins": {p.name: p.version for p in plugins.loaded if p.name in used},
        "libraries": library_versions(LIBRARIES),
    }


def describe_run(
    pictures: Sequence[LoadedImage], fused: Fused[Rows], written: Rows, output: Path
) -> Record:
    """Return what only one picture has: its sources, and itself.

    Args:
        pictures: the sources as they were read.
        fused: the result of the pipeline.
        written: the pixels that a reader of `output` gets.
        output: where the picture is written.
    """
    names = _portable([picture.name for picture in pictures])
    return {
        "sources": [
            {
                "name": name,
                "sha256": picture.sha256,
                **_shape(picture.pixels),
                "black": float(black),
                "white": float(white),
            }
            for picture, name, (black, white) in zip(
                pictures, names, fused.limits[:, 0], strict=True
            )
        ],
        "result": {
            "name": output.name,
            **_shape(written),
            "pixels_sha256": pixels_sha256(written),
        },
        **({"tile": fused.tile} if fused.tile else {}),  # memory did not suffice for the others
    }


def to_json(record: Record, *, indent: int | None = None) -> str:
    """Return a record as text, in ASCII: TIFF knows no other."""
    return json.dumps(record, indent=indent, ensure_ascii=True, allow_nan=False)


def read_record(path: Path) -> Record:
    """Return the record that a picture carries, that lies beside it, or that `path` itself is.

    Raises:
        FusionlabError: there is none.
    """
    try:
        content = path.read_bytes()
        record = _parsed(content if is_beside(path) else _inside(content))
        if record is None and path_beside(path).exists():
            record = _parsed(path_beside(path).read_bytes())
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist") from None
    except OSError as error:
        raise FusionlabError(f"cannot read {path}: {error.strerror}") from error
    if record is None:
        raise FusionlabError(
            f"{path} carries no record of fusionlab; pictures written with 'fuse --record' do"
        )
    return record


def unchanged(record: Record, picture: Path) -> bool:
    """Return whether a picture still has the pixels that its record describes.

    Raises:
        FusionlabError: the picture cannot be read.
    """
    pixels = read_image(picture, max_pixels=None).pixels
    return bool(pixels_sha256(pixels) == record["result"]["pixels_sha256"])


def command(record: Record) -> str:
    """Return the command line that makes the picture again, given its sources."""
    backbone = record["backbone"]
    if weights := record["weights"]:
        tag = record["method"].partition("/")[0].rpartition("@")[2]
        # weights that no plugin ships are called TAG-HASH, and given by their file
        backbone += f"@{tag if tag == weights['tag'] else weights['tag'] + '.safetensors'}"
    words = ["fusionlab", "fuse", "--backbone", backbone, "--strategy", record["strategy"]]
    parameters = dict(record["parameters"])
    if networks := record.get("networks"):
        tag = networks["tag"]
        own = parameters["checkpoint"] != tag  # likewise
        parameters["checkpoint"] = f"{tag}.safetensors" if own else tag
    for name, value in parameters.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", value]
    words += ["--range", record["range"], "--color", record["color"]]
    for scale in record["scale"]:
        words += ["--scale", scale]
    words += ["--depth", str(record["result"]["depth"])]
    for name in ("resize", "tile"):
        if record[name]:
            words += [f"--{name}", str(record[name])]
    for name in ("device", "engine", "precision"):
        words += [f"--{name}", record[name]]
    names = [source["name"] for source in record["sources"]]
    words += [f"./{name}" if name.startswith("-") else name for name in names]
    return shlex.join([*words, "-o", record["result"]["name"], "--record"])


def pixels_sha256(pixels: Rows) -> str:
    """Return the SHA-256 of pixels: row by row, channels together, little-endian."""
    dtype = pixels.dtype.newbyteorder("<")
    return sha256_of_parts(np.ascontiguousarray(band, dtype).tobytes() for band in bands(pixels))


def _parsed(text: str | bytes | None) -> Record | None:
    """Return text as a record, if it is one."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and "colour" in found:  # records written before the first release
        found["color"] = found.pop("colour")
    match found:
        case {
            "method": str(),
            "backbone": str(),
            "weights": None | {"tag": str(), "sha256": str()},
            "strategy": str(),
            "parameters": dict(parameters),
            "range": str(),
            "color": str(),
            "scale": list(scales),
            "resize": None | str(),
            "device": str(),
            "gpu": None | str(),
            "tile": None | int(),
            "engine": str(),
            "precision": str(),
            "plugins": dict(),
            "libraries": dict(),
            "sources": list(sources),
            "result": {"pixels_sha256": str()} as result,
        }:
            words = all(isinstance(one, bool | str) for one in [*scales, *parameters.values()])
            whole = words and all(map(_is_source, sources)) and _is_image(result)
            return found if whole else None
    return None


def _is_image(found: object) -> bool:
    match found:
        case {
            "name": str(),
            "width": int(),
            "height": int(),
            "channels": int(),
            "depth": int(),
            "kind": str(),
        }:
            return True
    return False


def _is_source(found: object) -> bool:
    match found:
        case {"sha256": str(), "black": float(), "white": float()}:
            return _is_image(found)
    return False


def _inside(content: bytes) -> str | None:
    """Return the record inside a PNG or TIFF; None for other files, and for damaged ones."""
    try:
        if content.startswith(pillow_formats.PNG_SIGNATURE):
            return pillow_formats.png_record(content)
        return tiff.record(content)
    except Exception:  # a decoder raises what it likes
        return None


def _shape(pixels: Rows) -> Record:
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "channels": 1 if pixels.ndim == 2 else pixels.shape[2],
        "depth": 8 * pixels.dtype.itemsize,
        "kind": {"u": "unsigned", "i": "signed", "f": "float"}[pixels.dtype.kind],
    }


def _plain(param: Param, value: object) -> bool | str:
    """Return a value as the command line takes it: a switch, or an option with a text."""
    switch = param.kind is bool and not param.many and not param.optional
    return bool(value) if switch else param.format(value)


def _portable(names: Sequence[str]) -> list[str]:
    """Return paths as the user gave them, unless one says where on his machine it is.

    Then as much of the end of each as tells them apart: `ir/1.png`, `vis/1.png`.
    """
    paths = [PurePath(name) for name in names]
    if not any(path.is_absolute() or ".." in path.parts for path in paths):
        return [path.as_posix() for path in paths]
    parts = [tuple(p for p in path.parts if p not in (path.anchor, "..")) for path in paths]
    count = 1
    while len({one[-count:] for one in parts}) < len(set(parts)):
        count += 1
    return ["/".join(one[-count:]) for one in parts]
