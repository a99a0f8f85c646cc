"""Detect which of the installed tasks the sources belong to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fusionlab.errors import FusionlabError
from fusionlab.imaging.given import given_scales, given_sources, with_files_read
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.imaging.thumbnails import Thumbnails, thumbnails
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.plugins.host import installed
from fusionlab.plugins.registry import Plugins, Registration
from fusionlab.plugins.tasks import Task, TaskRecognizer
from fusionlab.torch_defaults import torch_defaults


class Detection(NamedTuple):
    """The task that was detected in one or several images."""

    task: str
    votes: int
    """The number of images in which it was detected."""
    images: int
    """The number of images that were looked at."""
    problems: tuple[str, ...] = ()
    """A sentence for each task that could not be considered."""


@torch_defaults()
def detect_task(
    sources: Iterable[Any], *, scale: str | Scale | Sequence[str | Scale] = "auto"
) -> str:
    """Return the name of the installed task that the sources look most like.

        >>> fusionlab.detect_task([infrared, visible])
        'infrared'

    The functions of the tasks judge thumbnails of the sources; see `fusionlab.Task`. For a batch
    of images, the task of most of them is returned. A task whose function fails costs a warning.

    Args:
        sources: k >= 2 images of one size, as for `Fusion`.
        scale: which values are black and white, as for `Fusion`.

    Raises:
        FusionlabError: the sources cannot be fused, see `Fusion`; or no installed plugin offers a
            task that can be used (code `no-task`).
    """
    read = with_files_read(sources)
    scales = given_scales(read, parse_scales(scale))
    images, names = given_sources(read)
    detection = detect(thumbnails(images, scales, names), installed())
    for problem in detection.problems:
        warnings.warn(problem, RuntimeWarning, stacklevel=2)
    return detection.task


def detect(images: Iterable[Thumbnails], plugins: Plugins) -> Detection:
    """Return the task that is detected in most of the images, the first listed one if several are.

    Args:
        images: thumbnails of the sources of each image, at least one.
        plugins: the plugins that offer the tasks.

    Raises:
        FusionlabError: no plugin offers a task that can be used (code `no-task`).
    """
    problems: dict[str, None] = {}
    names = [plugins.tasks.shortest_name(entry) for entry in plugins.tasks.registrations]
    votes = dict.fromkeys(names, 0)
    for image in images:
        scores: dict[str, float] = {}
        for name, entry in zip(names, plugins.tasks.registrations, strict=True):
            try:
                scores[name] = score(entry, image)
            except FusionlabError as error:
                problems[str(error)] = None
        if not scores:
            raise FusionlabError(
                "the task cannot be detected: "
                f"{'; '.join(problems) or 'no installed plugin offers one'}; choose a strategy",
                code="no-task",
                option="strategy",
            )
        votes[max(scores, key=scores.__getitem__)] += 1
    task = max(votes, key=votes.__getitem__)
    return Detection(task, votes[task], sum(votes.values()), tuple(problems))


def score(task: Registration[Task], image: Thumbnails) -> float:
    """Return how much the sources of an image look like a task, 0..1.

    Raises:
        FusionlabError: the function of the task cannot be imported, fails, or returns anything
            else (code `plugin-error`).
    """
    with attribute_errors_to(task):
        recognize: TaskRecognizer = task.ref.load()
        value = float(recognize(image.images, image.gray))
        if not 0 <= value <= 1:
            raise ValueError(f"a score must lie in 0..1, got {value}")
        return value
