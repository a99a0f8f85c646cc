"""Match the files of several sources by the names of their fusions.

Names that are equal belong together. Those that are left belong together if they differ only in
upper and lower case, in the zeros in front of a number, or in the time of a DJI drone, which writes
its files up to a second apart; but not where one file has two such partners.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from fusionlab.runs.pairing.templates import PLACE, Source

DJI_SECONDS = 2
"""Names of one exposure of a DJI drone are at most so far apart."""

_DJI = re.compile(r"(.*DJI_)(\d{14})(_\d{4,}.*)", re.DOTALL)
"""Before the time, the time, and the number and what follows it."""

_Indices = dict[int, str]
"""Index of a source -> the name that the fusion has there."""


@dataclass(frozen=True)
class Match:
    """The files of one fusion, or the reason why they cannot be fused."""

    name: str
    files: tuple[Path, ...]
    problem: str = ""
    """A sentence that begins with the name; empty if there is none."""
    kind: Literal["", "ambiguous", "missing", "several", "not-read"] = ""
    """Of the problem."""
    differing: bool = False
    """Whether its files belong together although their names differ."""


def match_sources(sources: Sequence[Source], *, same_k: bool) -> list[Match]:
    """Match the files of sources, sorted by name.

    Args:
        sources: two or more.
        same_k: whether each fusion has all of them; otherwise later ones may be missing.
    """
    matches = [
        _match(sources, indices, ambiguity, same_k=same_k)
        for indices, ambiguity in _grouped(sources, same_k=same_k)
    ]
    return sorted(matches, key=lambda match: match.name)


def single_files(source: Source) -> list[Match]:
    """Return fusions each of whose sources are all in one file, sorted by name.

    Args:
        source: the files.
    """
    alone = [_match([source], {0: name}, "", same_k=True) for name in source.names]
    return sorted(alone, key=lambda match: match.name)


def _grouped(sources: Sequence[Source], *, same_k: bool) -> list[tuple[_Indices, str]]:
    """Return the names that belong together, and why that is unclear where it is."""
    equal: dict[str, _Indices] = {}
    for index, source in enumerate(sources):
        for name in sorted(source.names):
            equal.setdefault(name, {})[index] = name
    complete = {
        name: indices
        for name, indices in equal.items()
        if not _missing(indices, len(sources), same_k=same_k) and len(indices) > 1
    }
    groups = [(indices, "") for indices in complete.values()]
    others = {name: indices for name, indices in equal.items() if name not in complete}
    forms = alike(others)
    by_form: dict[str, list[_Indices]] = {}
    for name, indices in others.items():
        by_form.setdefault(forms[name], []).append(indices)
    for parts in by_form.values():
        merged = {index: name for part in parts for index, name in part.items()}
        if len(merged) == sum(map(len, parts)):
            groups.append((merged, ""))
        else:  # a source has two of these names
            ambiguity = _ambiguity(sources, parts) if len(merged) > 1 else ""
            groups += [(part, ambiguity) for part in parts]
    return groups


def alike(names: Iterable[str]) -> dict[str, str]:
    """Return name -> text that is the same for names that may belong together."""
    forms: dict[str, str] = {}
    exposures: dict[str, list[tuple[datetime, str]]] = {}
    for name in names:
        forms[name] = plain_form(name)
        if (match := _DJI.fullmatch(name)) and (time := _time(match[2])):
            exposures.setdefault(f"{match[1]}{match[3]}", []).append((time, name))
    for number, times in exposures.items():
        first, exposure = min(times)[0], 0  # the numbers start anew at times
        for time, name in sorted(times):
            if (time - first).total_seconds() > DJI_SECONDS:
                first, exposure = time, exposure + 1
            forms[name] = f"{number} {exposure}"
    return forms


def plain_form(name: str) -> str:
    """Return a name in lower case, without the zeros in front of numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007  # compared with its like
    except ValueError:
        return None


def _missing(indices: Mapping[int, str], count: int, *, same_k: bool) -> list[int]:
    """Return the sources that a fusion lacks."""
    return [index for index in range(count if same_k else max(indices)) if index not in indices]


def _match(sources: Sequence[Source], indices: _Indices, ambiguity: str, *, same_k: bool) -> Match:
    """Return the files of a fusion, with what keeps them from being fused."""
    order = sorted(indices)
    name = indices[order[0]]
    files = [sources[index].files.get(indices[index], []) for index in order]
    lost = [
        None if found else sources[index].lost[indices[index]]
        for index, found in zip(order, files, strict=True)
    ]
    paths = tuple(
        entry.path if entry else found[0] for found, entry in zip(files, lost, strict=True)
    )
    differing = len(set(indices.values())) > 1
    match = partial(Match, name, paths, differing=differing)
    if ambiguity:
        return match(f"{name} {ambiguity}", "ambiguous")
    if missing := _missing(indices, len(sources), same_k=same_k):
        return match(f"{name} {_lacks(sources[missing[0]], name)}", "missing")
    if len(indices) < 2 <= len(sources):
        place = _place(sources[order[0]])
        return match(f"{name} is only in {place}; a fusion needs at least two sources", "missing")
    if several := next((found for found in files if len(found) > 1), None):
        names = ", ".join(path.name for path in several)
        text = f"{name} has several files in {several[0].parent}: {names}; keep one of them"
        return match(text, "several")
    if entry := next(filter(None, lost), None):
        return match(f"{name} cannot be fused: {entry.path} {entry.reason}", "not-read")
    return match()


def _lacks(source: Source, name: str) -> str:
    if source.template.endswith("/"):
        return f"is missing in {_place(source)}; add it there, or remove it everywhere"
    return f"is missing: there is no {source.template.replace(PLACE, name)}"


def _place(source: Source) -> str:
    return source.template.removesuffix("/")


def _ambiguity(sources: Sequence[Source], parts: Sequence[_Indices]) -> str:
    """Return the sentence about two files that compete for the same partner."""
    by_source: dict[int, list[Path]] = {}
    for part in parts:
        for index, name in part.items():
            source = sources[index]
            path = source.files[name][0] if name in source.files else source.lost[name].path
            by_source.setdefault(index, []).append(path)
    rivals = max(by_source.values(), key=len)
    other = next(paths for paths in by_source.values() if paths is not rivals)
    return f"is ambiguous: both {rivals[0]} and {rivals[1]} could go with {other[0]}; rename one"
