"""Parameters of strategies and backbones, read from their annotations.

Each field of a strategy, which is a dataclass, is a parameter:

    r: Annotated[int, Interval(ge=0, le=16), "half-width of the averaging window"] = 1

Each annotated argument of the `__init__` of a backbone, which is a module, is a parameter:

    def __init__(self, width: Annotated[int, Ge(1), "channels of the first level"] = 16) -> None:

The annotation is the single source of the command-line option, the check in Python, the text `r=1`
in the name of a method, and the values that hypothesis draws. Where not every text is valid, a
tuple of examples says what to draw: `Annotated[str, ("mean", "l1norm"), "whose weights"]`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from inspect import signature
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""The form of the names that occur in the names of methods: strategies, backbones, tags, ..."""

_WORDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", operator.ge),
    "gt": ("more than", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("less than", operator.lt),
}


@dataclass(frozen=True)
class Param:
    """One parameter: its type, default, bounds and one-line help.

    `kind` is bool, int, float or str; if `many`, the value is a tuple of them. Bounds and
    choices apply to each element.
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
    examples: tuple[Any, ...] = ()
    """Valid values for tests, where not every text is one; a tuple among the annotations."""

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING

    def check(self, value: object) -> None:
        """Raise `FusionlabError` if `value` is not valid; None is valid if it is optional."""
        if value is None and self.optional:
            return
        if self.many:
            if not isinstance(value, tuple):
                raise self._wrong(f"a tuple of {self.kind.__name__}", value)
            for element in value:
                self._check_element(element)
        else:
            self._check_element(value)

    def parse(self, text: str) -> object:
        """Convert text to a valid value.

        Tuples are written `0.2,0.8`, None as `none`, booleans as `true` and `false`.

        Raises:
            FusionlabError: the text is not a valid value.
        """
        if self.optional and text == "none":
            return None
        if self.many:
            value: object = tuple(self._parse_element(part) for part in text.split(",") if part)
        else:
            value = self._parse_element(text)
        self.check(value)
        return value

    def format(self, value: object) -> str:
        """Convert a value to the text that `parse` reads."""
        if value is None:
            return "none"
        if isinstance(value, tuple):
            return ",".join(map(self._format_element, value))
        return self._format_element(value)

    def draw(self, size: int | None = None) -> SearchStrategy[Any]:
        """Return a hypothesis strategy of valid values; tuples have `size` elements, or none."""
        from hypothesis import strategies as st

        if self.choices or self.examples:
            values: SearchStrategy[Any] = st.sampled_from(self.choices or self.examples)
        elif self.kind is float:
            values = st.floats(
                self.gt if self.ge is None else self.ge,
                self.lt if self.le is None else self.le,
                exclude_min=self.ge is None and self.gt is not None,
                exclude_max=self.le is None and self.lt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        elif self.kind is int:
            smallest = math.ceil(self.ge) if self.ge is not None else None
            if self.gt is not None:
                smallest = math.floor(self.gt) + 1
            largest = math.floor(self.le) if self.le is not None else None
            if self.lt is not None:
                largest = math.ceil(self.lt) - 1
            values = st.integers(smallest, largest)
        else:
            text = st.text(max_size=8).filter(self._readable)
            values = st.booleans() if self.kind is bool else text
        if self.many:
            elements = values
            sizes = range(7) if size is None else sorted({0, size})
            values = st.sampled_from(sizes).flatmap(lambda n: st.tuples(*[elements] * n))
        return st.none() | values if self.optional else values

    def _check_element(self, value: Any) -> None:
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
        """Return whether text can be read back from the name of a method."""
        return bool(text) and text != "none" and not set(text) & {",", "="}

    def _parse_element(self, text: str) -> object:
        if self.kind is bool:
            words = {"true": True, "false": False}
            if text not in words:
                raise self._wrong("true or false", text)
            return words[text]
        try:
            return self.kind(text)
        except ValueError:
            raise self._wrong(self.kind.__name__, text) from None

    def _format_element(self, value: Any) -> str:
        if self.kind is float:
            return str(float(value))
        return str(value).lower() if self.kind is bool else str(value)

    def _wrong(self, expected: str, got: object) -> FusionlabError:
        return FusionlabError(
            f"the parameter {self.name!r} must be {expected}, got {got!r}", code="parameter-value"
        )


@cache  # every instance is checked, and resolving the hints takes longer than the check
def params_of(cls: type[Any]) -> tuple[Param, ...]:
    """Return the parameters of a class, in the order of their declaration.

    These are the fields of a dataclass (a strategy), or the annotated arguments of the `__init__`
    of another class (a backbone).

    Raises:
        TypeError: a parameter has an unsupported type.
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
    """Raise `FusionlabError` if a parameter of an instance has an invalid value."""
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


def texts(
    instance: Any, *, omit_defaults: bool = False, shown: Collection[str] = ()
) -> dict[str, str]:
    """Return the parameters of an instance and the texts of their values, for `Param.parse`.

    A backbone has none if an argument of its `__init__` cannot be a parameter.

    Args:
        instance: a strategy or a backbone.
        omit_defaults: leave out parameters that have their default values.
        shown: parameters that are never left out.
    """
    cls = instance.__class__
    try:
        params = params_of(cls)
    except (TypeError, NameError):
        if is_dataclass(cls):
            raise
        return {}
    values = {param: getattr(instance, param.name) for param in params}
    return {
        param.name: param.format(value)
        for param, value in values.items()
        if param.name in shown or not (omit_defaults and value == param.default)
    }


def describe(instance: Any) -> str:
    """Return the parameters of an instance as text: `r=1,border=inside`."""
    return ",".join(f"{name}={text}" for name, text in texts(instance).items())


def draw(cls: type) -> SearchStrategy[Any]:
    """Return a hypothesis strategy of valid instances of a class with parameters."""
    from hypothesis import strategies as st

    return st.builds(cls, **{param.name: param.draw() for param in params_of(cls)})


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _param(name: str, hint: Any, default: object) -> Param:
    hint, extras = _split_annotated(hint)
    optional = NoneType in get_args(hint)
    if optional:
        alternatives = [a for a in get_args(hint) if a is not NoneType]
        if len(alternatives) != 1:
            raise TypeError(f"parameter {name!r}: unsupported type {hint!r}")
        hint, more = _split_annotated(alternatives[0])
        extras += more
    many = get_origin(hint) is tuple
    if many:
        element, *rest = get_args(hint)
        if rest != [...]:
            raise TypeError(f"parameter {name!r}: a tuple must be written tuple[T, ...]")
        hint, more = _split_annotated(element)
        extras += more
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kind = type(choices[0]) if choices else hint
    if kind not in (bool, int, float, str):
        raise TypeError(f"parameter {name!r}: unsupported type {hint!r}")
    # by the names of the attributes: importing annotated_types would slow down every command
    bounds = {
        key: getattr(extra, key)
        for extra in extras
        for key in _WORDS
        if getattr(extra, key, None) is not None
    }
    text = next((extra for extra in extras if isinstance(extra, str)), "")
    examples = next((extra for extra in extras if isinstance(extra, tuple)), ())
    return Param(name, kind, default, text, choices, optional, many, **bounds, examples=examples)


def _split_annotated(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split `Annotated[T, a, b]` into T and (a, b)."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, tuple(extras)
    return hint, ()


def check_name(name: object) -> None:
    """Raise `FusionlabError` if `name` cannot be a part of the name of a method."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise FusionlabError(
            "a name consists of letters, digits, '.', '_' and '-', and begins with a letter or a "
            f"digit, got {name!r}",
            code="bad-name",
        )
