"""`fusionlab pairs`: which files are the sources of one fusion, before anything is fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import channels_option, pages_option, stack_option
from fusionlab.cli.output import echo, json_option, show_facts, show_json, show_table, warn
from fusionlab.cli.session import CommandError, cli_errors, with_flag
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.runs.headers import Header
    from fusionlab.runs.image_sets import ImageSet, ImageSetItem

    Headers = dict[Path, Header | None]

EXAMPLES = """\b
Examples:
  fusionlab pairs infrared/ visible/
  fusionlab pairs set/                        a/ b/, or ir/ vis/, or 01_ir.png 01_vis.png
  fusionlab pairs 'set/{}_ir.*' 'set/{}_vis.*'
  fusionlab pairs 'scenes/{}/ir.png' 'scenes/{}/rgb.png'    a folder for each fusion
  fusionlab pairs rgbt/ --channels rgb,4      both sources in one file
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


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument(
    "sources", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path)
)
@pages_option
@channels_option
@stack_option
@json_option
@click.pass_context
def pairs(
    ctx: click.Context,
    *,
    sources: tuple[Path, ...],
    pages: str | None,
    channels: str | None,
    stack: str | None,
    as_json: bool,
) -> None:
    """Show which files would be fused with which, and what is left out.

    Sizes and bits are those in the headers of the files; formats of plugins have no bits there.

    SET is what 'fuse' and 'evaluate' take: a folder, or several folders or templates, one for each
    source.
    """
    with cli_errors():
        from fusionlab.runs.image_sets import (
            ImageSet,
            ImageSetItem,
            pair_images,
            stacks,
            with_several_sources,
        )

        sources, size = stack_sources(sources, stack, pages, channels)
        if stack is not None and not size:
            stack_of_all = with_several_sources(ImageSetItem("fused", sources))
            image_set = ImageSet((stack_of_all,), (f"{sources[0].parent}/",))
        elif size:
            image_set = stacks(sources[0], size)
        else:
            image_set = pair_images(sources, pages, channels)
        image_set, headers = _examined(image_set)
    items = [item for item in image_set.items if not item.problem]
    problems = _problems(image_set)
    if as_json:
        show_json(_as_json(image_set, headers))
    else:
        count = max((len(item.sources) for item in items), default=0)
        names = ["name", *(f"source {number}" for number in range(1, count + 1)), "size", "bits"]
        rows = [
            [
                item.stem,
                *map(str, item.sources),
                *[""] * (count - len(item.sources)),
                *_sizes_and_bits([headers[path] for path in item.sources]),
            ]
            for item in items
        ]
        show_table(names, rows, as_json=False)
        facts = pairing_facts(image_set)
        show_facts({"pairs": facts["pairs"], "left out": facts["left_out"]}, as_json=False)
        if differ := [item.stem for item in items if _differ(item, headers)]:
            warn(
                f"{len(differ)} of {len(items)} have sources of different sizes, such as "
                f"{differ[0]}; a fusion needs one size, see --register and --resize of fuse"
            )
        for problem in problems:
            echo(f"problem: {problem}", err=True)
    ctx.exit(0 if not problems else 1 if items else 2)


def stack_sources(
    sources: tuple[Path, ...], stack: str | None, *selected: str | None
) -> tuple[tuple[Path, ...], int | None]:
    """Return the sources, and how many images of the folder belong to one fusion.

    Args:
        sources: as they were given; one folder, if `stack` is given.
        stack: what `--stack` says: all, which makes the images of the folder the sources, or a
            number.
        selected: what `--pages` and `--channels` say.
    """
    if stack is None:
        return sources, None
    if any(selected):
        raise CommandError("--stack takes one source of each file; leave out --pages, --channels")
    if len(sources) != 1 or not sources[0].is_dir():
        raise CommandError("--stack is for one folder, whose images are the sources")
    if stack == "all":
        with cli_errors():
            from fusionlab.runs.image_sets import stack_files

            return tuple(stack_files(sources[0])), None
    if not stack.isdecimal() or int(stack) < 2:
        raise CommandError(f"--stack must be all, or a number of at least 2, got {stack!r}")
    return sources, int(stack)


def _examined(image_set: ImageSet) -> tuple[ImageSet, Headers]:
    """Return the image set with a problem for each file that is not read, or not as it is selected.

    And what the headers of the files of all other items say.
    """
    headers: Headers = {}
    items = []
    for item in image_set.items:
        try:
            problem = item.problem or _problem_of_files(item, headers)
            items.append(replace(item, problem=problem))
        except FusionlabError as error:
            items.append(replace(item, problem=f"{item.stem}: {error}", option=error.option))
    return replace(image_set, items=tuple(items)), headers


def _problem_of_files(item: ImageSetItem, headers: Headers) -> str:
    """Return why the files of an item are not read; add what their headers say to `headers`.

    Raises:
        FusionlabError: a file has no such page or channels.
    """
    from fusionlab.imaging.recognizing import recognize
    from fusionlab.imaging.selecting import file_of, split
    from fusionlab.runs.headers import read_headers

    files: dict[Path, list[Path]] = {}
    for source in item.sources:
        files.setdefault(file_of(source), []).append(source)
    for path, sources in files.items():
        try:
            found = recognize(path)
        except OSError as error:
            return f"{item.stem}: cannot read {path}: {error.strerror}"
        if found.reader is None:
            reason = found.refusal if found.name else "not an image"
            return f"{item.stem}: {path} is {reason}"
        selections = [split(source)[1] for source in sources]
        headers |= zip(sources, read_headers(path, found.reader.name, selections), strict=True)
    return ""


def _sizes_and_bits(headers: Sequence[Header | None]) -> tuple[str, str]:
    """Return the sizes and the bits of the sources of a fusion, once where all have the same."""
    known = [header for header in headers if header]
    sizes = dict.fromkeys(header.size for header in known)
    bits = dict.fromkeys(str(header.bits) for header in known if header.bits)
    differ = " differ" if len(sizes) > 1 else ""
    return " and ".join(sizes) + differ, ", ".join(bits)


def _differ(item: ImageSetItem, headers: Headers) -> bool | None:
    """Return whether the sources of a fusion differ in size; None if that is not known."""
    found = [headers.get(path) for path in item.sources]
    differ = len({header.size for header in found if header}) > 1
    return differ or (None if None in found else False)


def _problems(image_set: ImageSet) -> list[str]:
    return [with_flag(item.problem, item.option) for item in image_set.items if item.problem]


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


def _as_json(image_set: ImageSet, headers: Headers) -> dict[str, Any]:
    def header_facts(path: Path) -> dict[str, int | None] | None:
        header = headers.get(path)
        return asdict(header) if header else None

    return {
        "templates": image_set.templates,
        "items": [
            {
                "name": item.stem,
                "sources": [*map(str, item.sources)],
                "headers": [*map(header_facts, item.sources)],
                "sizes_differ": _differ(item, headers),
                "problem": with_flag(item.problem, item.option) or None,
            }
            for item in image_set.items
        ],
        "problems": _problems(image_set),
        "differing": [item.stem for item in image_set.differing],
        "left_out": [
            {"path": str(entry.path), "reason": entry.reason} for entry in image_set.left_out
        ],
    }
