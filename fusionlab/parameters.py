"""Parameters of a strategy, read from the annotations of its dataclass.

    r: Annotated[int, Interval(ge=0, le=16), "half-width of the averaging window"] = 1

is the single source of the command-line option, the check in Python, the text `r=1` in the
name of a method, and the values hypothesis draws.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from inspect import signature
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a strategy, a backbone, a preset or a tag may be called: names stand in method names."""

_BOUNDS = {Ge: ("ge",), Gt: ("gt",), Le: ("le",), Lt: ("lt",), Interval: ("ge", "gt", "le", "lt")}
_WORDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", operator.ge),
    "gt": ("more than", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("less than", operator.lt),
}


@dataclass(frozen=True)
class Param:
    """One parameter: its type, default, bounds and one-line help.

    `kind` is bool, int, float or str; `many` says that the value is a tuple of them. Bounds
    and choices apply to each element.
    """

    name: str
    kind: type
    default: object = MISSING
    help: str = ""
    choices: tuple[Any, ...] = ()
    optional: bool = False
    many: bool = False
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def required(self) -> bool:
        """Whether the user has to give it."""
        return self.default is MISSING

    def check(self, value: object) -> None:
        """Raise `FusionlabError` unless `value` fits; None fits an optional parameter."""
        if value is None and self.optional:
            return
        if self.many:
            if not isinstance(value, tuple):
                raise self._wrong(f"a tuple of {self.kind.__name__}", value)
            for element in value:
                self._check_one(element)
        else:
            self._check_one(value)

    def parse(self, text: str) -> object:
        """Turn text, as people write it, into a value that fits.

        Tuples are written `0.2,0.8`, None as `none`, booleans as `true` and `false`.
        """
        if self.optional and text == "none":
            return None
        if self.many:
            value: object = tuple(self._parse_one(part) for part in text.split(",") if part)
        else:
            value = self._parse_one(text)
        self.check(value)
        return value

    def format(self, value: object) -> str:
        """Turn a value into the text that `parse` reads."""
        if value is None:
            return "none"
        if isinstance(value, tuple):
            return ",".join(map(self._format_one, value))
        return self._format_one(value)

    def draw(self, size: int | None = None) -> SearchStrategy[Any]:
        """Return a hypothesis strategy of valid values; of tuples with `size` elements, or none."""
        from hypothesis import strategies as st

        if self.choices:
            one: SearchStrategy[Any] = st.sampled_from(self.choices)
        elif self.kind is float:
            one = st.floats(
                self.gt if self.ge is None else self.ge,
                self.lt if self.le is None else self.le,
                exclude_min=self.ge is None and self.gt is not None,
                exclude_max=self.le is None and self.lt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        elif self.kind is int:
            least = math.ceil(self.ge) if self.ge is not None else None
            if self.gt is not None:
                least = math.floor(self.gt) + 1
            most = math.floor(self.le) if self.le is not None else None
            if self.lt is not None:
                most = math.ceil(self.lt) - 1
            one = st.integers(least, most)
        else:
            text = st.text(max_size=8).filter(self._readable)
            one = st.booleans() if self.kind is bool else text
        if self.many:
            one_element = one
            sizes = range(7) if size is None else sorted({0, size})
            one = st.sampled_from(sizes).flatmap(lambda n: st.tuples(*[one_element] * n))
        return st.none() | one if self.optional else one

    def _check_one(self, value: Any) -> None:
        accepted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and self.kind is not bool):
            raise self._wrong(self.kind.__name__, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._wrong("a finite number", value)
        if isinstance(value, str) and not self._readable(value):
            raise self._wrong("text without ',' and '=' that is not empty and not 'none'", value)
        if self.choices and value not in self.choices:
            raise self._wrong(f"one of {', '.join(map(str, self.choices))}", value)
        for key, (word, holds) in _WORDS.items():
            bound = getattr(self, key)
            if bound is not None and not holds(value, bound):
                raise self._wrong(f"{word} {bound}", value)

    @staticmethod
    def _readable(text: str) -> bool:
        """Whether text stays itself in the name of a method, where these mean something else."""
        return bool(text) and text != "none" and not set(text) & {",", "="}

    def _parse_one(self, text: str) -> object:
        if self.kind is bool:
            words = {"true": True, "false": False}
            if text not in words:
                raise self._wrong("true or false", text)
            return words[text]
        try:
            return self.kind(text)
        except ValueError:
            raise self._wrong(self.kind.__name__, text) from None

    def _format_one(self, value: Any) -> str:
        if self.kind is float:
            return str(float(value))
        return str(value).lower() if self.kind is bool else str(value)

    def _wrong(self, expected: str, got: object) -> FusionlabError:
        return FusionlabError(f"the parameter {self.name!r} must be {expected}, got {got!r}")


@cache  # every instance is checked, and reading the hints takes longer than that
def params_of(cls: type[Any]) -> tuple[Param, ...]:
    """Return the parameters of a class, in their order.

    These are the fields of a dataclass (a strategy), or the annotated arguments of the `__init__`
    of another class (a backbone).

    Raises:
        TypeError: one has a type that cannot be a parameter.
    """
    if not is_dataclass(cls):
        hints = get_type_hints(cls.__init__, include_extras=True)
        return tuple(
            _param(a.name, hints[a.name], MISSING if a.default is a.empty else a.default)
            for a in signature(cls.__init__).parameters.values()
            if a.name in hints and a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)
        )
    hints = get_type_hints(cls, include_extras=True)
    return tuple(_param(f.name, hints[f.name], _default(f)) for f in fields(cls) if f.init)


