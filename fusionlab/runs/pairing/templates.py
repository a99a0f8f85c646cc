"""Templates: the names of the files of one source, with `{}` for what its fusions are called.

    set/{}_ir.*      set/01_ir.png, set/02_ir.tif     of the fusions 01 and 02
    set/{}/ir.png    set/01/ir.png, set/02/ir.png     a folder for each fusion

`{}` stands for any characters of one name, and is written once; `*` and `?` stand for any
characters, and one. A template that ends in `.*`, or in no suffix at all, means images with any
suffix; one that ends in a suffix means all files with it, whatever they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.recognizing import has_image_suffix
from fusionlab.runs.pairing.folder_search import (
    LeftOut,
    Listing,
    is_side_file,
    list_folder,
    normal_form,
    stems_of,
)

PLACE = "{}"
"""What stands for the name of the fusion."""


@dataclass(frozen=True)
class Source:
    """The files of one source of an image set."""

    template: str
    """How their names are described: `ir/IR_{}.*`."""
    files: dict[str, list[Path]] = field(default_factory=dict)
    """Name of a fusion -> its files, of which there should be one."""
    lost: dict[str, LeftOut] = field(default_factory=dict)
    """Name of a fusion -> a file that would be its source if it could be read."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Other files beside them."""
    folder: Path | None = None
    """Where the files are, if they are all images there."""
    is_absent: bool = False
    """Whether this is a folder that is not there, before one that is."""

    @property
    def names(self) -> set[str]:
        """Of the fusions that have a file here, readable or not."""
        return self.files.keys() | self.lost.keys()


def is_template(path: Path) -> bool:
    """Return whether a path is meant as a template, and not that of a file or folder."""
    return _varies(str(path)) and not path.exists()


def literal_folder(template: str | Path) -> Path:
    """Return the folder in front of the first part of a template that may vary."""
    folder = Path()
    for part in Path(template).parts:
        if _varies(part):
            break
        folder /= part
    return folder


def with_any_suffix(template: str | Path) -> str:
    """Return a template with the `.*` that it may leave out."""
    text = str(template)
    whole = text.endswith(".*") or _Name.of(Path(text).name, text).suffix
    return text if whole else f"{text}.*"


@dataclass(frozen=True)
class NamesInFolder:
    """Which files of one folder belong to a source, for files that are found one by one."""

    folder: Path
    template: str
    """How their names are described: `ir/IR_{}.*`."""
    _name: _Name

    @classmethod
    def of(cls, path: Path) -> NamesInFolder:
        """Return the names of the images in a folder, or of those that a template describes.

        Raises:
            FusionlabError: the template has not `{}` once, in the name of the files (code
                `not-a-template`).
        """
        if not is_template(path):
            return cls(path, f"{path}/", _Name.of(PLACE, f"{path}/"))
        if _varies(str(path.parent)) or str(path).count(PLACE) != 1:
            raise FusionlabError(
                f"files that arrive are found in one folder for each source, by a name with {{}} "
                f"once, such as cam/{{}}_ir.png; got {path}",
                code="not-a-template",
            )
        return cls(path.parent, str(path), _Name.of(path.name, str(path)))

    def fusion_of(self, file: str) -> str | None:
        """Return the name of the fusion that a file is a source of; None: it is none.

        Raises:
            FusionlabError: `{}` may stand for several parts of it (code `ambiguous-template`).
        """
        path = Path(file)
        if is_side_file(path) or not (self._name.suffix or has_image_suffix(path)):
            return None
        return self._name.match(path)


def find_files(template: str | Path) -> Source:
    """Find the files of a template.

    Raises:
        FusionlabError: `{}` is not in it once (code `not-a-template`), or may stand for several
            parts of a name (code `ambiguous-template`).
        OSError: a folder cannot be read.
    """
    text = str(template)
    parts = Path(text).parts
    if text.count(PLACE) != 1:
        raise FusionlabError(
            f"a template needs {{}} once, for the part that the names of all sources of a fusion "
            f"share, such as set/{{}}_ir.*; got {text}",
            code="not-a-template",
        )
    root = literal_folder(text)
    name = _Name.of(parts[-1], text)
    source = Source(text)
    for folder, found in _folders(root, parts[len(root.parts) : -1], text):
        _collect(source, list_folder(folder), name, found)
    return source


