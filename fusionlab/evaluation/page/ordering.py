"""By which metric the samples of the page are ordered at first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.report import Report


def order_metrics(reports: Iterable[Report], name: str | None) -> list[int]:
    """Return for each report the number of the metric that its samples are ordered by at first.

    Args:
        reports: one for each image set.
        name: of the metric; a set that does not have it, and every set if it is None, is ordered by
            the metric that tells best which results are bad, and among equals the first. Each of
            these counts more than the next: it has a direction; it compares with the true image; it
            compares with the sources (EN is high for noise, too); its values have bounds on both
            sides, so that those of different samples can be compared (MI is low wherever the
            sources hold little); it compares with all sources together (a mean over the sources is
            low wherever one of them is rightly left out).

    Raises:
        FusionlabError: no set has a metric of this name (code `no-such-metric`).
    """
    metrics = [report.scores.metrics for report in reports]
    names = dict.fromkeys(metric.name for of_set in metrics for metric in of_set)
    if name is not None and name not in names:
        raise FusionlabError(
            f"there is no metric {name!r} to order by; known: {', '.join(names)}",
            code="no-such-metric",
            option="order_by",
        )
    return [
        max(range(len(of_set)), key=lambda n: (of_set[n].name == name, *_tells(of_set[n])))
        for of_set in metrics
    ]


def _tells(metric: Metric) -> tuple[bool, ...]:
    """Return what speaks for ordering samples by a metric, the strongest reason first."""
    ref = metric.ref
    return (
        metric.direction != 0,
        metric.of_truth,
        ref.sources != "none",
        all(map(math.isfinite, ref.bounds)),
        ref.sources == "joint",
    )
