"""Find what the names in several folders begin or end with: `ir/IR_1.tif`, `vis/VIS_1.jpg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from fusionlab.errors import PairingError
from fusionlab.runs.pairing.matching import alike
from fusionlab.runs.pairing.templates import PLACE, Source, find_in_folder
from fusionlab.runs.pairing.vocabulary import is_role

_Affix = tuple[str, str]
"""What all names of a folder begin and end with, beside the name of the fusion."""

_Candidates = dict[_Affix, frozenset[str]]
"""What the names may begin and end with -> what is left of them, in the form that is compared."""


def without_affixes(sources: Sequence[Source]) -> tuple[Source, ...] | None:
    """Return the sources by templates such as `ir/IR_{}.*`, if they pair all of their files.

    Args:
        sources: folders, one for each source, whose names do not agree.

    Returns:
        None if the names have nothing in common.

    Raises:
        PairingError: names may be paired so, but not all have a partner, or it is no word for a
            source that they begin or end with (code `unclear-names`).
        OSError: a folder cannot be read.
    """
    folders = [source.folder for source in sources if source.folder and source.names]
    if len(folders) < len(sources):
        return None
    candidates = [_candidates([*source.names]) for source in sources]
    whole = _complete(candidates)
    choice = whole or _partial(candidates)
    if choice is None:
        return None
    templates = [f"{before}{PLACE}{after}" for before, after in choice]
    if whole and all(map(_is_named_after_a_source, whole, folders)):
        return tuple(map(find_in_folder, folders, templates))
    texts = [str(folder / f"{name}.*") for folder, name in zip(folders, templates, strict=True)]
    reason = "" if whole else ", but not all of them have a partner"
    names = " and ".join(_example(source) for source in sources)
    raise PairingError(
        f"the names in {' and '.join(map(str, folders))} differ, such as {names}; they look like "
        f"{' with '.join(texts)}{reason}; give these templates if that is right",
        [texts],
        code="unclear-names",
        path=folders[0],
    )


def _example(source: Source) -> str:
    name = min(source.names)
    path = source.files[name][0] if name in source.files else source.lost[name].path
    return path.name


def _is_named_after_a_source(affix: _Affix, folder: Path) -> bool:
    words = [word for part in affix for word in re.findall(r"[^\W\d_]+", part)]
    numbers = re.findall(r"\d", "".join(affix))
    return not numbers and all(
        is_role(word) or word.casefold() in (folder.name.casefold(), "dji", "img") for word in words
    )


def _candidates(names: Sequence[str]) -> _Candidates:
    """Return all that these names may begin and end with, nothing at all first."""
    start = _common_start(names)
    end = _common_start([name[::-1] for name in names])[::-1]
    candidates = {}
    for before, after in product(_starts(start), _ends(end)):
        rest = [name[len(before) : len(name) - len(after)] for name in names]
        forms = frozenset(alike(rest).values())
        reserved = re.search(r"[{}*?]", before + after)
        fits = len(before) + len(after) < min(map(len, names))
        if fits and len(forms) == len(names) and not reserved:
            candidates[before, after] = forms
    return candidates


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return next((first[:i] for i, c in enumerate(first) if last[i : i + 1] != c), first)


def _starts(text: str) -> list[str]:
    """Return the beginnings of a text that end where a word does."""
    ends = [m.end() for m in re.finditer(r"[_\-. ]+|(?<=[^\W\d])(?=\d)|[^\W\d]$", text)]
    return ["", *(text[:end] for end in ends if not text[:end].isdigit())]


def _ends(text: str) -> list[str]:
    starts = [m.start() for m in re.finditer(r"[_\-. ]+|(?<=\d)(?=[^\W\d])|^[^\W\d]", text)]
    return ["", *(text[start:] for start in reversed(starts))]


def _complete(candidates: Sequence[_Candidates]) -> list[_Affix] | None:
    """Return the shortest affixes without which the names of all sources are the same."""
    ways = []
    for affix, forms in candidates[0].items():
        others = [next((a for a, f in c.items() if f == forms), None) for c in candidates[1:]]
        if None not in others and any(character.isalnum() for form in forms for character in form):
            ways.append([affix, *(other for other in others if other is not None)])
    return min(ways, key=_length) if ways else None


def _partial(candidates: Sequence[_Candidates]) -> list[_Affix] | None:
    """Return the affixes without which most of the names of two sources are the same."""
    if len(candidates) != 2:
        return None
    ways = [
        (len(forms[0] & forms[1]), [one, other])
        for (one, first), (other, second) in product(*(c.items() for c in candidates))
        for forms in [(first, second)]
        if len(first & second) * 2 >= min(len(first), len(second)) and first & second
    ]
    return min(ways, key=lambda way: (-way[0], _length(way[1])))[1] if ways else None


def _length(affixes: Sequence[_Affix]) -> int:
    return sum(len(text) for affix in affixes for text in affix)
