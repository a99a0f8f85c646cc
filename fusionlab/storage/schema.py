"""Check what our own files hold before it is used: others may have changed, cut or forged them.

The type of a value is given as Python declares it, so that a file has one description, which also
type-checks what reads it: a `TypedDict` or a dataclass for an object with known keys.

    class Weights(TypedDict):
        tag: str
        iterations: NotRequired[Count]

    mismatch({"tag": 5}, Weights)  # "tag must be text, got 5"

Keys that a type does not name are skipped: later versions may write them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

MAX_NUMBER = 2**63
"""Whole numbers beyond are no count of anything, and do not fit into the numbers of libraries."""
SHOWN = 60
"""How many characters of a value a sentence shows."""


@dataclasses.dataclass(frozen=True)
class Within:
    """The bounds of a number, for `Annotated[int, Within(0, 9)]`; NaN is beyond all bounds."""

    low: float
    high: float


Count = Annotated[int, Within(0, MAX_NUMBER)]
Finite = Annotated[float, Within(-1e300, 1e300)]


class NotOurs(ValueError):  # noqa: N818  # what a file is, not what went wrong
    """The content of a file is not what it should be: the message says where."""


def parse_json(content: str | bytes, kind: Any) -> Any:
    """Return the value of a JSON text.

    Args:
        content: the text.
        kind: the type of the value.

    Raises:
        NotOurs: it is not JSON, or its value is of another type.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotOurs(f"it is not JSON: {error}") from error
    check(value, kind)
    return value


def check(value: object, kind: Any) -> None:
    """Check the type of a JSON value.

    Raises:
        NotOurs: it is of another type.
    """
    if problem := mismatch(value, kind):
        raise NotOurs(problem)


def mismatch(value: object, kind: Any, place: str = "") -> str:
    """Return where a JSON value is not of a type, in words; empty if it is.

    Args:
        value: what `json.loads` returns.
        kind: its type: str, bool, int, float, None, Any, a Literal, a union, `list[T]`,
            `tuple[T, ...]` and `tuple[S, T]` (lists in JSON), `Mapping[str, T]`, a TypedDict, a
            dataclass, or one of these `Annotated` with bounds. A whole number is a float, too.
            Truth values are no numbers.
        place: of the value in the file.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        problem = mismatch(value, args[0], place) or _out_of_bounds(value, args[1:], place)
    elif origin in (Union, UnionType):
        problem = _union_mismatch(value, args, place)
    elif is_typeddict(kind) or dataclasses.is_dataclass(kind):
        problem = _object_mismatch(value, kind, place)
    elif origin is Literal:
        of_choice = any(value == choice and type(value) is type(choice) for choice in args)
        problem = "" if of_choice else _expected(place, " or ".join(map(repr, args)), value)
    elif origin in (dict, Mapping):
        problem = _mapping_mismatch(value, args[1], place)
    elif origin in (list, tuple):
        problem = _list_mismatch(value, args, place, fixed=origin is tuple and args[-1] is not ...)
    else:
        right = kind is Any or _is_a(value, kind)
        problem = "" if right else _expected(place, _NAMES[kind], value)
    return problem


def newer_version(value: object, keys: Sequence[str], ours: str) -> str:
    """Return the version of fusionlab that wrote a file, if it is newer than this one.

    Args:
        value: of the file.
        keys: where it names the version.
        ours: the version of this one.
    """
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or len(value) > SHOWN:
        return ""

    def numbers(version: str) -> list[int]:
        return [int(digits) for digits in re.findall(r"[0-9]+", version.partition("+")[0])]

    return value if numbers(value) > numbers(ours) else ""


_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}


def _is_a(value: object, kind: Any) -> bool:
    if kind in (int, float):
        if type(value) is float:
            return kind is float
        return type(value) is int and abs(value) <= MAX_NUMBER
    return isinstance(value, kind)


def _out_of_bounds(value: object, extras: Sequence[object], place: str) -> str:
    for extra in extras:
        if not (isinstance(extra, Within) and isinstance(value, int | float)):
            continue
        if not extra.low <= value <= extra.high:
            return _expected(place, f"from {extra.low:g} to {extra.high:g}", value)
    return ""


def _union_mismatch(value: object, kinds: Sequence[Any], place: str) -> str:
    problems = [mismatch(value, kind, place) for kind in kinds]
    if "" in problems:
        return ""
    # what is said about a part of the value says more than what is said about all of it
    return max(problems, key=lambda problem: not problem.startswith(f"{place or 'it'} must be"))


def _object_mismatch(value: object, kind: Any, place: str) -> str:
    if not isinstance(value, dict):
        return _expected(place, "an object", value)
    hints, required = _keys(kind)
    if missing := [key for key in hints if key in required and key not in value]:
        return f"{_in(place, missing[0])} is missing"
    return _first(
        mismatch(value[key], hint, _in(place, key)) for key, hint in hints.items() if key in value
    )


def _mapping_mismatch(value: object, kind: Any, place: str) -> str:
    if not isinstance(value, dict):
        return _expected(place, "an object", value)
    return _first(mismatch(part, kind, _in(place, key)) for key, part in value.items())


def _list_mismatch(value: object, kinds: Sequence[Any], place: str, *, fixed: bool) -> str:
    if not isinstance(value, list):
        return _expected(place, "a list", value)
    if fixed and len(value) != len(kinds):
        return _expected(place, f"a list of {len(kinds)}", value)
    of_parts = kinds if fixed else [kinds[0]] * len(value)
    return _first(
        mismatch(part, kind, f"{place}[{number}]")
        for number, (part, kind) in enumerate(zip(value, of_parts, strict=True))
    )


@cache
def _keys(kind: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the types of the keys of an object, and which of them must be there."""
    hints = get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        fields = {field.name: field for field in dataclasses.fields(kind)}
        required = {
            name
            for name, field in fields.items()
            if field.default is missing and field.default_factory is missing
        }
        return {name: hints[name] for name in fields}, required
    required = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    plain = {name: hint if name in required else get_args(hint)[0] for name, hint in hints.items()}
    return plain, required


def _first(problems: Any) -> str:
    return next(filter(None, problems), "")


def _in(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def _expected(place: str, expected: str, value: object) -> str:
    return f"{place or 'it'} must be {expected}, got {_shown(value)}"


def _shown(value: object) -> str:
    """Return a value in few characters; of a number that is too large, how large it is."""
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return f"a number of about {math.ceil(value.bit_length() * math.log10(2))} digits"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
