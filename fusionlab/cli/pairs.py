"""`fusionlab pairs`: which files are the sources of one fusion, before anything is fused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.output import json_option, show_facts, show_table
from fusionlab.cli.session import cli_errors

if TYPE_CHECKING:
    from fusionlab.runs.image_sets import ImageSet, ImageSetItem

EXAMPLES = """\b
Examples:
  fusionlab pairs infrared/ visible/
  fusionlab pairs set/                        a/ b/, or ir/ vis/, or 01_ir.png 01_vis.png
  fusionlab pairs 'set/{}_ir.*' 'set/{}_vis.*'
  fusionlab pairs 'scenes/{}/ir.png' 'scenes/{}/rgb.png'    a folder for each fusion
  fusionlab pairs set/ --json | jq -r '.problems[]'
\b
{} stands for what the names of all sources of a fusion share; it is what the result is called. *
and ? stand for any characters. Quote templates, so that the shell does not replace * by names of
files itself.
\b
Exit codes: 0 everything pairs, 1 some images do not, 2 nothing does.
"""

NAMED = 3
"""So many files that are left out are named; of more, how many there are."""


@click.command(epilog=EXAMPLES)
@click.argument(
    "sources", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path)
)
@json_option
@click.pass_context
def pairs(ctx: click.Context, *, sources: tuple[Path, ...], as_json: bool) -> None:
    """Show which files would be fused with which, and what is left out.

    SET is what 'fuse' and 'evaluate' take: a folder, or several folders or templates, one for each
    source.
    """
    with cli_errors():
        from fusionlab.runs.image_sets import pair_images

        image_set = _examined(pair_images(sources))
    items = [item for item in image_set.items if not item.problem]
    problems = [item.problem for item in image_set.items if item.problem]
    if as_json:
        click.echo(json.dumps(_as_json(image_set), indent=2))
    else:
        count = max((len(item.sources) for item in items), default=0)
        names = ["name", *(f"source {number}" for number in range(1, count + 1))]
        rows = [[item.stem, *map(str, item.sources)] for item in items]
        show_table(names, [row + [""] * (count + 1 - len(row)) for row in rows], as_json=False)
        facts = pairing_facts(image_set)
        show_facts({"pairs": facts["pairs"], "left out": facts["left_out"]}, as_json=False)
        for problem in problems:
            click.echo(f"problem: {problem}", err=True)
    ctx.exit(0 if not problems else 1 if items else 2)


def _examined(image_set: ImageSet) -> ImageSet:
    """Return the image set with a problem for each file that is not in a format that is read."""
    return replace(
        image_set,
        items=tuple(
            replace(item, problem=item.problem or _problem_of_files(item))
            for item in image_set.items
        ),
    )


def _problem_of_files(item: ImageSetItem) -> str:
    from fusionlab.imaging.recognizing import recognize

    for path in item.sources:
        try:
            found = recognize(path)
        except OSError as error:
            return f"{item.stem}: cannot read {path}: {error.strerror}"
        if found.reader is None:
            reason = found.refusal if found.name else "not an image"
            return f"{item.stem}: {path} is {reason}"
    return ""


def pairing_facts(image_set: ImageSet) -> dict[str, Any]:
    """Return how files were paired and what was left out, to be printed."""
    others = [entry for entry in image_set.left_out if not entry.is_image]
    images = [entry for entry in image_set.left_out if entry.is_image]
    lines = [f"{entry.path} {entry.reason}" for entry in images[:NAMED]]
    if len(images) > NAMED:
        lines.append(f"and {len(images) - NAMED} other images")
    if others:
        number = (
            "1 file that is not an image"
            if len(others) == 1
            else f"{len(others)} files that are not images"
        )
        names = ", ".join(str(entry.path) for entry in others[:NAMED])
        lines.append(f"{number}: {names}{', ...' if len(others) > NAMED else ''}")
    return {"pairs": image_set.description, "left_out": lines}


def _as_json(image_set: ImageSet) -> dict[str, Any]:
    return {
        "templates": image_set.templates,
        "items": [
            {
                "name": item.stem,
                "sources": [*map(str, item.sources)],
                "problem": item.problem or None,
            }
            for item in image_set.items
        ],
        "problems": [item.problem for item in image_set.items if item.problem],
        "differing": [item.stem for item in image_set.differing],
        "left_out": [
            {"path": str(entry.path), "reason": entry.reason} for entry in image_set.left_out
        ],
    }
