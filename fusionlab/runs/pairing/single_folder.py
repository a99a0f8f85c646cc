"""Find the sources of an image set in the files of one folder, by their names.

    01_ir.png  01_vis.png       lytro-01-A.jpg  lytro-01-B.jpg
    DJI_0001_T.JPG  DJI_0001_V.JPG        IMG_0001_1.tif ... IMG_0001_5.tif

They are taken only if every image of the folder fits, with all of its sources. Letters and digits
count where no name has a word for a source, and digits only in the names of cameras that have bands
so: `x_1 x_2` may be two frames of a video as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionlab.errors import PairingError
from fusionlab.runs.pairing.folder_search import images_by_stem
from fusionlab.runs.pairing.matching import alike, match_sources
from fusionlab.runs.pairing.subfolders import Found
from fusionlab.runs.pairing.templates import find_in_folder
from fusionlab.runs.pairing.vocabulary import (
    combinations,
    digits,
    dji_combinations,
    is_role,
    letters,
)

_SHAPES = (
    (r"(?P<key>.+?)(?P<sep>[_\-. ]+)(?P<word>[A-Za-z]+\d*|\d)", "{{}}{sep}{word}"),
    (r"(?P<key>.*\d)(?P<sep>)(?P<word>[A-Za-z]+)", "{{}}{word}"),
    (r"(?P<word>[A-Za-z]+\d*)(?P<sep>[_\-. ]+)(?P<key>.+)", "{word}{sep}{{}}"),
    (r"(?P<word>[A-Za-z]+)(?P<sep>)(?P<key>\d.*)", "{word}{{}}"),
)
"""Where in a name the word for the source may be: the name, and its template."""

_MICASENSE = re.compile(r"IMG_\d+", re.IGNORECASE)
"""MicaSense's cameras; what they append is the number of the band."""


@dataclass(frozen=True)
class _Choice:
    """Words that may be those of the sources of one fusion."""

    indices: Sequence[int]
    same_k: bool = True
    by_word: bool = True
    """Whether they are words for sources, not letters or digits."""
    is_certain: bool = True
    """Whether they cannot mean something else."""


@dataclass(frozen=True)
class _Candidate:
    """Templates that pair some of the files of a folder."""

    templates: tuple[str, ...]
    """Of the names without suffix."""
    stems: frozenset[str]
    """That they match."""
    shared: bool
    """Whether any fusion has the first two sources."""
    unshared: str
    """A name without a partner, if there is one."""
    choice: _Choice


def split_folder(folder: Path, *, growing: bool = False) -> Found | None:
    """Find the sources in the names of the files of a folder.

    Args:
        folder: holds the images.
        growing: whether more files will come: a name may have no partner yet, or no place in the
            fusions at all.

    Returns:
        None if no name looks like that of a source.

    Raises:
        PairingError: not every image fits (code `unclear-names`).
        OSError: the folder cannot be read.
    """
    stems = [*images_by_stem(folder)]
    candidates = [candidate for candidate in _candidates(stems) if candidate.shared]
    if not candidates:
        return None
    best = sorted(candidates, key=lambda c: (not c.choice.by_word, -len(c.stems)))[:2]
    if len(best) > 1 and _rank(best[1]) < _rank(best[0]):
        best = best[:1]
    fits = len(best) == 1 and best[0].choice.is_certain
    if fits and (growing or best[0].stems == set(stems)):
        sources = tuple(find_in_folder(folder, template) for template in best[0].templates)
        if growing:
            return Found(sources, best[0].choice.same_k)
        matches = match_sources(sources, same_k=best[0].choice.same_k)
        if {match.kind for match in matches} <= {"", "not-read"}:
            return Found(sources, best[0].choice.same_k)
    ways = [[str(folder / f"{template}.*") for template in c.templates] for c in best]
    raise PairingError(
        f"{folder} is not clear: its names look like {' or '.join(map(' with '.join, ways))}, but "
        f"{_misfit(best[0], stems)}; give the templates that are meant",
        ways,
        code="unclear-names",
        path=folder,
    )


def _rank(candidate: _Candidate) -> tuple[bool, int]:
    return candidate.choice.by_word, len(candidate.stems)


def _misfit(candidate: _Candidate, stems: Sequence[str]) -> str:
    """Return what is said about names that do not fit."""
    others = [stem for stem in stems if stem not in candidate.stems]
    if others:
        return f"{len(others)} of {len(stems)} do not fit, such as {others[0]}"
    if candidate.unshared:
        return f"{candidate.unshared} has no partner"
    return "they may mean something else"


def _candidates(stems: Sequence[str]) -> Iterator[_Candidate]:
    """Yield all templates that pair some of the names."""
    for pattern, template in _SHAPES:
        by_separator: dict[str, dict[str, dict[str, str]]] = {}
        for stem in stems:
            if match := re.fullmatch(pattern, stem, re.DOTALL):
                words = by_separator.setdefault(match["sep"], {})
                words.setdefault(match["word"], {})[match["key"]] = stem
        for separator, keys in by_separator.items():
            words_here = [*keys]
            for choice in _choices(words_here, keys):
                chosen = [words_here[index] for index in choice.indices]
                yield _candidate(chosen, keys, template, separator, choice)


def _choices(words: Sequence[str], keys: dict[str, dict[str, str]]) -> Iterator[_Choice]:
    """Yield the words that may be those of the sources of one fusion.

    Args:
        words: in the names, all at the same place.
        keys: word -> the rest of the name -> the name.
    """
    for choice in combinations(words):
        yield _Choice(choice)
    is_dji = [bool(re.match("DJI_", next(iter(keys[word])), re.IGNORECASE)) for word in words]
    for choice in dji_combinations(words):
        if all(is_dji[index] for index in choice):
            yield _Choice(choice)
    for choice in (letters(words), digits(words)):
        if choice:
            rests = {key for index in choice for key in keys[words[index]]}
            bands = all(map(_MICASENSE.fullmatch, rests))
            is_certain = bands or not (words[choice[0]].isdigit() or any(map(_has_word, rests)))
            if is_certain or len(rests) > 1:  # else a single series of numbered images
                by_digits = words[choice[0]].isdigit()
                yield _Choice(choice, by_digits, by_word=False, is_certain=is_certain)


def _has_word(name: str) -> bool:
    return any(is_role(word) for word in re.findall(r"[^\W_]{2,}", name))


def _candidate(
    words: Sequence[str],
    keys: dict[str, dict[str, str]],
    template: str,
    separator: str,
    choice: _Choice,
) -> _Candidate:
    texts = [template.format(sep=separator, word=word) for word in words]
    stems = frozenset(stem for word in words for stem in keys[word].values())
    forms = [alike(keys[word]) for word in words]
    shared = set.intersection(*(set(names.values()) for names in forms[:2]))
    unshared = (
        keys[word][name]
        for word, names in zip(words, forms, strict=True)
        for name, form in names.items()
        if form not in shared
    )
    return _Candidate(tuple(texts), stems, bool(shared), next(unshared, ""), choice)
