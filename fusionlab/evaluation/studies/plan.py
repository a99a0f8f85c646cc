"""The plan of a study: its file with every name looked up and every row built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from fusionlab import parameters
from fusionlab.engine.device import available_device
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.comparisons import Pairs, smallest_p, what_to_change
from fusionlab.evaluation.effects import Contrast
from fusionlab.evaluation.executors import ExecutorChoice
from fusionlab.evaluation.factors import factors_of, matching_rows, varying
from fusionlab.evaluation.methods import FusionMethod, Method, MethodBuilder
from fusionlab.evaluation.metric import Metric, choose_metrics
from fusionlab.evaluation.paired_tests import ALPHA
from fusionlab.evaluation.range_check import check_ranges_of_set
from fusionlab.evaluation.recipes import Backbones
from fusionlab.evaluation.result_folder import FolderMethod
from fusionlab.evaluation.rows import (
    build_preset_rows,
    published_labels,
    published_note,
    split_by_fit,
)
from fusionlab.evaluation.scoring import ScoringSettings
from fusionlab.evaluation.studies.file import MethodEntry, ResultsEntry, SetEntry, StudyFile
from fusionlab.evaluation.truth import TruthFolder, truth_metrics
from fusionlab.imaging.scale import parse_scales
from fusionlab.plugins.presets import PublishedTable, preset_settings, published_table
from fusionlab.plugins.registry import Plugins
from fusionlab.registration.registrar import Registrar, cropping_registrar
from fusionlab.runs.image_sets import ImageSetItem, find_image_set


@dataclass(frozen=True)
class SetPlan:
    """One image set of a study: its samples, rows and columns."""

    entry: SetEntry
    items: tuple[ImageSetItem, ...]
    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    settings: ScoringSettings
    left_out: Mapping[str, str]
    """Label -> why this method has no row in this set."""
    pairs: Mapping[str, tuple[tuple[str, str], ...]]
    """Kind of comparison -> (label, label of the row that it is compared with)."""
    contrasts: Mapping[Contrast, Pairs]
    """Level and reference of a factor -> the pairs of rows that differ in nothing else."""
    published: PublishedTable
    """The published rows of the preset."""
    published_labels: Mapping[str, str]
    """Name of a published row -> label of ours, if there is one."""
    published_note: str
    """Why published rows do not compare with ours; empty if they may."""

    @property
    def name(self) -> str:
        """Of the set."""
        return self.entry.name

    @property
    def cells(self) -> int:
        """How many rows of scores there will be: methods times samples."""
        return len(self.items) * len(self.methods)


@dataclass(frozen=True)
class StudyPlan:
    """What a study will compute."""

    file: StudyFile
    sets: tuple[SetPlan, ...]
    blocked: tuple[str, ...] = ()
    """Plugins that workers must not load."""

    @property
    def cells(self) -> int:
        """How many rows of scores there will be, over all sets."""
        return sum(entry.cells for entry in self.sets)

    @property
    def factors(self) -> dict[str, list[str]]:
        """The factors in which the rows differ, and their values in the order of the rows."""
        rows = [factors_of(row.describe()) for row in self.sets[0].methods]
        return {
            name: list(dict.fromkeys(row[name] for row in rows if name in row))
            for name in varying(rows)
        }

    @property
    def tests(self) -> dict[str, int]:
        """Kind of comparison -> how many tests its p-values are corrected for, over all sets."""
        kinds = dict.fromkeys(kind for entry in self.sets for kind in entry.pairs)
        return {
            kind: sum(len(e.pairs.get(kind, ())) * len(e.metrics) for e in self.sets)
            for kind in kinds
        }

    @property
    def vain_tests(self) -> dict[str, str]:
        """Kind of comparison of which none can be significant, however large -> what to change."""
        images = max(len(entry.items) for entry in self.sets)
        metrics = max(len(entry.metrics) for entry in self.sets)
        return {
            kind: what_to_change(images, tests, metrics)
            for kind, tests in self.tests.items()
            if tests * smallest_p(images) >= ALPHA
        }


def plan_study(file: StudyFile, plugins: Plugins) -> StudyPlan:
    """Look up the sets, methods and metrics of a study.

    Raises:
        FusionlabError: a set, method or metric is not there, two different rows have one label
            (code `duplicate-label`), no method fits a set (code `no-row-fits`), there is no row
            to compare with (code `no-such-row`) or nothing to compare along a factor (code
            `nothing-to-compare`), or no such executor (code `executor`).
    """
    ExecutorChoice.parse(file.executor)  # raises now rather than when the study runs
    metrics = choose_metrics(list(file.metrics) or None, file.preset, plugins)
    device = available_device(file.device)
    preset = preset_settings(file.preset, plugins) if file.preset else {}
    defaults = {
        "range": str(preset.get("range_policy", "auto")),
        "color": str(preset.get("color", "gray")),
    }
    published = published_table(file.preset, plugins) if file.preset else PublishedTable()
    backbones: Backbones = {}
    shown = _varying_parameters(file, MethodBuilder(plugins, file.preset, backbones=backbones))
    sets = []
    for entry in file.sets:
        with _in_place(f"the set {entry.name}"):
            folders = list(entry.folders)
            items = find_image_set(folders)[: entry.limit]
            scales = parse_scales(
                entry.scale or file.scale or cast("Any", preset.get("scale", "auto"))
            )
            check_ranges_of_set(items, scales)
            registrar = _registrar(entry, plugins)
        stems = [item.stem for item in items]
        truth = None if entry.truth is None else TruthFolder.find(entry.truth, stems)

        def builder(settings: Mapping[str, str], scales: Sequence[Any] = scales) -> MethodBuilder:
            return MethodBuilder(
                plugins,
                file.preset,
                settings.get("range", defaults["range"]),  # type: ignore[arg-type]  # checked there
                scales,
                settings.get("color", defaults["color"]),  # type: ignore[arg-type]  # by the fusion
                file.device,
                file.baselines,
                backbones,
                shown,
            )

        fused, absent = _fused_rows(file, builder, stems)
        rows = [*fused, *_result_rows(file.results, entry.name, stems)]
        rows, misfits = split_by_fit(_unique(rows), items)
        left_out = misfits | absent
        if not rows:
            reasons = "; ".join(f"{label}: {reason}" for label, reason in left_out.items())
            raise FusionlabError(
                f"no method fits the set {entry.name}: {reasons or 'none is named'}",
                code="no-row-fits",
            )
        sets.append(
            SetPlan(
                entry,
                tuple(items),
                tuple(rows),
                (*metrics, *(truth_metrics(plugins) if truth is not None else ())),
                ScoringSettings(
                    scales,
                    device,
                    truth=truth,
                    score_color=file.score_color,
                    registrar=registrar,
                ),
                left_out,
                _pairs(file, rows, builder),
                contrasts_along(
                    file.compare, {row.label: factors_of(row.describe()) for row in rows}
                ),
                published,
                published_labels(
                    published, [row.label for row in rows], builder(file.combinations[0])
                ),
                published_note(
                    file.settings.get("range", (defaults["range"],)),
                    preset,
                    len(items),
                    published.images,
                ),
            )
        )
    _check_compared(file, sets)
    return StudyPlan(file, tuple(sets), plugins.blocked)


def _registrar(entry: SetEntry, plugins: Plugins) -> Registrar | None:
    """Return what registers the sources of a set; None: nothing does."""
    if entry.transforms is not None:
        return cropping_registrar(Registrar.read(entry.transforms), plugins)
    registrar = cropping_registrar(entry.register, plugins)
    return registrar and replace(registrar, reference=entry.reference)


Builder = Callable[[Mapping[str, str]], MethodBuilder]
"""The settings of a combination -> builds its rows."""


def _fused_rows(
    file: StudyFile, builder: Builder, stems: Sequence[str]
) -> tuple[list[Method], dict[str, str]]:
    """Build every method with every combination of the settings.

    Where settings vary, they are part of the label: `densefuse/l1norm [minmax]`. A study that names
    no methods and no results has those of its preset.

    Returns:
        The rows, and method of the preset -> why it has none.
    """
    fused: list[Method] = []
    left_out: dict[str, str] = {}
    for settings in file.combinations:
        suffix = _suffix(file, settings)
        if file.preset and not (file.methods or file.results):
            rows, left_out = build_preset_rows(file.preset, builder(settings), stems)
        else:
            rows = [row for entry in file.methods for row in _built(entry, builder(settings))]
        for row in rows:
            if not isinstance(row, FusionMethod):
                raise FusionlabError(
                    f"{row.label} is not a method; results go into [[results]]",
                    code="not-a-method",
                )
            baseline = f"{row.baseline}{suffix}" if row.baseline else None
            fused.append(replace(row, label=f"{row.label}{suffix}", baseline=baseline))
    return fused, left_out


def _varying_parameters(file: StudyFile, builder: MethodBuilder) -> frozenset[str]:
    """Return the parameters in which two rows of one strategy differ.

    The names of rows show them also where they have their defaults.
    """
    values: dict[tuple[type, str], set[str]] = {}
    for entry in file.methods:
        for row in _built(entry, builder):
            if isinstance(row, FusionMethod):
                strategy = row.fusion.strategy
                for name, text in parameters.texts(strategy).items():
                    values.setdefault((type(strategy), name), set()).add(text)
    return frozenset(name for (_, name), texts in values.items() if len(texts) > 1)


def _built(entry: MethodEntry, builder: MethodBuilder) -> list[Method]:
    """Build the row of a method, and that of its baseline."""
    with _in_place(entry.text, entry.hints):
        return builder.build({entry.label: entry.text} if entry.label else entry.text)


def _result_rows(
    results: Sequence[ResultsEntry], image_set: str, stems: Sequence[str]
) -> Iterator[Method]:
    """Yield the rows of results that were made elsewhere for a set."""
    for entry in results:
        if image_set in entry.folders:
            yield FolderMethod.find(entry.label, entry.folders[image_set], stems)


def _suffix(file: StudyFile, settings: Mapping[str, str]) -> str:
    """Return what tells the settings of a row from those of others."""
    values = [settings[name] for name, entries in file.settings.items() if len(entries) > 1]
    return f" [{', '.join(values)}]" if values else ""


def _unique(rows: Sequence[Method]) -> list[Method]:
    """Return each row once; refuse two different rows of one label."""
    by_label: dict[str, Method] = {}
    for row in rows:
        first = by_label.setdefault(row.label, row)
        if first is not row and first.describe() != row.describe():
            raise FusionlabError(
                f"two rows are called {row.label!r}; give them names that differ, such as "
                'name = "l1 r={r}"',
                code="duplicate-label",
            )
    # a baseline may come before the row that is named explicitly
    return list(by_label.values())


def _pairs(
    file: StudyFile, rows: Sequence[Method], builder: Builder
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return what is compared with what, by kind of comparison."""
    labels = [row.label for row in rows]
    pairs: dict[str, list[tuple[str, str]]] = {}
    pairs["gain"] = [(row.label, row.baseline) for row in rows if row.baseline in labels]
    if file.against is not None:
        pairs["against"] = _against(file, rows, builder)
    factors = {row.label: factors_of(row.describe()) for row in rows}
    for entry in file.compare:
        factor, _, reference = entry.partition("=")
        pairs.setdefault(factor, []).extend(pairs_along(factors, factor, reference or None))
    return {kind: tuple(entries) for kind, entries in pairs.items() if entries}


