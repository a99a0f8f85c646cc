"""`fusionlab explain`: how a picture was made, and the command that makes it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fusionlab.cli.output import json_option, show_facts, warn
from fusionlab.cli.session import cli_errors, quiet_decoders

EXAMPLES = """\b
Examples:
  fusionlab fuse --record ir.png vis.png -o fused.png
  fusionlab explain fused.png
  fusionlab explain fused.png.json --json | jq .method
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def explain(file: Path, *, as_json: bool) -> None:
    """Print how FILE was made: a picture written with --record, or its .json.

    Also says whether the picture still has the pixels that were written.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.runs.record import command, is_beside, read_record, unchanged

        record = read_record(file)
        picture = file.with_suffix("") if is_beside(file) else file
        same = unchanged(record, picture) if picture.is_file() else None
        if as_json:
            click.echo(json.dumps(record, indent=2))
        else:
            show_facts(_facts(record), as_json=False)
            click.echo("\nTo make it again, where these names lead to the sources:")
            click.echo(command(record))
    if same is False:
        warn(f"{picture} has been changed since: its pixels are not those of the record")
    elif same is None:
        warn(f"{picture} is not there, so its pixels cannot be compared with the record")


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    weights, result = record["weights"], record["result"]
    return {
        "method": record["method"],
        "weights": f"SHA-256 {weights['sha256'][:16]}..." if weights else None,
        "range": record["range"],
        "color": record["color"],
        "scale": " ".join(record["scale"]),
        "resize": record["resize"],
        "device": " ".join(filter(None, (record["device"], record["gpu"]))),
        "sources": [
            f"{source['name']}  {_size(source)}, black {source['black']:g}, white "
            f"{source['white']:g}, SHA-256 {source['sha256'][:16]}..."
            for source in record["sources"]
        ],
        "result": f"{result['name']}  {_size(result)}",
        "plugins": " ".join(f"{name}={number}" for name, number in record["plugins"].items()),
        "versions": " ".join(f"{name}={number}" for name, number in record["libraries"].items()),
    }


def _size(image: dict[str, Any]) -> str:
    kind = "float" if image["kind"] == "float" else "bit"
    color = "gray" if image["channels"] == 1 else "RGB"
    return f"{image['width']}x{image['height']} {image['depth']}-{kind} {color}"
