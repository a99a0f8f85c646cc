"""The verdicts of the board: a candidate against the best trivial rule of each metric.

In sets of at least `LARGE_SET` images, a candidate passes if it is in no metric significantly worse
by more than 3 % than the best trivial rule, and in at least one significantly better. In smaller
sets, where no test can tell, it passes if its mean is in no metric worse by more than 3 %, and if
in at least one metric all images but one are better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from board_tasks import Condition

from fusionlab.evaluation.comparisons import compare, holm
from fusionlab.evaluation.paired_tests import ALPHA
from fusionlab.evaluation.scores import ScoreRow, Scores

LARGE_SET = 10
"""Images from which on differences are tested."""
ALLOWED_LOSS = 0.03
ROUNDING = 1e-9
"""Of means: 0.97 is no more than 3 % below 1, although 1 - 0.97 is larger than 0.03 in floats."""


@dataclass(frozen=True)
class Difference:
    """A candidate against the best trivial rule by one metric."""

    metric: str
    direction: int
    """1 if higher values are better, -1 if lower values are."""
    mean: float
    best: str
    """The trivial rule with the best mean."""
    best_mean: float
    images: int
    """How many images both have a value for."""
    better_on: int
    """On how many of them the candidate is better; ties do not count."""
    p: float = math.nan
    """Of the Wilcoxon test, corrected after Holm for all metrics; nan in small sets."""
    missing: int = 0
    """On how many images only the trivial rule has a value."""

    @property
    def gain(self) -> float:
        """Return how much better the mean is than the best trivial one, as a share of that."""
        better_by = self.direction * (self.mean - self.best_mean)
        if better_by == 0 or math.isnan(better_by):
            return better_by
        if self.best_mean == 0:
            return math.copysign(math.inf, better_by)
        return better_by / abs(self.best_mean)

    @property
    def significant(self) -> bool:
        """Return whether chance is an unlikely explanation, at 5 %."""
        return self.p < ALPHA

    @property
    def too_much_worse(self) -> bool:
        """Return whether the mean is worse by more than 3 %."""
        return self.gain < -ALLOWED_LOSS - ROUNDING


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passes on one set, and why."""

    failures: list[str] = field(default_factory=list)
    """Sentences, one for each condition that is not met."""
    gains: list[str] = field(default_factory=list)
    """The metrics in which the candidate is better than all trivial rules."""
    unchecked: list[str] = field(default_factory=list)
    """Sentences, one for each condition that could not be checked."""

    @property
    def passed(self) -> bool:
        """Return whether all conditions that could be checked are met."""
        return not self.failures

    def __add__(self, verdict: Verdict) -> Verdict:
        return Verdict(
            self.failures + verdict.failures,
            self.gains + verdict.gains,
            self.unchecked + verdict.unchecked,
        )


def images_that_must_be_better(images: int) -> int:
    """Return on how many images of a small set a candidate must be better: all but one.

    Of one or two images, all.
    """
    return images - 1 if images > 2 else images


def judge(differences: Sequence[Difference]) -> Verdict:
    """Return the verdict on a candidate from its differences, one for each metric."""
    if not differences:
        return Verdict(["no metric has values to compare"])
    large = is_large(differences)
    failures = [text for entry in differences if (text := _failure(entry, large=large))]
    gains = [entry.metric for entry in differences if _gains(entry, large=large)]
    if not gains:
        failures.append(
            "in no metric significantly better than the best trivial rule"
            if large
            else "in no metric better than the best trivial rule on all images but one"
        )
    return Verdict(failures, gains)


def against_each(
    scores: Scores, rows: Sequence[ScoreRow], candidate: str, trivial: Sequence[str]
) -> dict[str, dict[str, list[str]]]:
    """Compare a candidate with each trivial rule alone, by the limits of the verdict.

    Returns:
        Trivial rule -> `better` and `worse`, names of metrics.
    """
    results = {}
    for rule in trivial:
        differences = differences_from_best(scores, rows, candidate, [rule])
        large = is_large(differences)
        results[rule] = {
            "better": [entry.metric for entry in differences if _gains(entry, large=large)],
            "worse": [entry.metric for entry in differences if _failure(entry, large=large)],
        }
    return results


