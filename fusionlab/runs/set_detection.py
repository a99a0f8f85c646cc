"""Detect the task of an image set: from some of its items, spread over the set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from fusionlab.detection import Detection, detect
from fusionlab.errors import FusionlabError
from fusionlab.imaging.given import given_sources
from fusionlab.imaging.nodata import parse_nodata
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.scale import parse_scales, scales_of
from fusionlab.imaging.thumbnails import Thumbnails, thumbnails
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.image_sets import ImageSetItem

MAX_ITEMS = 9
"""At most so many items are looked at."""


def detect_task_of_set(
    items: Sequence[ImageSetItem],
    load: Callable[[Sequence[Path]], list[LoadedImage]],
    scale: Sequence[str],
    plugins: Plugins,
    nodata: Sequence[str] = (),
) -> Detection | None:
    """Return the task that is detected in most of up to nine items; None if no item can be read.

    Items that cannot be fused are left out: they fail by themselves in the run. The first and
    the last item are among the nine, so the same image set always gives the same task. If all
    nine fail, the first of the others that does not tells the task.

    Args:
        items: the image set.
        load: reads the sources of one item.
        scale: which values of the sources are black and white, as for `Fusion`.
        plugins: the plugins that offer the tasks.
        nodata: which of their values mean no data, likewise.

    Raises:
        FusionlabError: no plugin offers a task that can be used (code `no-task`).
    """
    sound = [item for item in items if not item.problem]
    spread = _spread(sound)
    images = list(_thumbnails(spread, load, scale, nodata))
    if not images:
        others = [item for item in sound if item not in spread]
        images = list(islice(_thumbnails(others, load, scale, nodata), 1))
    return detect(images, plugins) if images else None


def _spread(items: Sequence[ImageSetItem]) -> list[ImageSetItem]:
    """Return up to `MAX_ITEMS` items at equal distances, with both ends."""
    if len(items) <= MAX_ITEMS:
        return list(items)
    last = len(items) - 1
    return [items[round(number * last / (MAX_ITEMS - 1))] for number in range(MAX_ITEMS)]


def _thumbnails(
    items: Sequence[ImageSetItem],
    load: Callable[[Sequence[Path]], list[LoadedImage]],
    scale: Sequence[str],
    nodata: Sequence[str],
) -> Iterator[Thumbnails]:
    for item in items:
        try:
            sources = load(item.sources)
            scales = scales_of(sources, parse_scales(scale))
            yield from thumbnails(given_sources(sources, nodata=parse_nodata(nodata))[0], scales)
        except FusionlabError:  # raised again when the item is fused
            continue
