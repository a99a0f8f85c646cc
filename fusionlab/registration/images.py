"""The Python face of registration: images of any kind in, images on one grid out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fusionlab.imaging.given import given_image, with_files_read
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.sources import MaskedImage, check_array, not_an_image
from fusionlab.plugins.host import installed
from fusionlab.registration.registrar import Registrar


def register(
    sources: Iterable[Any],
    method: str = "auto",
    *,
    reference: int | None = None,
    crop: bool = False,
) -> list[LoadedImage]:
    """Resample images onto the grid of one of them, so that all show the same at each pixel.

        fused = fusion(fusionlab.register(["thermal.tif", "visible.jpg"]))

    Pixels are resampled once, at full depth. Where a source does not reach, it is no data
    (`LoadedImage.valid`), and a fusion leaves it out there. `LoadedImage.resampled` says how each
    was registered: transform, confidence and evidence.

    Args:
        sources: paths, images that were read, or arrays `(H, W)` or `(H, W, 3)`; k >= 2 of them,
            whose sizes may differ.
        method: `METHOD[,model=MODEL]`; METHOD may be `"auto"`, the one that the installed plugins
            offer as the default; MODEL is `translation`, `similarity` (default), `affine` or
            `homography`.
        reference: number of the source whose grid it is, from 1; None: the one with most pixels,
            the first of equals.
        crop: keep only a rectangle in which all sources are data.

    Returns:
        The images in the order of the sources, all of one size.

    Raises:
        RegistrationError: a source could not be registered; its `reason` is one of
            `insufficient_structure`, `low_confidence`, `out_of_range` and `degenerate`.
        FusionlabError: there is no such method or reference, or a source is not an image.
    """
    registrar = replace(Registrar.parse(method, installed()), reference=reference, crop=crop)
    given: Any = with_files_read(sources)
    return registrar([_loaded(image, number) for number, image in enumerate(given, start=1)])


def _loaded(image: Any, number: int) -> LoadedImage:
    """Return an image that may not come from a file as if it did."""
    if isinstance(image, LoadedImage):
        return image
    name, pixels = given_image(image, f"source {number}")
    valid = None
    if isinstance(pixels, MaskedImage):
        pixels, valid = pixels.pixels, pixels.valid
    if not isinstance(pixels, np.ndarray):
        raise not_an_image(name, f"the type {type(pixels).__name__}; give an array or a path")
    check_array(pixels, name)
    return LoadedImage(name, pixels, "", valid=None if valid is None else np.asarray(valid))
