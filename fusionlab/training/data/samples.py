"""Image sets to train strategies on: read into memory once, and cropped at random.

The crops of an iteration are a function of seed and iteration number, as in `batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import Stack
from fusionlab.imaging.given import given_sources
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.scale import Scale, scales_of
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.storage.hashing import sha256_of_parts
from fusionlab.training.data.bad_images import BadImages
from fusionlab.training.data.batches import images_of_iteration


@dataclass(frozen=True)
class Sample:
    """The sources of one fusion, in gray."""

    stem: str
    sources: Tensor
    """`(k, 1, H, W)` in 0..1."""


def load_samples(
    items: Sequence[ImageSetItem],
    scale: Sequence[Scale] = (Scale(),),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Sample]:
    """Read the items of an image set as luminance, 4 bytes per pixel and source.

    An item that cannot be used is left out with a warning, see `BadImages`: an image cannot be read
    or paired, the sizes of sources differ, or some of their pixels are no data.

    Raises:
        FusionlabError: too many items cannot be used (code `too-many-bad-images`).
    """
    samples = []
    bad = BadImages(len(items))
    for number, item in enumerate(items, start=1):
        try:
            samples.append(_load(item, scale))
        except FusionlabError as error:
            bad.leave_out(error)
        progress(number, len(items))
    bad.report()
    return samples


def _load(item: ImageSetItem, scale: Sequence[Scale]) -> Sample:
    """Read one item.

    Raises:
        FusionlabError: as `load_samples`, for this item.
    """
    if item.problem:
        raise FusionlabError(item.problem)
    images = [read_image(path) for path in item.sources]
    names = [image.name for image in images]
    scales = scales_of(images, scale)
    stack = Stack(given_sources(images)[0], scales, "gray", names)
    if stack.no_data.any():
        raise FusionlabError(
            f"{item.stem} holds pixels that are no data, which a training cannot leave out; "
            "crop its images to where all of them are data, or remove them",
            code="no-data",
        )
    return Sample(item.stem, torch.from_numpy(stack.planes()[:, 0]))


def crop_batch(
    samples: Sequence[Sample], iteration: int, *, batch: int, size: int, seed: int, flips: bool
) -> Tensor:
    """Return the crops of an iteration, `(k, batch, 1, size, size)`; one crop per sample drawn.

    Every epoch is a new permutation of all samples; an incomplete last batch is dropped.

    Args:
        samples: all with the same number of sources, none smaller than a crop.
        iteration: its number, from 0.
        batch: number of samples.
        size: edge of the crops.
        seed: seed of the run.
        flips: mirror each left to right and top to bottom, each with probability one half.
    """
    rng = np.random.default_rng([seed, 1, iteration])
    crops = []
    for index in images_of_iteration(len(samples), iteration, batch, seed):
        sources = samples[index].sources
        top, left = (rng.integers(0, edge - size, endpoint=True) for edge in sources.shape[-2:])
        crop = sources[..., top : top + size, left : left + size]
        crops.append(crop.flip([axis for axis in (-2, -1) if flips and rng.integers(2)]))
    return torch.stack(crops, dim=1)


def sha256_of_samples(samples: Sequence[Sample]) -> str:
    """Return the SHA-256 of the names, shapes and pixels."""

    def parts() -> Iterator[bytes]:
        for sample in samples:
            yield f"{sample.stem} {tuple(sample.sources.shape)}".encode()
            yield sample.sources.numpy().tobytes()

    return sha256_of_parts(parts())