def find_in_folder(folder: Path, name: str = PLACE) -> Source:
    """Find the images in a folder, whatever characters are in its own name.

    Args:
        folder: the folder.
        name: a template for the names in it, with a suffix or without.

    Raises:
        FusionlabError: as `find_files`.
        OSError: the folder cannot be read.
    """
    text = f"{folder}/" if name == PLACE else str(folder / f"{name}.*")
    source = Source(text, folder=folder if name == PLACE else None)
    _collect(source, list_folder(folder), _Name.of(name, text))
    return source


def absent(folder: Path) -> Source:
    """Return the source that a folder would hold if it were there."""
    return Source(f"{folder}/", is_absent=True)


def _collect(source: Source, listing: Listing, name: _Name, fusion: str = "") -> None:
    """Add the files of one folder to a source.

    Args:
        source: what they are added to.
        listing: of the folder.
        name: what the names of the files must match.
        fusion: what `{}` stands for, if it is in the path of the folder.
    """
    others = {entry.path: entry for entry in listing.left_out}
    for path in sorted([*listing.images, *others]):
        other = others.get(path)
        match = name.match(path) if name.suffix or other is None else None
        if match is not None:
            source.files.setdefault(match or fusion, []).append(path)
        else:
            source.left_out.append(other or LeftOut(path, "matches no template", is_image=True))
    for other in listing.left_out:
        stems = [name.match_stem(stem) for stem in stems_of(other.path)] if other.is_image else []
        names = [match or fusion for match in stems if match is not None]
        if names and not source.files.keys() & set(names):  # else a copy, or a raw file beside it
            source.lost.setdefault(names[-1], other)


def _folders(root: Path, parts: tuple[str, ...], template: str) -> Iterator[tuple[Path, str]]:
    """Yield each folder that the parts lead to, and what `{}` stands for, if that is in them."""
    if not parts:
        yield root, ""
        return
    first, *rest = parts
    if not _varies(first):
        if (root / first).is_dir():
            yield from _folders(root / first, tuple(rest), template)
        return
    name = _Name.of(first, template, is_folder=True)
    for path in sorted(root.iterdir()):
        if is_side_file(path) or not path.is_dir():
            continue
        found = name.match_stem(normal_form(path.name))
        if found is not None:
            for folder, other in _folders(path, tuple(rest), template):
                yield folder, found or other


def _varies(part: str) -> bool:
    return PLACE in part or "*" in part or "?" in part


_LONGEST = {PLACE: "(.+)", "*": ".*?", "?": "."}
_SHORTEST = {PLACE: "(.+?)", "*": ".*", "?": "."}
"""Signs of templates as regular expressions, with the longest and the shortest text for `{}`."""


@dataclass(frozen=True)
class _Name:
    """One part of a template: of the name of a file, or of a folder on the way to it."""

    template: str
    greedy: re.Pattern[str]
    lazy: re.Pattern[str]
    """As `greedy`, with the shortest text for `{}`; where the two differ, it may stand for both."""
    suffix: str
    """The suffix that the files must have, in lower case; empty: that of any image."""

    @classmethod
    def of(cls, part: str, template: str, *, is_folder: bool = False) -> _Name:
        part = normal_form(part)
        suffix = "" if is_folder else Path(part).suffix.lower()
        if not re.fullmatch(r"\.\w*[a-z]\w*", suffix):  # fused_{}_v1.2 has none
            suffix = ""
        stem = part[: len(part) - len(suffix)] if suffix else part
        if not is_folder:
            stem = stem.removesuffix(".*")
        pieces = re.split(r"(\{\}|[*?])", stem)
        greedy, lazy = (
            re.compile("".join(signs.get(piece) or re.escape(piece) for piece in pieces), re.DOTALL)
            for signs in (_LONGEST, _SHORTEST)
        )
        return cls(template, greedy, lazy, suffix)

    def match(self, path: Path) -> str | None:
        """Return what `{}` stands for, empty if it is not in this part; None if nothing fits."""
        if self.suffix and path.suffix.lower() != self.suffix:
            return None
        return self.match_stem(normal_form(path.stem))

    def match_stem(self, stem: str) -> str | None:
        """Return the same for the stem of a file, or the name of a folder."""
        longest, shortest = self.greedy.fullmatch(stem), self.lazy.fullmatch(stem)
        if longest is None or shortest is None:
            return None
        if longest.groups() != shortest.groups():
            raise FusionlabError(
                f"{self.template} leaves open what {{}} is in {stem}: {longest[1]} or "
                f"{shortest[1]}; write more of the names in place of *",
                code="ambiguous-template",
            )
        return longest[1] if longest.groups() else ""
