"""Image sets: which files make up the sources of one fusion.

Either one folder with sub-folders `a/ b/ c/ ...` (single letters; other folders are ignored),
where every name has as many sources as there are letters with a file of that name:

    set/a/house.png  set/b/house.png  set/c/house.tif        k = 3
    set/a/street.jpg set/b/street.png                        k = 2

or one folder whose sub-folders or files have the names that people give to sources, such as
`ir/ vis/` and `01_ir.png 01_vis.png`; or several folders or templates, one for each source:
`infrared/ visible/`, `set/{}_ir.* set/{}_vis.*`. The package `pairing` does the parts of this.

Each of them may end in the page or the channels that are meant, `rgbt/{}.png[channels=4]`. One file
may also give all sources of a fusion (`pages`, `channels`), and a folder may be one stack, or hold
one stack after the other (`stacks`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusionlab.errors import FusionlabError, PairingError
from fusionlab.imaging.reading import further_sources, selected_paths, single_source_error
from fusionlab.imaging.recognizing import suffixes
from fusionlab.imaging.selecting import Selection, file_of, joined, split
from fusionlab.runs.pairing.affixes import without_affixes
from fusionlab.runs.pairing.folder_search import LeftOut, list_folder
from fusionlab.runs.pairing.matching import match_sources, single_files
from fusionlab.runs.pairing.refusal import not_an_image_set, wrong_level
from fusionlab.runs.pairing.single_folder import split_folder
from fusionlab.runs.pairing.subfolders import Found, find_subfolders
from fusionlab.runs.pairing.templates import (
    find_files,
    find_in_folder,
    is_template,
    literal_folder,
)

COUNTED = {2: "pair", 3: "triple"}
"""Number of sources -> what a fusion of so many is called."""


@dataclass(frozen=True)
class ImageSetItem:
    """The sources of one fusion, or the reason why they cannot be fused."""

    stem: str
    """What the names of the sources have in common, and what the result is called."""
    sources: tuple[Path, ...]
    problem: str = ""
    """A sentence that begins with the stem; empty if the item is complete."""
    option: str = ""
    """The setting that the problem is about, as `FusionlabError` spells it."""


@dataclass(frozen=True)
class ImageSet:
    """An image set, and how its files were paired."""

    items: tuple[ImageSetItem, ...]
    """Sorted by stem."""
    templates: tuple[str, ...]
    """The names of the files of each source: `ir/`, or `ir/IR_{}.*`."""
    differing: tuple[ImageSetItem, ...] = ()
    """Items whose names differ in case, zeros or the time of a drone."""
    left_out: tuple[LeftOut, ...] = ()
    """Files beside the sources that are in no item."""

    @property
    def description(self) -> str:
        """How the files were paired, and how many: `ir/ with vis/, 361 pairs`."""
        sound = [item for item in self.items if not item.problem]
        counts = sorted({len(item.sources) for item in sound}) or [0]
        same = counts[0] == counts[-1]
        number = f"{len(sound)} {COUNTED.get(counts[0], 'image') if same else 'image'}"
        if len(sound) != 1:
            number += "s"
        if not same:
            number += f" of {counts[0]} to {counts[-1]} sources"
        elif counts[0] > max(COUNTED):
            number += f" of {counts[0]} sources"
        parts = [" with ".join(self.templates), number]
        if failed := len(self.items) - len(sound):
            parts.append(f"{failed} that cannot be fused")
        if self.differing:
            names = " with ".join(path.name for path in self.differing[0].sources)
            parts.append(f"{len(self.differing)} whose names differ, such as {names}")
        return ", ".join(parts)


def find_image_set(
    sources: str | Path | Sequence[str | Path],
    pages: str | None = None,
    channels: str | None = None,
) -> list[ImageSetItem]:
    """Pair the images of an image set by name, across suffixes, sorted by name.

        find_image_set("set/")                           # with a/ b/, or ir/ vis/, or 1_ir 1_vis
        find_image_set(["infrared/", "visible/"])
        find_image_set(["set/{}_ir.*", "set/{}_vis.*"])

    Names that differ only in case or in zeros in front of numbers are paired, too, unless a file
    has two such partners. An image in a format that is not read makes an item with a problem.

    Args:
        sources: one folder with sub-folders `a/ b/ c/ ...`, or with the names of sources in its
            sub-folders or files; or, one for each source, several folders or templates: the path
            of the files with `{}` once, for what the names of all sources of a fusion share,
            and `*` and `?` for any other characters. A template that ends in `.*` or in no suffix
            means images with any suffix. Each may end in a selection, such as
            `rgbt/{}.png[channels=4]`.
        pages: the pages that every file gives as sources, as `read_sources` takes them; a single
            folder or template is then enough.
        channels: the channels that every file gives as sources, likewise.

    Raises:
        FusionlabError: a folder cannot be read (code `unreadable`), is not an image set (code
            `not-an-image-set`), the folders are several sets (codes `several-sets`,
            `ambiguous-folders`), names are not clear (codes `unclear-names`, `no-pairs`,
            `ambiguous-pairs`), a
            template is wrong (codes `not-a-template`, `ambiguous-template`), or there are no images
            (code `no-images`).
    """
    return list(pair_images(sources, pages, channels).items)


def pair_images(
    sources: str | Path | Sequence[str | Path],
    pages: str | None = None,
    channels: str | None = None,
) -> ImageSet:
    """Pair the images of an image set, and tell how; see `find_image_set`."""
    given = [sources] if isinstance(sources, str | Path) else sources
    paths, own = zip(*map(split, given), strict=True)
    selecting = pages is not None or channels is not None
    try:
        if len(paths) == 1 and (selecting or str(own[0])):
            found = _each_file(paths[0])
        else:
            found = _agreeing(_single(paths[0]) if len(paths) == 1 else _several(paths))
    except OSError as error:
        raise FusionlabError(
            f"cannot read {error.filename}: {error.strerror}", code="unreadable"
        ) from error
    if len(found.sources) == 1:
        matches = single_files(found.sources[0])
    else:
        matches = match_sources(found.sources, same_k=found.same_k)
    if not matches:
        if found.sources[0].folder and len(found.sources) == 1:
            options = {"pages": pages, "channels": channels}
            given_options = {name: value for name, value in options.items() if value is not None}
            if meant := wrong_level(found.sources[0].folder, given_options):
                raise meant
        there = [source for source in found.sources if not source.is_absent]
        places = ", ".join(source.template.removesuffix("/") for source in there)
        raise FusionlabError(
            f"no images in {places}; expected files that end in one of "
            f"{', '.join(sorted(suffixes()))}",
            code="no-images",
        )
    items = [ImageSetItem(match.name, match.files, match.problem) for match in matches]
    used = {path for item in items for path in item.sources}
    if found.same_k and any(map(str, own)):
        items = [_selected(item, own) for item in items]
    if selecting:
        items = [_spread_out(item, pages, channels) for item in items]
    items = [with_several_sources(item) for item in items]
    templates = [source.template for source in found.sources]
    if len(own) == len(templates):
        templates = [
            f"{text}[{selection}]" if str(selection) else text
            for text, selection in zip(templates, own, strict=True)
        ]
    left_out = {entry.path: entry for source in found.sources for entry in source.left_out}
    return ImageSet(
        tuple(items),
        tuple(templates),
        tuple(
            item
            for item, match in zip(items, matches, strict=True)
            if match.differing and not match.problem
        ),
        tuple(entry for path, entry in sorted(left_out.items()) if path not in used),
    )


def stacks(folder: Path, size: int) -> ImageSet:
    """Return an image set whose sources are the images of one folder, `size` by `size`.

    They are taken in the order of their names, in which 2 comes before 10.

    Args:
        folder: holds one stack, or one bracket of exposures, after the other.
        size: the number of sources of each fusion, which is called after the first of them.

    Raises:
        FusionlabError: the folder cannot be read (code `unreadable`), or holds no images (code
            `no-images`).
    """
    files = stack_files(folder)
    groups = [files[start : start + size] for start in range(0, len(files), size)]
    items = [
        ImageSetItem(
            group[0].stem,
            tuple(group),
            ""
            if len(group) == size
            else f"{group[0].stem} begins the last {len(group)} images of {folder}, of which "
            f"{size} make a fusion",
        )
        for group in groups
    ]
    return ImageSet(tuple(items), (f"{folder}/",))


def stack_files(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their names, in which 2 comes before 10.

    Raises:
        FusionlabError: as `stacks`.
    """
    try:
        images = list_folder(folder).images
    except OSError as error:
        raise FusionlabError(
            f"cannot read {folder}: {error.strerror}", code="unreadable"
        ) from error
    if not images:
        raise FusionlabError(f"there are no images in {folder}", code="no-images", path=folder)

    return sorted(images, key=lambda path: natural_order(path.name))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key of names by which 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _each_file(path: Path) -> Found:
    """Return an image set each of whose files gives all sources of a fusion."""
    if not is_template(path) and (found := find_subfolders(path)):
        return found
    return Found((find_files(path) if is_template(path) else find_in_folder(path),), same_k=True)


