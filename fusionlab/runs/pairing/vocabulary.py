"""The words by which people tell the sources of a fusion apart, in names of folders and files.

The first source comes first here, too: infrared, near, overexposed, CT or PET.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from string import ascii_lowercase

MRI = ("mri", "mr")
KINDS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("ir", "infrared", "thermal", "tir", "lwir", "mwir", "swir", "nir"),
        ("vi", "vis", "visible", "visual", "rgb", "eo"),
    ),
    (("near", "foreground"), ("far", "background")),
    (("over", "overexposed"), ("under", "underexposed")),
    (("ct",), MRI),
    (("pet",), MRI),
    (("spect",), MRI),
)
"""For each kind of fusion its sources, in their order, each with the words for it."""

NUMBERED = ("source", "src", "image", "img", "input", "view", "band", "exposure", "focus")
"""Words that are followed by the number of the source: `source1 source2`."""

DJI = (("t",), ("v", "w", "z"))
"""What ends the names of DJI's drones: thermal; visible, wide angle, zoom."""

Combination = tuple[int, ...]
"""The indices of words that belong together, in the order of the sources."""


def combinations(words: Sequence[str]) -> list[Combination]:
    """Return which of some words are those of the sources of one kind of fusion.

    Args:
        words: names of folders, or parts of names of files, in upper or lower case.
    """
    return [
        *(found for kind in KINDS for found in _of_kind(words, kind)),
        *_numbered(words),
    ]


def dji_combinations(words: Sequence[str]) -> list[Combination]:
    """Return the same for the ends of the names of DJI's files."""
    return list(_of_kind(words, DJI))


def letters(words: Sequence[str]) -> Combination:
    """Return the words that are letters, from `a` on without a gap; empty if there are not two."""
    for alphabet in (ascii_lowercase, ascii_lowercase.upper()):
        found = _prefix(words, alphabet)
        if len(found) > 1:
            return found
    return ()


def digits(words: Sequence[str]) -> Combination:
    """Return the words that are digits, from 1 on without a gap; empty if there are not two."""
    found = _prefix(words, "123456789")
    return found if len(found) > 1 else ()


def is_role(word: str) -> bool:
    """Return whether a word is one for a source."""
    roles = {name for kind in (*KINDS, DJI) for role in kind for name in role}
    return word.casefold() in roles | set(ascii_lowercase) or bool(_split_numbered(word))


def _of_kind(words: Sequence[str], kind: Sequence[Sequence[str]]) -> Iterator[Combination]:
    """Yield every choice of one word for each source."""
    plain = [word.casefold() for word in words]
    return product(*([i for i, word in enumerate(plain) if word in role] for role in kind))


def _numbered(words: Sequence[str]) -> Iterator[Combination]:
    """Yield the words that differ in their number only: 1, 2, ... or 0, 1, ..."""
    groups: dict[str, dict[int, list[int]]] = {}
    for index, word in enumerate(words):
        if parts := _split_numbered(word):
            groups.setdefault(parts[0], {}).setdefault(parts[1], []).append(index)
    for numbers in groups.values():
        wanted = range(min(numbers), min(numbers) + len(numbers))
        if min(numbers) in (0, 1) and len(numbers) > 1 and sorted(numbers) == [*wanted]:
            yield from product(*(numbers[number] for number in wanted))


def _split_numbered(word: str) -> tuple[str, int] | None:
    match = re.fullmatch(r"(.*?)[ _-]?(\d{1,3})", word.casefold())
    return (match[1], int(match[2])) if match and match[1] in NUMBERED else None


def _prefix(words: Sequence[str], alphabet: str) -> Combination:
    """Return where the first characters of an alphabet are among the words, up to a gap."""
    found = []
    for character in alphabet:
        if character not in words:
            break
        found.append(words.index(character))
    return tuple(found)
