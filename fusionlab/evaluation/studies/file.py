"""The file of a study: TOML, in which every value that may vary takes `{ grid = [...] }`.

    [study]
    name = "radius"
    metrics = ["EN", "Qabf", "SSIM", "VIF"]
    range = { grid = ["clip", "minmax"] }
    against = "identity/l1norm,r=1"

    [sets]                                   # paths are relative to the file
    tno = "data/tno20"                       # a/ b/ ...
    msrs = { folders = ["data/MSRS/ir", "data/MSRS/vi"], limit = 50 }

    [[methods]]
    backbone = { grid = ["densefuse@1e0", "densefuse@1e2"] }
    strategy = { grid = ["l1norm", "l2norm", "linf"] }
    r = { grid = [0, 1, 2, 4] }

    [[methods]]
    method = "gtf,lam=4"
    name = "GTF"

    [[results]]
    name = "Theirs"
    tno = "results/tno/{}_fused.png"

An unknown key is an error: a setting that is silently ignored makes a wrong table.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import ScoreColor, checked_score_color

GRID = "grid"
SETTINGS = ("range", "color")
"""Settings of all methods that may vary: each value makes rows of its own."""
STUDY_KEYS = (
    "name",
    "metrics",
    *SETTINGS,
    "scale",
    "score_color",
    "against",
    "compare",
    "preset",
    "baselines",
    "device",
    "executor",
    "digits",
    "deviations",
    "save_images",
)
SET_KEYS = (
    "folder",
    "folders",
    "scale",
    "limit",
    "truth",
    "register",
    "reference",
    "transforms",
)
METHOD_KEYS = ("name", "method", "backbone", "strategy")


@dataclass(frozen=True)
class SetEntry:
    """An image set of a study."""

    name: str
    folders: tuple[Path, ...]
    scale: tuple[str, ...] = ()
    """Empty: that of the study."""
    limit: int | None = None
    """Only so many samples, the first by name."""
    truth: Path | None = None
    register: str | None = None
    """How its sources are registered, `METHOD[,model=MODEL]`; None: they lie on each other."""
    reference: int | None = None
    """Number of the source that the others are registered to; None: the one with most pixels."""
    transforms: Path | None = None
    """A file of known transforms, by which they are registered instead."""


@dataclass(frozen=True)
class MethodEntry:
    """One method of a grid."""

    text: str
    """`[BACKBONE[@TAG]/]STRATEGY[,name=value...]`"""
    label: str = ""
    """The name of its row; empty: the name of the method."""
    hints: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Code of an error about this method -> what to write instead, a sentence."""


@dataclass(frozen=True)
class ResultsEntry:
    """Images that somebody else's program made."""

    label: str
    folders: Mapping[str, Path]
    """Name of a set -> folder of the results, or pattern of their names."""


@dataclass(frozen=True)
class StudyFile:
    """What the file of a study says, with all grids taken apart."""

    name: str
    sets: tuple[SetEntry, ...]
    methods: tuple[MethodEntry, ...]
    """Empty, and no results: those of the preset."""
    results: tuple[ResultsEntry, ...] = ()
    metrics: tuple[str, ...] = ()
    """Empty: those of the preset, or the default ones."""
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """`range` and `color`, if given -> values; otherwise those of the preset, or the defaults."""
    scale: tuple[str, ...] = ()
    """Empty: that of the preset, or `auto`."""
    score_color: ScoreColor = "luma"
    against: str | None = None
    compare: tuple[str, ...] = ()
    """Factors along which rows are compared, too: `FACTOR`, or `FACTOR=REFERENCE`."""
    preset: str | None = None
    baselines: bool = False
    device: str = "cpu"
    executor: str = "local"
    digits: int = 4
    deviations: bool = True
    save_images: bool = False
    path: Path | None = None
    """The file, absolute; None: it was a text."""

    @property
    def combinations(self) -> list[dict[str, str]]:
        """Every combination of the settings that vary, in the order of the file."""
        return _combinations(self.settings)