def is_large(differences: Sequence[Difference]) -> bool:
    """Return whether a set has enough images for tests."""
    return max((entry.images for entry in differences), default=0) >= LARGE_SET


def _failure(entry: Difference, *, large: bool) -> str:
    """Return why a candidate fails by one metric; empty if it does not."""
    if entry.missing:
        count = f"{entry.missing} image{'s' if entry.missing > 1 else ''}"
        return f"{entry.metric}: no value for {count}, where {entry.best} has one"
    loss = f"{entry.metric}: {-100 * entry.gain:.1f} % worse than {entry.best}"
    if not entry.too_much_worse or (large and not entry.significant):
        return ""
    return f"{loss}, significantly (p = {entry.p:.2g})" if large else loss


def _gains(entry: Difference, *, large: bool) -> bool:
    """Return whether a candidate is better than the best trivial rule by one metric."""
    if large:
        return entry.significant and entry.gain > 0
    return 0 < images_that_must_be_better(entry.images) <= entry.better_on


def check_conditions(
    candidate: str,
    means: Mapping[str, Mapping[str, float]],
    conditions: Sequence[Condition],
    directions: Mapping[str, int],
) -> Verdict:
    """Return the verdict on fixed conditions.

    Args:
        candidate: the method that is judged.
        means: method -> metric -> mean.
        conditions: on the means of the candidate.
        directions: metric -> 1 if higher values are better, -1 if lower values are.
    """
    failures: list[str] = []
    unchecked: list[str] = []
    for condition in conditions:
        metric, bound = condition.metric, condition.at_least
        name = f" of {bound}" if isinstance(bound, str) else ""
        limit = means.get(bound, {}).get(metric, math.nan) if isinstance(bound, str) else bound
        mean = means[candidate].get(metric, math.nan)
        if metric not in directions or math.isnan(limit):
            unchecked.append(f"{metric} at least {bound}: there are no values of it here")
        elif not directions[metric] * (mean - limit) >= -ROUNDING * abs(limit):  # nan fails, too
            failures.append(f"{metric}: {mean:.4g} does not reach the {limit:.4g}{name}")
    return Verdict(failures, [], unchecked)


def differences_from_best(
    scores: Scores, rows: Sequence[ScoreRow], candidate: str, trivial: Sequence[str]
) -> list[Difference]:
    """Compare a candidate with the best trivial rule of each metric, image by image.

    A trivial rule that lacks values is not the best if another has all. Metrics that no trivial
    rule has a value of are left out.

    Args:
        scores: the values of an evaluation.
        rows: where they come from.
        candidate: label of the method that is judged.
        trivial: labels of the trivial rules.
    """
    means = scores.means()
    differences = []
    for number, metric in enumerate(scores.metrics):
        indices = [scores.methods.index(label) for label in trivial]
        indices = [index for index in indices if math.isfinite(means[index, number])]
        if not indices:
            continue
        complete = [index for index in indices if scores.complete[index, number]]
        signed = metric.direction * means[:, number]
        best = max(complete or indices, key=signed.__getitem__)
        column = scores.column(number)
        ours, theirs = column[scores.methods.index(candidate)], column[best]
        better_by = metric.direction * (ours - theirs)
        label = scores.methods[best]
        only = Scores(scores.methods, scores.samples, [metric], rows)
        (comparison,) = compare(only, [(candidate, label)])  # one test: not corrected yet
        differences.append(
            Difference(
                metric.name,
                metric.direction,
                float(means[scores.methods.index(candidate), number]),
                label,
                float(means[best, number]),
                comparison.images,
                int((better_by > 0).sum()),
                comparison.p,
                int((np.isnan(ours) & np.isfinite(theirs)).sum()),
            )
        )
    return _corrected(differences)


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p-values for the number of metrics; small sets have none."""
    values = [entry.p for entry in differences]
    values = holm(values) if is_large(differences) else [math.nan] * len(values)
    return [replace(entry, p=p) for entry, p in zip(differences, values, strict=True)]