def _against(file: StudyFile, rows: Sequence[Method], builder: Builder) -> list[tuple[str, str]]:
    """Return each row with the row that all are compared with, of the same settings.

    Raises:
        FusionlabError: there is no such row (code `no-such-row`).
    """
    labels = [row.label for row in rows]
    against = file.against or ""
    if against in labels:
        return [(label, against) for label in labels if label != against]
    label = against
    with suppress(FusionlabError):  # spelled in another way, with a default value perhaps
        label = builder(file.combinations[0]).build(against)[0].label
    pairs = []
    for settings in file.combinations:
        suffix = _suffix(file, settings)
        name = next((n for n in (f"{against}{suffix}", f"{label}{suffix}") if n in labels), None)
        if name is None:
            raise FusionlabError(
                f"there is no row {against!r} to compare with; rows: {', '.join(labels)}",
                code="no-such-row",
                option="against",
            )
        pairs += [(row, name) for row in labels if row.endswith(suffix) and row != name]
    return pairs


def contrasts_along(
    compare: Sequence[str], factors: Mapping[str, Mapping[str, str]]
) -> Mapping[Contrast, Pairs]:
    """Return the pairs of rows that differ in one factor only, by their two values of it.

    Args:
        compare: factors to compare along, `r` or `r=1`. Without a value, the first one of all rows
            is the reference, so that all pairs of a level have the same.
        factors: label -> factor -> value.

    Raises:
        FusionlabError: see `pairs_along`.
    """
    contrasts: dict[Contrast, list[tuple[str, str]]] = {}
    for entry in compare:
        factor, _, reference = entry.partition("=")
        seen = _with_tags(factors) if factor == "backbone" else factors
        first = next((row[factor] for row in seen.values() if factor in row), "")
        found: dict[Contrast, list[tuple[str, str]]] = {}
        for label, partner in pairs_along(seen, factor, reference or first):
            contrast = Contrast(factor, seen[label][factor], seen[partner][factor])
            found.setdefault(contrast, []).append((label, partner))
        for contrast, pairs in found.items():
            if Contrast(factor, contrast.reference, contrast.level) not in contrasts:
                contrasts[contrast] = pairs
    return contrasts


