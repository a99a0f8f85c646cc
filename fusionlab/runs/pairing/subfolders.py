"""Find the sources of an image set in the sub-folders of one folder, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from fusionlab.errors import PairingError
from fusionlab.runs.pairing.folder_search import images_by_stem
from fusionlab.runs.pairing.templates import Source, absent, find_in_folder
from fusionlab.runs.pairing.vocabulary import combinations


@dataclass(frozen=True)
class Found:
    """The sources of an image set that was given as one folder."""

    sources: tuple[Source, ...]
    same_k: bool
    """Whether each fusion has all sources; otherwise later ones may be missing."""


def find_subfolders(folder: Path) -> Found | None:
    """Find sub-folders `a/ b/ c/ ...`, or those with the names of sources, such as `ir/ vis/`.

    They may be in the one sub-folder that has such sub-folders, or each have the same sub-folder.

    Returns:
        None if there are none.

    Raises:
        PairingError: there are several choices (code `ambiguous-folders`).
        OSError: a folder cannot be read.
    """
    if found := _direct(folder):
        return found
    if images_by_stem(folder):
        return None
    nested = {inner: found for inner in _folders(folder) if (found := _direct(inner))}
    if len(nested) > 1:
        raise PairingError(
            f"{folder} holds several image sets, such as {' and '.join(map(str, [*nested][:2]))}; "
            "give one at a time",
            [(str(inner),) for inner in [*nested][:2]],
            code="ambiguous-folders",
            path=folder,
        )
    return next(iter(nested.values()), None)


def scene_templates(folder: Path) -> list[tuple[str, ...]]:
    """Return the templates that fit sub-folders which hold the sources of one fusion each."""
    folders = [images_by_stem(inner) for inner in _folders(folder)]
    stems = sorted(set.intersection(*map(set, folders))) if folders else []
    return [
        tuple(str(folder / "{}" / f"{stems[index]}.*") for index in choice)
        for choice in combinations(stems)
    ]


def _direct(folder: Path) -> Found | None:
    folders = _folders(folder)
    names = [path.name for path in folders]
    for alphabet in (ascii_lowercase, ascii_uppercase):
        present = [letter for letter in alphabet if letter in names]
        if len(present) > 1:
            wanted = alphabet[: alphabet.index(present[-1]) + 1]
            sources = [
                find_in_folder(folder / letter) if letter in present else absent(folder / letter)
                for letter in wanted
            ]
            return Found(tuple(sources), same_k=False)
    choices = [[folders[index] for index in choice] for choice in combinations(names)]
    if len(choices) > 1:
        several = [" with ".join(path.name for path in paths) for paths in choices[:2]]
        raise PairingError(
            f"the sub-folders of {folder} can be paired in several ways, such as "
            f"{' or '.join(several)}; give those that belong together",
            [[str(path) for path in paths] for paths in choices[:2]],
            code="ambiguous-folders",
            path=folder,
        )
    return _named(folder, choices[0]) if choices else None


def _named(folder: Path, paths: Sequence[Path]) -> Found:
    """Return the sources in folders, or in the one sub-folder that all of them have."""
    if not any(images_by_stem(path) for path in paths):
        common = set.intersection(*({inner.name for inner in _folders(path)} for path in paths))
        inner = sorted(n for n in common if all(images_by_stem(path / n) for path in paths))
        if len(inner) > 1:
            raise PairingError(
                f"{folder} holds several image sets, in {inner[0]}/ and {inner[1]}/ of each of its "
                "sub-folders; give one at a time",
                [[str(path / name) for path in paths] for name in inner[:2]],
                code="ambiguous-folders",
                path=folder,
            )
        paths = [path / inner[0] for path in paths] if inner else paths
    return Found(tuple(map(find_in_folder, paths)), same_k=True)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