def _selected(item: ImageSetItem, own: Sequence[Selection]) -> ImageSetItem:
    """Return an item with the page or the channels that each of its sources was given with."""
    if item.problem:
        return item
    chosen = zip(item.sources, own, strict=True)
    return replace(item, sources=tuple(joined(path, selection) for path, selection in chosen))


def _spread_out(item: ImageSetItem, pages: str | None, channels: str | None) -> ImageSetItem:
    """Return an item with every source that its files give."""
    if item.problem:
        return item
    try:
        found = [selected_paths(path, pages, channels) for path in item.sources]
    except FusionlabError as error:
        if error.code == "bad-selection":
            raise
        return replace(item, problem=f"{item.stem}: {error}", option=error.option)
    return replace(item, sources=tuple(path for paths in found for path in paths))


def with_several_sources(item: ImageSetItem) -> ImageSetItem:
    """Return an item, with a problem if it has a single source."""
    if item.problem or len(item.sources) != 1:
        return item
    source = item.sources[0]
    try:
        error = single_source_error(str(source), split(source)[1], further_sources(source))
    except FusionlabError as unreadable:
        error = unreadable
    return replace(item, problem=f"{item.stem}: {error}", option=error.option)


def names_of_sources(sources: Sequence[Path]) -> list[str]:
    """Return the names of the folders of sources, each once, also of those in templates."""
    sources = [file_of(path) for path in sources]
    folders = [literal_folder(path) if is_template(path) else path for path in sources]
    return list(dict.fromkeys(folder.resolve().name for folder in folders))