def _check_compared(file: StudyFile, sets: Sequence[SetPlan]) -> None:
    """Refuse factors along which no two rows of any set can be compared.

    Raises:
        FusionlabError: there is one (code `nothing-to-compare`).
    """
    for entry in file.compare:
        factor = entry.partition("=")[0]
        if any(factor in plan.pairs for plan in sets):
            continue
        rows = [factors_of(row.describe()) for plan in sets for row in plan.methods]
        values = {row[factor] for row in rows if factor in row}
        reason = (
            f"all rows have {factor} = {values.pop()}; give it a grid"
            if len(values) == 1
            else f"no two rows differ in {factor} only"
        )
        raise FusionlabError(
            f"there is nothing to compare along {factor}: {reason}",
            code="nothing-to-compare",
            option="compare",
        )


def _with_tags(factors: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return factors with `BACKBONE@TAG` as one of them: another backbone has other weights."""
    merged = {}
    for label, row in factors.items():
        rest = {name: value for name, value in row.items() if name != "tag"}
        if row.get("tag"):
            rest["backbone"] = f"{row['backbone']}@{row['tag']}"
        merged[label] = rest
    return merged


def pairs_along(
    factors: Mapping[str, Mapping[str, str]], factor: str, reference: str | None = None
) -> list[tuple[str, str]]:
    """Return each row with the row that differs from it in one factor only.

    Rows without such a partner are in no pair.

    Args:
        factors: label -> factor -> value.
        factor: the name of a factor. `backbone` is the backbone with its tag.
        reference: the value of the factor in the row that the others are compared with; None: the
            first one among the rows that agree in all other factors. A backbone without a tag is
            the first one of this name.

    Raises:
        FusionlabError: no row has this factor (code `no-such-factor`), or this value of it (code
            `no-such-value`).
    """
    if factor == "backbone":
        factors = _with_tags(factors)
    values = list(dict.fromkeys(row[factor] for row in factors.values() if factor in row))
    if factor == "backbone" and reference not in values:
        named = (value for value in values if value.partition("@")[0] == reference)
        reference = next(named, reference)
    if not values:
        names = ", ".join(varying(factors.values()))
        raise FusionlabError(
            f"no row has a factor {factor!r} to compare along; factors that vary: {names}",
            code="no-such-factor",
            option="compare",
        )
    if reference is not None and reference not in values:
        raise FusionlabError(
            f"no row has {factor}={reference} to compare with; values of {factor}: "
            f"{', '.join(values)}",
            code="no-such-value",
            option="compare",
        )
    against = {
        label: next((n for n in labels if reference in (None, factors[n][factor])), label)
        for labels in matching_rows(factors, factor)
        for label in labels
    }
    return [(label, against[label]) for label in factors if against.get(label, label) != label]


class _in_place:  # noqa: N801  # a context manager, used like a function
    """Put what an error is about in front of its message."""

    def __init__(self, place: str, hints: Mapping[str, str] | None = None) -> None:
        self.place = place
        self.hints = hints or {}
        """Code of an error -> what to add to its message."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FusionlabError):
            hint = f"; {self.hints[error.code]}" if error.code in self.hints else ""
            raise FusionlabError(
                f"{self.place}: {error}{hint}",
                code=error.code,
                option=error.option,
                path=error.path,
            ) from error
