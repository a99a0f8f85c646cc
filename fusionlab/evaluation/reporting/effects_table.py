"""The table of effects: what each level of a factor does, over all rows that differ in it only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusionlab.evaluation.effects import ALL_SETS, Effect
from fusionlab.evaluation.reporting.tables import (
    MISSING,
    Cell,
    Table,
    format_columns,
    head,
    impossible_note,
)

if TYPE_CHECKING:
    from fusionlab.evaluation.reporting.report import Report


def effects_table(effects: Sequence[Effect], reports: Mapping[str, Report]) -> Table:
    """Return a row for each contrast and set, a column for each metric.

    Beneath each difference stand its interval and its corrected p-value.

    Args:
        effects: as `effects.effects` returns them.
        reports: name of an image set -> its report. Their metrics are the columns.
    """
    metrics = {metric.name: metric for r in reports.values() for metric in r.scores.metrics}
    names = list(metrics)
    digits = next(iter(reports.values())).digits
    rows: dict[tuple[str, str, str, str], dict[str, Effect]] = {}
    for effect in effects:
        entry = effect.comparison
        key = (effect.factor, entry.method, entry.against, effect.image_set)
        rows.setdefault(key, {})[entry.metric] = effect
    values = np.full((3, len(rows), len(metrics)), np.nan)
    for i, found in enumerate(rows.values()):
        for name, effect in found.items():
            entry = effect.comparison
            values[:, i, names.index(name)] = entry.difference, entry.low, entry.high
    texts, lows, highs = (
        format_columns(part, digits, decimals_of=values[0], sign="+") for part in values
    )
    lines = []
    for i, ((factor, level, reference, image_set), found) in enumerate(rows.items()):
        cells = []
        for j, name in enumerate(names):
            if texts[i][j] == MISSING:
                cells.append(Cell(MISSING))
                continue
            comparison = found[name].comparison
            star = "*" if comparison.significant else ""
            interval = "" if lows[i][j] == MISSING else f"{lows[i][j]}..{highs[i][j]}, "
            cells.append(Cell(f"{texts[i][j]}{star}", f"{interval}p = {comparison.p:.2g}"))
        pairs = max(effect.pairs for effect in found.values())
        images = max(effect.comparison.images for effect in found.values())
        start = (factor, f"{level} - {reference}", image_set, str(pairs), str(images))
        lines.append((*map(Cell, start), *cells))
    heads = ("factor", "difference", "set", "pairs", "images", *map(head, metrics.values()))
    return Table("Effects of the factors", heads, tuple(lines), _notes(effects), "effects")


def _notes(effects: Sequence[Effect]) -> tuple[str, ...]:
    pooled = [effect.comparison for effect in effects if effect.image_set == ALL_SETS]
    single = [effect.comparison for effect in effects if effect.image_set != ALL_SETS]
    families = [(pooled, " over all sets"), (single, " in single sets" if pooled else "")]
    counts = [f"{family[0].tests} tests{where}" for family, where in families if family]
    note = (
        "Differences over pairs of rows that differ in the factor only, averaged for each image, "
        "with their 95 % bootstrap interval over the images; * p < 0.05 (Wilcoxon signed-rank, "
        f"Holm's correction for {' and '.join(counts)})."
    )
    return (note, *impossible_note(pooled or single, "values of the factors"))
