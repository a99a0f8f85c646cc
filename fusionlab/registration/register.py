"""Register the sources of one fusion: all but the reference are resampled onto its grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.nodata import data_mask
from fusionlab.imaging.reading import LoadedImage
from fusionlab.registration.align import Alignment
from fusionlab.registration.cropping import largest_rectangle
from fusionlab.registration.warp import warp

Align = Callable[[int, int], Alignment]
"""Returns how one of the sources, the moving one, lies on another, the fixed one; by their
indices."""


@dataclass(frozen=True)
class Registered:
    """Sources on one grid.

    Args:
        images: the sources, in their order.
        reference: the index of the one whose grid it is.
        alignments: how each source lay on the reference; None for the reference itself.
        cropped: the columns and rows of the grid of the reference that were kept; None: all.
    """

    images: tuple[LoadedImage, ...]
    reference: int
    alignments: tuple[Alignment | None, ...]
    cropped: tuple[slice, slice] | None = None


def reference_of(images: Sequence[LoadedImage], number: int | None = None) -> int:
    """Return the index of the reference: the source with most pixels, the first of equals.

    Args:
        images: the sources.
        number: of the reference, from 1; None: chosen by size.

    Raises:
        FusionlabError: there is no such source (code `no-reference`).
    """
    if number is None:
        return max(range(len(images)), key=lambda i: (prod(images[i].pixels.shape[:2]), -i))
    if not 1 <= number <= len(images):
        raise FusionlabError(
            f"the reference must be the number of a source, 1 to {len(images)}, got {number}",
            code="no-reference",
            option="reference",
        )
    return number - 1


def register(
    images: Sequence[LoadedImage],
    align: Align,
    *,
    reference: int | None = None,
    crop: bool = False,
) -> Registered:
    """Resample sources onto the grid of one of them.

    Where a source does not reach, it is no data there. Pixels are resampled once, at full depth.

    Args:
        images: the sources, k >= 2.
        align: estimates or knows how one lies on another.
        reference: number of the source whose grid the result has, from 1; None: the one with most
            pixels, the first of equals.
        crop: keep only a rectangle in which all sources are data.

    Raises:
        RegistrationError: a source could not be registered.
        FusionlabError: as `reference_of`; or no pixel is data in all sources, with `crop` (code
            `no-common-area`).
    """
    if len(images) < 2:
        raise FusionlabError(
            f"a registration needs at least two sources, got {len(images)}",
            code="number-of-sources",
        )
    for image in images:
        pixels = np.asarray(image.pixels)
        if pixels.dtype.kind == "f" and np.isinf(pixels).any():
            raise FusionlabError(
                f"{image.name} must hold finite values, got infinity; NaN says that a pixel is no "
                "data",
                code="not-finite",
            )
    index = reference_of(images, reference)
    alignments = tuple(
        None if number == index else align(number, index) for number in range(len(images))
    )
    moved = [
        image if alignment is None else _moved(image, alignment)
        for image, alignment in zip(images, alignments, strict=True)
    ]
    if not crop:
        return Registered(tuple(moved), index, alignments)
    area = largest_rectangle(_common(moved))
    if area is None:
        raise FusionlabError(
            "the sources have no area in common that could be kept", code="no-common-area"
        )
    return Registered(tuple(_cropped(image, area) for image in moved), index, alignments, area)


def _moved(image: LoadedImage, alignment: Alignment) -> LoadedImage:
    """Return a source on the grid of the reference."""
    pixels = np.asarray(image.pixels)
    warped = warp(pixels, alignment.transform, data_mask(pixels, image.valid))
    return replace(
        image,
        pixels=warped.pixels,
        valid=None if warped.valid.all() else warped.valid,
        metadata=image.metadata.reshaped(),
    )


def _common(images: Sequence[LoadedImage]) -> NDArray[np.bool_]:
    """Return which pixels are data in all images."""
    height, width = images[0].pixels.shape[:2]
    common = np.ones((height, width), bool)
    for image in images:
        if (valid := data_mask(np.asarray(image.pixels), image.valid)) is not None:
            common &= valid
    return common


def _cropped(image: LoadedImage, area: tuple[slice, slice]) -> LoadedImage:
    columns, rows = area
    pixels = np.ascontiguousarray(np.asarray(image.pixels)[rows, columns])
    valid = None
    if image.valid is not None:
        valid = np.asarray(image.valid)[rows, columns] != 0
        valid = None if valid.all() else valid
    whole = pixels.shape[:2] == image.pixels.shape[:2]
    metadata = image.metadata if whole else image.metadata.reshaped()
    return replace(image, pixels=pixels, valid=valid, metadata=metadata)
