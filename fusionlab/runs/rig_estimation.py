"""Estimate the transforms of a camera rig from an image set, for all of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.registration.register import reference_of
from fusionlab.registration.registrar import Registrar
from fusionlab.registration.rig import Rig, estimate_rig
from fusionlab.registration.transform import Transform
from fusionlab.runs.image_sets import ImageSetItem

MAX_ITEMS = 50
"""The transforms of at most so many items are estimated, at equal distances in the set."""


@dataclass(frozen=True)
class RigEstimate:
    """The transforms of a rig, and what they were made from.

    Args:
        registrar: registers by the transforms of the rig.
        rigs: of each source; None for the reference.
        stems: of the items that were tried.
        problems: stem -> why an item was left out.
    """

    registrar: Registrar
    rigs: tuple[Rig | None, ...]
    stems: tuple[str, ...]
    problems: dict[str, str]


def estimate_rig_of_set(
    items: Sequence[ImageSetItem],
    registrar: Registrar,
    *,
    max_pixels: int | None = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> RigEstimate:
    """Estimate the transforms of a rig.

    Args:
        items: the image set.
        registrar: estimates the transforms of each item.
        max_pixels: refuse sources that claim more pixels; None: no limit.
        progress: called with (items done, items in all).

    Raises:
        FusionlabError: the items do not agree, see `estimate_rig`; or they have different numbers
            of sources (code `no-rig`).
    """
    sound = [item for item in items if not item.problem]
    if len({len(item.sources) for item in sound}) != 1:
        raise FusionlabError(
            "the images of a rig must have the same number of sources", code="no-rig", option="rig"
        )
    step = max(1, -(-len(sound) // MAX_ITEMS))
    tried = sound[::step]
    found: list[list[Transform]] = [[] for _ in tried[0].sources]
    reference: int | None = None
    problems = {}
    for number, item in enumerate(tried):
        progress(number, len(tried))
        try:
            images = [read_image(path, max_pixels) for path in item.sources]
            if reference is None:
                reference = reference_of(images, registrar.reference)
            for moving in range(len(images)):
                if moving != reference:
                    alignment = registrar.alignment(images, moving, reference)
                    found[moving].append(alignment.transform)
        except FusionlabError as error:
            problems[item.stem] = str(error)
    progress(len(tried), len(tried))
    if reference is None:
        raise FusionlabError(f"no item can be read: {next(iter(problems.values()))}", code="no-rig")
    rigs = tuple(
        None if number == reference else estimate_rig(transforms, len(tried))
        for number, transforms in enumerate(found)
    )
    known = registrar.with_transforms([None if rig is None else rig.transform for rig in rigs])
    return RigEstimate(known, rigs, tuple(item.stem for item in tried), problems)