def check(instance: Any) -> None:
    """Raise `FusionlabError` unless every field of a dataclass instance fits its parameter."""
    for param in params_of(instance.__class__):
        param.check(getattr(instance, param.name))


def check_arguments(
    cls: Any, args: tuple[object, ...], kwargs: dict[str, object]
) -> dict[str, object]:
    """Check the arguments of an `__init__` and return the values of the parameters among them.

    Nothing is returned if they do not fit the signature, so that calling `__init__` raises the
    error, or if an annotation cannot be a parameter, as in classes that only Python code builds.

    Raises:
        FusionlabError: a value does not fit its parameter.
    """
    try:
        params = params_of(cls)
        bound = signature(cls.__init__).bind_partial(None, *args, **kwargs)
    except (TypeError, NameError):
        return {}
    bound.apply_defaults()
    values = {p.name: bound.arguments[p.name] for p in params if p.name in bound.arguments}
    for param in params:
        if param.name in values:
            param.check(values[param.name])
    return values


def describe(instance: Any) -> str:
    """Return the parameters of an instance as text: `r=1,border=inside`."""
    return ",".join(
        f"{param.name}={param.format(getattr(instance, param.name))}"
        for param in params_of(instance.__class__)
    )


def draw(cls: type) -> SearchStrategy[Any]:
    """Return a hypothesis strategy of valid instances of a dataclass with parameters."""
    from hypothesis import strategies as st

    return st.builds(cls, **{param.name: param.draw() for param in params_of(cls)})


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _param(name: str, hint: Any, default: object) -> Param:
    hint, extras = _bare(hint)
    optional = NoneType in get_args(hint)
    if optional:
        alternatives = [a for a in get_args(hint) if a is not NoneType]
        if len(alternatives) != 1:
            raise TypeError(f"parameter {name!r}: unsupported type {hint!r}")
        hint, more = _bare(alternatives[0])
        extras += more
    many = get_origin(hint) is tuple
    if many:
        element, *rest = get_args(hint)
        if rest != [...]:
            raise TypeError(f"parameter {name!r}: a tuple must be written tuple[T, ...]")
        hint, more = _bare(element)
        extras += more
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kind = type(choices[0]) if choices else hint
    if kind not in (bool, int, float, str):
        raise TypeError(f"parameter {name!r}: unsupported type {hint!r}")
    bounds = {
        key: getattr(extra, key)
        for extra in extras
        for key in _BOUNDS.get(type(extra), ())
        if getattr(extra, key) is not None
    }
    text = next((extra for extra in extras if isinstance(extra, str)), "")
    return Param(name, kind, default, text, choices, optional, many, **bounds)


def _bare(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split `Annotated[T, a, b]` into T and (a, b)."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, tuple(extras)
    return hint, ()


def check_name(name: object) -> None:
    """Raise `FusionlabError` unless `name` can stand in the name of a method."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise FusionlabError(
            "a name consists of letters, digits, '.', '_' and '-' and begins with one of the first "
            f"two, got {name!r}"
        )
