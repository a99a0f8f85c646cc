"""`fusionlab explain`: how an image was made, and the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import max_pixels_option
from fusionlab.cli.output import echo, json_option, show_facts, show_json, warn
from fusionlab.cli.registration import described
from fusionlab.cli.session import cli_errors, quiet_decoders
from fusionlab.cli.threads import threads_option

EXAMPLES = """\b
Examples:
  fusionlab fuse --record ir.png vis.png -o fused.png
  fusionlab explain fused.png
  fusionlab explain fused.png.json --json | jq .method

\b
Exit codes: 0 the record is printed, 1 it is, and its image has other pixels, 2 there is none.
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@max_pixels_option("an image that claims")
@threads_option
@json_option
@click.pass_context
def explain(ctx: click.Context, file: Path, *, max_pixels: int, as_json: bool) -> None:
    """Print how FILE was made: an image or a sequence written with --record, or its .json.

    Also reports whether the image still has the pixels that were written.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.runs.destination import is_record_path
        from fusionlab.runs.record import is_unchanged, read_record
        from fusionlab.sequences.record import read_sequence_record

        sequence = read_sequence_record(file)
        if sequence is not None:
            _explain_sequence(sequence, as_json=as_json)
            return
        record = read_record(file)
        image = file.with_suffix("") if is_record_path(file) else file
        unchanged = is_unchanged(record, image, max_pixels or None) if image.is_file() else None
        if as_json:
            show_json(record)
        else:
            show_facts(_facts(record), as_json=False)
            echo("", "To make it again, with the sources at these paths:")
            echo(command_of(record))
    if unchanged is False:
        warn(f"{image} has been changed: its pixels are not those of the record")
        ctx.exit(1)
    if unchanged is None:
        warn(f"{image} does not exist, so its pixels cannot be compared with the record")


def _explain_sequence(record: dict[str, Any], *, as_json: bool) -> None:
    """Print how a sequence was made."""
    if as_json:
        show_json(record)
        return
    sequence, temporal = record["sequence"], record["temporal"] or {}
    kind = "gray" if sequence["channels"] == 1 else "RGB"
    size = f"{sequence['width']}x{sequence['height']} {sequence['depth']}-bit {kind}"
    failed = sequence["failed"]
    facts = _method_facts(record)
    last = {name: facts.pop(name) for name in ("plugins", "versions")}
    facts |= {
        "sources": sequence["sources"],
        "sync": sequence.get("sync"),
        "limits": temporal.get("limits"),
        "temporal": temporal.get("smoothing") or None,
        "rate": sequence["rate"],
        "result": f"{sequence['name']}  {sequence['frames']} frames, {size}",
        "lacks": f"{len(failed)} frames, the first is {failed[0]}" if failed else None,
    }
    show_facts({**facts, **last}, as_json=False)
    echo("", "To make it again, with the sources at these paths:")
    echo(command_of_sequence(record))


def command_of_sequence(record: dict[str, Any]) -> str:
    """Return the command line that makes a sequence again from its sources."""
    sequence, temporal = record["sequence"], record["temporal"] or {}
    words = [*_settings(record, sequence["depth"]), "--sequence"]
    for name, value in (
        ("sync", sequence.get("sync")),
        ("rate", sequence.get("rate_given")),
        ("batch", sequence.get("batch")),
        ("limits", temporal.get("limits")),
        ("temporal", temporal.get("smoothing")),
        ("motion", temporal.get("motion")),
    ):
        if value:
            words += [f"--{name}", str(value)]
    for offset in sequence.get("offsets", []):
        words += ["--offset", str(offset)]
    words += [f"./{name}" if name.startswith("-") else name for name in sequence["sources"]]
    return shlex.join([*words, "-o", sequence["name"], "--record"])


def command_of(record: dict[str, Any]) -> str:
    """Return the command line that makes an image again from its sources."""
    words = _settings(record, record["result"]["depth"])
    words += _registration(record)
    names = [source["name"] for source in record["sources"]]
    words += [f"./{name}" if name.startswith("-") else name for name in names]
    return shlex.join([*words, "-o", record["result"]["name"], "--record"])


def _settings(record: dict[str, Any], depth: int) -> list[str]:
    """Return the beginning of the command line: the method and its settings."""
    model = record.get("model")
    words = ["--model", model["name"]] if model else _method(record)
    words = ["fusionlab", "fuse", *words]
    words += ["--range", record["range"], "--color", record["color"]]
    if record["color"] in (
        "per-channel",
        "auto",
    ):  # records without the field are older than sharing
        shared = record.get("shared_weights", False)
        words.append("--shared-weights" if shared else "--separate-weights")
    for scale in record["scale"]:
        words += ["--scale", scale]
    for value in record.get("nodata", []):
        words += ["--nodata", value]
    words += ["--depth", str(depth)]
    for name in ("resize", "tile"):
        if record[name]:
            words += [f"--{name}", str(record[name])]
    for name in () if model else ("device", "engine", "precision"):
        words += [f"--{name}", record[name]]
    return words


def _method(record: dict[str, Any]) -> list[str]:
    """Return the options that choose the method."""
    words = ["--backbone", _backbone(record), "--strategy", record["strategy"]]
    parameters = dict(record["parameters"])
    if networks := record.get("networks"):
        tag = networks["tag"]
        shipped = parameters["checkpoint"] == tag
        parameters["checkpoint"] = tag if shipped else f"{tag}.safetensors"
    for name, value in parameters.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", value]
    return words


def _registration(record: dict[str, Any]) -> list[str]:
    """Return the options that register the sources; the record itself holds known transforms."""
    chosen = record.get("registration")
    if not chosen:
        return []
    if chosen["method"] is None:
        words = ["--transforms", f"{record['result']['name']}.json"]
    else:
        words = ["--register", f"{chosen['method']},model={chosen['model']}"]
        if chosen["reference"] is not None:
            words += ["--reference", str(chosen["reference"])]
    return [*words, "--crop"] if chosen["crop"] else words


def _backbone(record: dict[str, Any]) -> str:
    """Return the backbone with its weights and parameters.

    Weights that no plugin ships are given by their file.
    """
    name_and_tag, comma, parameters = record["method"].partition("/")[0].partition(",")
    weights = record["weights"]
    if not weights:
        return f"{record['backbone']}{comma}{parameters}"
    tag = name_and_tag.rpartition("@")[2]
    shipped = tag == weights["tag"]  # otherwise the method says TAG-HASH
    tag = tag if shipped else f"{weights['tag']}.safetensors"
    return f"{record['backbone']}@{tag}{comma}{parameters}"


def _method_facts(record: dict[str, Any]) -> dict[str, Any]:
    """Return what is said about the method and its settings."""
    weights = record["weights"]
    task = record.get("task")
    model = record.get("model")
    return {
        "model": model and f"{model['name']}, SHA-256 {model['sha256'][:16]}...",
        "task": task and task["name"] + (" (detected)" if task["detected"] else ""),
        "method": record["method"],
        "weights": f"SHA-256 {weights['sha256'][:16]}..." if weights else None,
        "range": record["range"],
        "color": record["color"],
        "scale": " ".join(record["scale"]),
        "no data": " ".join(record.get("nodata", [])) or None,
        "resize": record["resize"],
        "device": " ".join(filter(None, (record["device"], record["gpu"]))),
        "plugins": " ".join(f"{name}={number}" for name, number in record["plugins"].items()),
        "versions": " ".join(f"{name}={number}" for name, number in record["libraries"].items()),
    }


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    facts, result = _method_facts(record), record["result"]
    last = {name: facts.pop(name) for name in ("plugins", "versions")}
    device = facts.pop("device")
    return {
        **facts,
        "registered": [
            f"{source['name']} {described(source['registration'])}"
            for source in record["sources"]
            if "registration" in source
        ],
        "device": device,
        "sources": [
            f"{source['name']}  {_describe_pixels(source)}, black {source['black']:g}, white "
            f"{source['white']:g}{_lacking(source)}, SHA-256 {source['sha256'][:16]}..."
            for source in record["sources"]
        ],
        "result": f"{result['name']}  {_describe_pixels(result)}",
        **last,
    }


def _lacking(source: dict[str, Any]) -> str:
    count = source.get("no_data")
    return f", no data at {count} pixels" if count else ""


def _describe_pixels(image: dict[str, Any]) -> str:
    kind = "float" if image["kind"] == "float" else "bit"
    color = "gray" if image["channels"] == 1 else "RGB"
    return f"{image['width']}x{image['height']} {image['depth']}-{kind} {color}"