def read_study(path: Path) -> StudyFile:
    """Read the file of a study.

    Raises:
        FusionlabError: the file cannot be read (code `unreadable`) or is not TOML (code
            `not-toml`), a key is unknown or missing (codes `unknown-key`, `missing-key`), or a
            value is of another type (code `wrong-type`).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise FusionlabError(
            f"cannot read {path}: {reason}", code="unreadable", path=path
        ) from error
    return replace(parse_study(text, path.parent, str(path)), path=path.absolute())


def parse_study(text: str, folder: Path, name: str) -> StudyFile:
    """Parse the text of a study; see `read_study`.

    Args:
        text: the content of the file.
        folder: what its paths are relative to.
        name: what errors call the file.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FusionlabError(f"{name} is not TOML: {error}", code="not-toml") from error
    reader = _Reader(name, folder)
    reader.check_keys("", document, ("study", "sets", "methods", "results"))
    study = reader.table("[study]", document.get("study", {}))
    reader.check_keys("[study]", study, STUDY_KEYS)
    sets = reader.sets(document.get("sets", {}))
    settings = {
        key: tuple(map(str, reader.values(f"[study] {key}", study[key], lists=False)))
        for key in SETTINGS
        if key in study
    }
    return StudyFile(
        name=reader.typed("[study] name", study.get("name", Path(name).stem), str),
        sets=sets,
        methods=reader.methods(document.get("methods", [])),
        results=reader.results(document.get("results", []), [entry.name for entry in sets]),
        metrics=reader.names("[study] metrics", study.get("metrics", [])),
        settings=settings,
        scale=reader.texts("[study] scale", study.get("scale", [])),
        score_color=reader.score_color(study.get("score_color", "luma")),
        against=reader.typed("[study] against", study.get("against"), str, optional=True),
        compare=reader.names("[study] compare", study.get("compare", [])),
        preset=reader.typed("[study] preset", study.get("preset"), str, optional=True),
        baselines=reader.typed("[study] baselines", study.get("baselines", False), bool),
        device=reader.typed("[study] device", study.get("device", "cpu"), str),
        executor=reader.typed("[study] executor", study.get("executor", "local"), str),
        digits=reader.typed("[study] digits", study.get("digits", 4), int),
        deviations=reader.typed("[study] deviations", study.get("deviations", True), bool),
        save_images=reader.typed("[study] save_images", study.get("save_images", False), bool),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads the parts of a file; errors name the file and the place in it."""

    name: str
    folder: Path

    def check_keys(self, place: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        """Refuse keys that are not known."""
        for key in table:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                where = f"{place} " if place else ""
                raise FusionlabError(
                    f"{self.name}: {where}has an unknown key {key!r}; {hint}", code="unknown-key"
                )

    def typed(self, place: str, value: Any, kind: type, *, optional: bool = False) -> Any:
        """Return a value of this type."""
        # Python counts a bool as an int; a study does not
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if right or (optional and value is None):
            return value
        names = {str: "text", bool: "true or false", int: "a whole number", dict: "a table"}
        raise FusionlabError(
            f"{self.name}: {place} must be {names[kind]}, got {value!r}", code="wrong-type"
        )

    def table(self, place: str, value: Any) -> Mapping[str, Any]:
        """Return a table."""
        table: Mapping[str, Any] = self.typed(place, value, dict)
        return table

    def texts(self, place: str, value: Any) -> tuple[str, ...]:
        """Return a text or a list of texts."""
        values = value if isinstance(value, list) else [value]
        return tuple(self.typed(place, entry, str) for entry in values)

    def names(self, place: str, value: Any) -> tuple[str, ...]:
        """Return a name or a list of names, which hold no commas."""
        names = self.texts(place, value)
        for name in names:
            if "," in name:
                parts = [part.strip() for part in name.split(",")]
                raise FusionlabError(
                    f"{self.name}: {place} must be a list, {_toml(parts)}; got {name!r}",
                    code="wrong-type",
                )
        return names

    def values(self, place: str, value: Any, *, lists: bool = True) -> list[Any]:
        """Return the values of a grid, each of them once, or the one value.

        Args:
            place: where it is.
            value: what the file has.
            lists: whether one value may be a list.
        """
        if isinstance(value, list) and not lists:
            key = place.rsplit(maxsplit=1)[-1]
            raise FusionlabError(
                f"{self.name}: {place} must be one value, got a list; for several write "
                f"{key} = {_grid_of(value)}",
                code="wrong-type",
            )
        if not isinstance(value, dict):
            return [value]
        self.check_keys(place, value, (GRID,))
        values = value.get(GRID)
        if not isinstance(values, list) or not values:
            raise FusionlabError(
                f"{self.name}: {place} must be a value, or {{ grid = [...] }} with at least one; "
                f"got {value!r}",
                code="wrong-type",
            )
        texts = [_text(entry) for entry in values]
        if twice := [text for number, text in enumerate(texts) if text in texts[:number]]:
            raise FusionlabError(
                f"{self.name}: {place} has {twice[0]!r} twice in its grid; write each value once",
                code="repeated-value",
            )
        return values

    def path(self, place: str, value: Any) -> Path:
        """Return a path, relative to the file."""
        return self.folder / str(self.typed(place, value, str))

    def score_color(self, value: Any) -> ScoreColor:
        """Return how color images are scored."""
        try:
            return checked_score_color(value)
        except FusionlabError as error:
            raise FusionlabError(
                f"{self.name}: [study] score_color: {error}", code="wrong-type"
            ) from error

    def sets(self, value: Any) -> tuple[SetEntry, ...]:
        """Return the image sets; a grid of scales makes a set of each."""
        entries = [
            entry
            for name, content in self.table("[sets]", value).items()
            for entry in self._set(name, content)
        ]
        if not entries:
            raise FusionlabError(
                f"{self.name}: no image set is given; name at least one in [sets]",
                code="missing-key",
            )
        return tuple(entries)

    def _set(self, name: str, content: Any) -> list[SetEntry]:
        place = f"[sets] {name}"
        if isinstance(content, str | list):
            content = {"folders": content}
        table = self.table(place, content)
        self.check_keys(place, table, SET_KEYS)
        folders = table.get("folders", table.get("folder"))
        if folders is None or {"folder", "folders"} <= table.keys():
            raise FusionlabError(
                f"{self.name}: {place} needs a folder with a/ b/ ..., or folders, one for each "
                "source",
                code="missing-key",
            )
        paths = tuple(self.folder / text for text in self.texts(place, folders))
        limit = self.typed(f"{place} limit", table.get("limit"), int, optional=True)
        if limit is not None and limit < 1:
            raise FusionlabError(
                f"{self.name}: {place} limit must be at least 1, got {limit}", code="wrong-type"
            )
        truth = self.path(f"{place} truth", table["truth"]) if "truth" in table else None
        registration = self._registration(place, table)
        scales = self.values(f"{place} scale", table["scale"]) if "scale" in table else [[]]
        return [
            SetEntry(
                name if len(scales) == 1 else f"{name} ({' '.join(texts)})",
                paths,
                texts,
                limit,
                truth,
                *registration,
            )
            for texts in (self.texts(f"{place} scale", scale) if scale else () for scale in scales)
        ]

    def _registration(
        self, place: str, table: Mapping[str, Any]
    ) -> tuple[str | None, int | None, Path | None]:
        """Return method, reference and file of transforms of a set."""
        method = self.typed(f"{place} register", table.get("register"), str, optional=True)
        reference = self.typed(f"{place} reference", table.get("reference"), int, optional=True)
        known = (
            self.path(f"{place} transforms", table["transforms"]) if "transforms" in table else None
        )
        if (method is not None and known is not None) or (reference is not None and method is None):
            raise FusionlabError(
                f"{self.name}: {place} takes register, with or without reference, or transforms",
                code="wrong-type",
            )
        return method, reference, known

    def methods(self, value: Any) -> tuple[MethodEntry, ...]:
        """Return every method of every grid."""
        entries = [
            entry
            for number, table in enumerate(self._tables("methods", value), 1)
            for entry in self._grid(f"[[methods]] {number}", table)
        ]
        return tuple(dict.fromkeys(entries))

    def _grid(self, place: str, table: Mapping[str, Any]) -> list[MethodEntry]:
        if ("method" in table) == ("strategy" in table):
            close = get_close_matches("strategy", [key for key in table if key != "method"], n=1)
            hint = f"; did you mean 'strategy' by {close[0]!r}?" if close else ""
            raise FusionlabError(
                f"{self.name}: {place} needs either a method or a strategy{hint}",
                code="missing-key",
            )
        if "method" in table:
            self.check_keys(place, table, ("name", "method"))
        template = self.typed(f"{place} name", table.get("name", ""), str)
        options = {
            key: [
                _text(entry)
                for entry in self.values(f"{place} {key}", content, lists=key not in METHOD_KEYS)
            ]
            for key, content in table.items()
            if key != "name"
        }
        hints = _hints(table)
        return [
            MethodEntry(_method_text(values), self._label(place, template, values), hints)
            for values in _combinations(options)
        ]

    def _label(self, place: str, template: str, values: Mapping[str, str]) -> str:
        """Return the name of a row, with the values of its factors: `l1 r={r}`."""
        try:
            return template.format_map(values)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise FusionlabError(
                f"{self.name}: {place} name may hold {{{'}, {'.join(values)}}}, got {template!r}",
                code="unknown-key",
            ) from None

    def results(self, value: Any, sets: Sequence[str]) -> tuple[ResultsEntry, ...]:
        """Return the results made elsewhere."""
        entries = []
        for number, table in enumerate(self._tables("results", value), 1):
            place = f"[[results]] {number}"
            self.check_keys(place, table, ("name", *sets))
            if "name" not in table:
                raise FusionlabError(f"{self.name}: {place} needs a name", code="missing-key")
            label = self.typed(f"{place} name", table["name"], str)
            folders = {
                key: self.path(f"{place} {key}", content)
                for key, content in table.items()
                if key != "name"
            }
            entries.append(ResultsEntry(label, folders))
        return tuple(entries)

    def _tables(self, key: str, value: Any) -> list[Mapping[str, Any]]:
        if not isinstance(value, list):
            raise FusionlabError(
                f"{self.name}: write [[{key}]], in double brackets, before each of the {key}",
                code="wrong-type",
            )
        return [self.table(f"[[{key}]]", entry) for entry in value]


def _combinations(options: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return every combination of values, the last key varying fastest."""
    return [dict(zip(options, values, strict=True)) for values in product(*options.values())]


def _hints(table: Mapping[str, Any]) -> dict[str, str]:
    """Return what to write instead of the likeliest mistakes in a method."""
    hints = {}
    if "tag" in table:
        hints["unknown-parameter"] = 'the tag is a part of the backbone: backbone = "NAME@TAG"'
    elif isinstance(table.get("strategy"), dict):
        hints["unknown-parameter"] = (
            "give the strategies that have other parameters a [[methods]] of their own"
        )
    lists = {key: value for key, value in table.items() if isinstance(value, list)}
    if lists:
        texts = [f"{key} = {_grid_of(value)}" for key, value in lists.items()]
        hints["parameter-value"] = f"for several values write {', '.join(texts)}"
    return hints


def _toml(values: Sequence[Any]) -> str:
    """Return a list as TOML has it."""
    return json.dumps(values, ensure_ascii=False, default=str)


def _grid_of(values: Sequence[Any]) -> str:
    return f"{{ grid = {_toml(values)} }}"


def _text(value: Any) -> str:
    """Return a value as the name of a method has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


def _method_text(values: Mapping[str, str]) -> str:
    """Return the name of a method from its parts."""
    if "method" in values:
        return values["method"]
    backbone = f"{values['backbone']}/" if "backbone" in values else ""
    parameters = [f"{key}={value}" for key, value in values.items() if key not in METHOD_KEYS]
    return ",".join([f"{backbone}{values['strategy']}", *parameters])
