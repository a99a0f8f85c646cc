"""Effects: what a factor of a study does, over all rows that differ in nothing else.

A study of two backbones, three strategies and two range policies has six pairs of rows that differ
in the range policy only. Six comparisons answer six questions. The effect answers one: on each
sample, the differences of all matched pairs are averaged, so that a sample counts once however many
rows there are, and these means are compared as those of two methods are, see `comparisons`.

Over all sets together, each sample of any set counts once, also where two sets share it. p-values
are corrected for two families: the effects over all sets, which answer the question, and those in
single sets, which are often too small to be significant at all.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fusionlab.evaluation.comparisons import Comparison, Pairs, corrected, tested
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.paired_tests import Differences
from fusionlab.evaluation.scores import Scores

ALL_SETS = "all sets"
"""Stands where others have the name of a set."""


class Contrast(NamedTuple):
    """Two values of a factor."""

    factor: str
    level: str
    reference: str
    """The value that the level is compared with."""


@dataclass(frozen=True)
class MatchedRows:
    """The rows of one image set, and which of them differ in one factor only."""

    image_set: str
    scores: Scores
    samples: Sequence[Hashable]
    """What identifies each sample of the scores: equal where two sets have the same sample."""
    pairs: Mapping[Contrast, Pairs]
    """Contrast -> (row with the level, row with the reference), labels."""


@dataclass(frozen=True)
class Effect:
    """The difference that a level of a factor makes to a metric, in one set or in all of them."""

    image_set: str
    """Its name, or `ALL_SETS`."""
    factor: str
    pairs: int
    """How many pairs of rows it is over."""
    comparison: Comparison
    """The level (`method`) against the reference, over the samples' means."""


def effects(sets: Sequence[MatchedRows]) -> list[Effect]:
    """Return the effect of each contrast on each metric, p-values corrected in two families.

    A pair counts for the samples that both of its rows have a value for. What at least two sets
    have is there over all sets, too, before the single ones.
    """
    found: list[tuple[str, Contrast, int]] = []
    names: list[tuple[str, str, Metric]] = []
    tests: list[Differences] = []
    for contrast in dict.fromkeys(contrast for entry in sets for contrast in entry.pairs):
        having = [entry for entry in sets if contrast in entry.pairs]
        groups = [(entry.image_set, [entry]) for entry in having]
        for image_set, group in [(ALL_SETS, having), *groups]:
            for metric in _metrics(group, 2 if image_set == ALL_SETS else 1):
                pairs, differences = _sample_means(group, contrast, metric.name)
                found.append((image_set, contrast, pairs))
                names.append((contrast.level, contrast.reference, metric))
                tests.append(differences)
    comparisons = tested(names, tests)
    pooled = [image_set == ALL_SETS for image_set, *_ in found]
    for family in (True, False):
        places = [place for place, of_all in enumerate(pooled) if of_all == family]
        (members,) = corrected([[comparisons[place] for place in places]])
        for place, member in zip(places, members, strict=True):
            comparisons[place] = member
    return [
        Effect(image_set, contrast.factor, pairs, comparison)
        for (image_set, contrast, pairs), comparison in zip(found, comparisons, strict=True)
    ]


def _metrics(sets: Sequence[MatchedRows], count: int) -> Iterator[Metric]:
    """Yield the metrics that at least so many of the sets have."""
    having: dict[str, list[Metric]] = {}
    for entry in sets:
        for metric in entry.scores.metrics:
            having.setdefault(metric.name, []).append(metric)
    yield from (metrics[0] for metrics in having.values() if len(metrics) >= count)


def _sample_means(
    sets: Sequence[MatchedRows], contrast: Contrast, metric: str
) -> tuple[int, Differences]:
    """Return how many pairs have values, and the mean difference of each sample, `(samples,)`.

    Sums are exact before they are rounded once. Otherwise differences that cancel would leave
    residues of 1e-16, which are as good as any others to a test of ranks.
    """
    used: set[tuple[str, str]] = set()
    terms: dict[Hashable, list[float]] = {}
    counts: dict[Hashable, int] = {}
    for entry in sets:
        names = [column.name for column in entry.scores.metrics]
        if metric not in names:
            continue
        values = entry.scores.values[:, :, names.index(metric)]
        rows = {label: number for number, label in enumerate(entry.scores.methods)}
        pairs = entry.pairs[contrast]
        levels = values[[rows[label] for label, _ in pairs]]
        references = values[[rows[label] for _, label in pairs]]
        known = np.isfinite(levels) & np.isfinite(references)
        used.update(pair for pair, some in zip(pairs, known.any(axis=1), strict=True) if some)
        signed = np.concatenate([np.where(known, levels, 0), np.where(known, -references, 0)])
        for sample, column, count in zip(
            entry.samples, signed.T.tolist(), known.sum(axis=0).tolist(), strict=True
        ):
            terms.setdefault(sample, []).extend(column)
            counts[sample] = counts.get(sample, 0) + count
    means = [math.fsum(terms[sample]) / count for sample, count in counts.items() if count]
    return len(used), np.array(means)
