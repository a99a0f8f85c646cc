"""Refuse to score images that take up too little of the range of their type.

Their scores look like any others. A row in a table needs a decision: a scale, or `full`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.errors import FusionlabError
from fusionlab.imaging.range_use import RangeUse, range_use
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.rows import Rows
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.runs.image_sets import ImageSetItem

SAMPLES = 5
"""How many samples of a set are looked at, at equal distances. A dark one among them is no reason
to refuse the set: a source is refused if all of its images take up too little."""


def check_range_use(images: Sequence[Rows], names: Sequence[str], scales: Sequence[Scale]) -> None:
    """Raise unless the sources of one sample take up their ranges, or a scale is given.

    Args:
        images: the sources.
        names: theirs, for the error.
        scales: one for each.

    Raises:
        FusionlabError: a source with the scale `auto` takes up too little (code `unused-range`).
    """
    uses = [
        range_use(image) if scale.kind == "auto" else None
        for image, scale in zip(images, scales, strict=True)
    ]
    _refuse([(name, [use]) for name, use in zip(names, uses, strict=True)], scales)


def check_ranges_of_set(items: Sequence[ImageSetItem], scales: Sequence[Scale]) -> None:
    """Raise unless the sources of an image set take up their ranges, or a scale is given.

    Args:
        items: the samples; those with problems are not looked at.
        scales: one for all sources, or one for each.

    Raises:
        FusionlabError: in all samples that are looked at, the same source takes up too little of
            its range, and its scale is `auto` (code `unused-range`).
    """
    complete = [item for item in items if not item.problem]
    if not complete or all(scale.kind != "auto" for scale in scales):
        return
    looked_at = complete[:: -(-len(complete) // SAMPLES)]
    k = max(len(item.sources) for item in looked_at)
    if len(scales) not in (1, k):
        return  # the fusion says what is wrong
    by_source = []
    for position, scale in enumerate(scales_for(scales, k)):
        paths = [item.sources[position] for item in looked_at if position < len(item.sources)]
        uses: list[RangeUse | None] = []
        for path in paths if scale.kind == "auto" else ():
            try:
                image = read_image(path)
                uses.append(range_use(image.pixels) if image.stated_range is None else None)
            except FusionlabError:
                continue  # its row says what is wrong
            if uses[-1] is None or not uses[-1].too_little:
                break
        by_source.append((str(paths[0]), uses))
    _refuse(by_source, scales_for(scales, k))


def _refuse(
    sources: Sequence[tuple[str, Sequence[RangeUse | None]]], scales: Sequence[Scale]
) -> None:
    advised, reasons = [], []
    for (name, uses), scale in zip(sources, scales, strict=True):
        small = [use for use in uses if use is not None and use.too_little]
        if not small or len(small) < len(uses):
            advised.append("full" if scale.kind == "auto" else str(scale))
            continue
        largest = max(small, key=lambda use: use.high)
        advised.append(largest.scale)
        reasons.append(f"{name} {largest.sentence}")
    if reasons:
        raise FusionlabError(
            f"{'; '.join(reasons)}: scores over the whole range would mean nothing; choose a scale "
            f"for each source, here {' and '.join(advised)}, or full if that is meant",
            code="unused-range",
            option="scale",
        )
