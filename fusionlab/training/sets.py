"""Image sets to train rules on: read into memory once, and cropped by number.

Which crops make up iteration i is a function of (seed, i) and of nothing else, as in
`fusionlab.training.batches`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import Stack
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.scale import Scale
from fusionlab.runs.image_sets import ImageSetItem

HOLD_OUT = 10
"""Without image sets of their own to validate on, every tenth image is held out."""


@dataclass(frozen=True)
class Subject:
    """The sources of one image, gray."""

    stem: str
    planes: Tensor
    """`(k, 1, H, W)` in 0..1."""


def load_subjects(
    entries: Sequence[ImageSetItem],
    scale: Sequence[Scale] = (Scale(),),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Subject]:
    """Read an image set, as luminance; all of it is kept in memory, 4 bytes a pixel.

    Raises:
        FusionlabError: an image cannot be read or paired, or sizes differ.
    """
    subjects = []
    for number, entry in enumerate(entries, start=1):
        if entry.problem:
            raise FusionlabError(entry.problem)
        pictures = [read_image(path) for path in entry.sources]
        names = [picture.name for picture in pictures]
        stack = Stack([picture.pixels for picture in pictures], scale, "gray", names)
        subjects.append(Subject(entry.stem, stack.planes()[:, 0]))
        progress(number, len(entries))
    return subjects


def hold_out(subjects: Sequence[Subject]) -> tuple[list[Subject], list[Subject]]:
    """Hold out every tenth image, and at least one, to validate on."""
    held_out = list(subjects[HOLD_OUT - 1 :: HOLD_OUT]) or list(subjects[-1:])
    return [subject for subject in subjects if subject not in held_out], held_out


def crops(
    images: Sequence[Subject], iteration: int, *, batch: int, size: int, seed: int, flips: bool
) -> Tensor:
    """Return the crops of an iteration, `(k, batch, 1, size, size)`, one of each image chosen.

    Every epoch is a new permutation of all images; an incomplete last batch is dropped.

    Args:
        images: all with the same number of sources, none smaller than a crop.
        iteration: its number, from 0.
        batch: how many images.
        size: edge of the crops.
        seed: of the run.
        flips: mirror each left to right and top to bottom, each with probability one half.
    """
    epoch, position = divmod(iteration, len(images) // batch)
    order = np.random.default_rng([seed, 0, epoch]).permutation(len(images))
    generator = np.random.default_rng([seed, 1, iteration])
    found = []
    for index in order[position * batch : (position + 1) * batch]:
        planes = images[index].planes
        top, left = (generator.integers(0, n - size, endpoint=True) for n in planes.shape[-2:])
        crop = planes[..., top : top + size, left : left + size]
        found.append(crop.flip([axis for axis in (-2, -1) if flips and generator.integers(2)]))
    return torch.stack(found, dim=1)


def digest(subjects: Sequence[Subject]) -> str:
    """Return the SHA-256 of names and pixels."""
    total = hashlib.sha256()
    for subject in subjects:
        total.update(f"{subject.stem} {tuple(subject.planes.shape)}".encode())
        total.update(subject.planes.numpy().tobytes())
    return total.hexdigest()
