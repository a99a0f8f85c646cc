"""One sample of an image set, the sources of one fusion, and the result of one method for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage


@dataclass(frozen=True)
class Sample:
    """The sources of one fusion, with their file names and hashes."""

    name: str
    """The stem that the files of the sources share."""
    images: tuple[LoadedImage, ...]
    """The sources, whose pixels are arrays."""

    @classmethod
    def from_images(cls, name: str, images: Sequence[LoadedImage]) -> Sample:
        """Make a sample of images of one size.

        Raises:
            FusionlabError: their sizes differ (code `size-mismatch`), or one of them is not data
                everywhere (code `no-data`).
        """
        for image in images:
            check_all_data(image)
        check_same_size([image.pixels.shape for image in images])
        return cls(name, tuple(replace(image, pixels=np.asarray(image.pixels)) for image in images))

    @property
    def sources(self) -> tuple[NDArray[Any], ...]:
        """The pixels of the sources, `(H, W)` or `(H, W, 3)` each, in the depth of its file."""
        return tuple(np.asarray(image.pixels) for image in self.images)

    @property
    def source_names(self) -> tuple[str, ...]:
        """The names of the files of the sources."""
        return tuple(image.name for image in self.images)

    @property
    def sha256(self) -> tuple[str, ...]:
        """The hashes of the files of the sources."""
        return tuple(image.sha256 for image in self.images)


class Result(NamedTuple):
    """The image of one method for one sample."""

    pixels: NDArray[Any]
    """`(H, W)` or `(H, W, 3)`, as it is or would be written."""
    outside: float = nan
    """The share of its values that the range policy had to bring into 0..255; nan for files."""


def check_all_data(image: LoadedImage) -> None:
    """Raise `FusionlabError` if some pixels of an image are no data, so that metrics mean nothing.

    NaN is refused where gray levels are computed.
    """
    count = 0 if image.valid is None else int(np.sum(np.asarray(image.valid) == 0))
    if count:
        raise FusionlabError(
            f"{image.name} holds no data at {count} pixels, which metrics cannot leave out; crop "
            "the images to where all of them are data",
            code="no-data",
        )


def check_same_size(shapes: Sequence[Sequence[int]]) -> None:
    """Raise `FusionlabError` unless images of these shapes `(H, W, ...)` have one size."""
    sizes = [tuple(shape[:2]) for shape in shapes]
    if len(set(sizes)) > 1:
        sizes_text = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise FusionlabError(
            f"the images must have the same size, got {sizes_text}", code="size-mismatch"
        )