def _single(path: Path) -> Found:
    """Return the sources of an image set in one folder."""
    if is_template(path):
        raise FusionlabError(
            f"{path} is the template of one source; give one for each source",
            code="not-an-image-set",
            path=path,
        )
    if found := find_subfolders(path) or split_folder(path):
        return found
    raise not_an_image_set(path)


def _several(paths: Sequence[Path]) -> Found:
    """Return the sources in folders and templates."""
    sources = [find_files(path) if is_template(path) else find_in_folder(path) for path in paths]
    if all(map(_is_image_set, paths)) and not any(source.names for source in sources):
        raise FusionlabError(
            f"{paths[0]} and {paths[1]} are image sets of their own, with a/ b/ ...; several "
            "folders are the sources of one set: give one set at a time, or write a study",
            code="several-sets",
            path=paths[0],
        )
    return Found(tuple(sources), same_k=True)


def _agreeing(found: Found) -> Found:
    """Return the sources; if none of their names agree, without what these begin or end with."""
    sources = found.sources
    matches = match_sources(sources, same_k=found.same_k)
    if not {match.kind for match in matches} <= {"missing", "ambiguous"}:
        return found
    if unclear := next((match for match in matches if match.kind == "ambiguous"), None):
        raise PairingError(unclear.problem, code="ambiguous-pairs")
    if templates := without_affixes(sources):
        return Found(templates, same_k=True)
    if found.same_k and all(source.names for source in sources) and len(matches) > len(sources):
        names = " and ".join(f"{min(source.names)} in {source.template}" for source in sources)
        raise PairingError(
            f"no names agree, such as {names}; give a template for each source, with {{}} for the "
            "part that the names share, such as ir/IR_{}.* and vis/VIS_{}.*",
            code="no-pairs",
        )
    return found


def _is_image_set(folder: Path) -> bool:
    return all((folder / letter).is_dir() for letter in "ab")
