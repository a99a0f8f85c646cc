"""What Python callers give as images: arrays, tensors, paths, Pillow images, arrays of others.

The one door of the library: behind it, an image is an array, a tensor or the rows of a file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, FusionlabWarning, one_line
from fusionlab.imaging.decoding import Decoded, UnsupportedImage, held
from fusionlab.imaging.formats.pillow_formats import MODES
from fusionlab.imaging.metadata import ORIENTATION
from fusionlab.imaging.nodata import Nodata, nodata_for
from fusionlab.imaging.reading import LoadedImage, read_image
from fusionlab.imaging.rows import BaseRows
from fusionlab.imaging.scale import Scale, scales_for, scales_of
from fusionlab.imaging.sources import MaskedImage, check_array, not_an_image
from fusionlab.namespaces import as_array, is_tensor

_SINGLE = (str, os.PathLike, LoadedImage, PIL.Image.Image)
_PILLOW_MODES = {*MODES, "I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


def given_sources(
    sources: object,
    names: Sequence[str] = (),
    *,
    valid: Sequence[Any] | None = None,
    nodata: Nodata = (None,),
) -> tuple[list[Any], list[str]]:
    """Return the sources of a fusion as arrays, tensors or rows of files, and their names.

    Those that may hold pixels that are no data are `MaskedImage`s.

    Args:
        sources: any iterable of what `given_image` takes.
        names: one for each source, for error messages; empty: the paths of files, and source 1,
            source 2, ... for others.
        valid: a mask for each source, or None for one that has none; None: none has. It is combined
            with the mask that a source brings with it.
        nodata: values of pixels that are no data, see `fusionlab.imaging.nodata`.

    Raises:
        FusionlabError: `sources` is a single image or no iterable (code `no-list`), there is
            another number of names, or one of them is not an image (code `not-an-image`).
    """
    if isinstance(sources, _SINGLE) or hasattr(sources, "__array__"):
        shape = getattr(sources, "shape", None)
        raise FusionlabError(
            f"expected a list of sources, got one {type(sources).__name__}"
            + (f" of the shape {tuple(shape)}" if shape is not None else f", {sources}")
            + "; give [first, second], or list(stack) for the images of a stack",
            code="no-list",
        )
    if not isinstance(sources, Iterable) or isinstance(sources, Mapping):
        raise FusionlabError(
            f"expected a list of sources, got {type(sources).__name__}; give [first, second]",
            code="no-list",
        )
    images = list(sources)
    if names and len(names) != len(images):
        raise FusionlabError(
            f"expected one name for each of {len(images)} sources, got {len(names)}"
        )
    masks = [None] * len(images) if valid is None else list(valid)
    if len(masks) != len(images):
        raise FusionlabError(
            f"expected one mask, or None, for each of {len(images)} sources, got {len(masks)}",
            code="number-of-masks",
        )
    values = nodata_for(nodata, len(images))
    opened, known = [], []
    for number, (image, mask, value) in enumerate(zip(images, masks, values, strict=True), start=1):
        name, pixels = given_image(image, f"source {number}")
        opened.append(_masked(pixels, mask, value))
        known.append(names[number - 1] if names else name)
    return opened, known


def with_files_read(sources: object) -> object:
    """Return what is given as sources with the images of its paths in their place."""
    single = isinstance(sources, (*_SINGLE, Mapping)) or hasattr(sources, "__array__")
    if single or not isinstance(sources, Iterable):
        return sources  # `given_sources` says what is wrong
    return list(map(read_if_path, sources))


def read_if_path(image: object) -> object:
    """Return the image that a path leads to, anything else as it is.

    Raises:
        FusionlabError: the file cannot be read.
    """
    if not isinstance(image, str | os.PathLike):
        return image
    loaded = read_image(os.fspath(image))
    _warn(loaded.notes)
    return loaded


def given_scales(sources: object, scales: Sequence[Scale]) -> Sequence[Scale]:
    """Return scales as they apply to sources whose files say what their values mean.

    Args:
        sources: what `with_files_read` returns.
        scales: one for all sources or one for each.

    Raises:
        FusionlabError: a scale has a unit that cannot be converted to that of its source.
    """
    if not isinstance(sources, list) or len(scales) not in (1, len(sources)):
        return scales  # the stack says what is wrong
    return [
        scales_of([source], [scale])[0] if isinstance(source, LoadedImage) else scale
        for source, scale in zip(sources, scales_for(scales, len(sources)), strict=True)
    ]


def given_image(image: object, name: str) -> tuple[str, Any]:
    """Return one image as an array, a tensor or the rows of a file, and what errors call it.

    It is a `MaskedImage` of one of these if the image says of some pixels that they are no data. A
    path is read, and what is ignored in the file costs a `FusionlabWarning`. A Pillow image is
    taken as the file that it came from: palettes and the EXIF orientation are applied. Arrays of
    other libraries (xarray, pandas, jax, ...) become arrays of numpy.

    Args:
        image: an array, a tensor, a path, a `LoadedImage`, a Pillow image, or an object with
            `__array__`. The shapes of arrays and tensors are not checked.
        name: of images that are not files.

    Raises:
        FusionlabError: it is none of these (code `not-an-image`), or a file that cannot be read.
    """
    image = read_if_path(image)
    if isinstance(image, LoadedImage):
        masked = image.valid is not None
        return image.name, MaskedImage(image.pixels, image.valid) if masked else image.pixels
    if is_tensor(image) or isinstance(image, BaseRows | MaskedImage):
        return name, image
    if isinstance(image, PIL.Image.Image):
        return name, _pillow_pixels(image, name)
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        lacking = np.ma.getmaskarray(image)
        if lacking.ndim == 3:
            lacking = np.logical_or.reduce(lacking, axis=2)
        return name, MaskedImage(np.ma.getdata(image), ~lacking)
    if not hasattr(image, "__array__"):
        raise not_an_image(
            name, f"the type {type(image).__name__}; give an array, a tensor or a path"
        )
    try:
        return name, np.asarray(image)
    except Exception as error:  # other libraries may raise anything
        raise not_an_image(
            name, f"a {type(image).__name__} that does not become an array: {one_line(error)}"
        ) from error


def _masked(pixels: Any, valid: Any, nodata: float | None) -> Any:
    """Return an image with a further mask, and a value of no data."""
    if valid is None and nodata is None:
        return pixels
    image = pixels if isinstance(pixels, MaskedImage) else MaskedImage(pixels)
    if valid is not None and image.valid is not None:
        valid = np.asarray(valid).astype(bool) & np.asarray(image.valid).astype(bool)
    mask = image.valid if valid is None else valid
    values = image.nodata if nodata is None else (*image.nodata, nodata)
    return MaskedImage(image.pixels, mask, values)


def given_array(image: object, name: str) -> tuple[str, NDArray[Any]]:
    """Return one image as an array `(H, W)` or `(H, W, 3)`, and what errors call it.

    Args:
        image: as for `given_image`; a tensor is `(H, W)`, `(C, H, W)` or `(1, C, H, W)`.
        name: of an image that is not a file.

    Raises:
        FusionlabError: as `given_image`, or the shape or dtype is not that of an image (code
            `not-an-image`), or some pixels are no data (code `no-data`).
    """
    name, given = given_image(image, name)
    if isinstance(given, MaskedImage):
        lacking = int(np.sum(np.asarray(given.valid) == 0))
        raise FusionlabError(
            f"{name} holds no data at {lacking} pixels, where there is nothing to score or write; "
            "crop it, or give it values there, such as array.filled(0)",
            code="no-data",
        )
    if is_tensor(given):
        from fusionlab.imaging.tensors import check_tensor

        check_tensor(given, name)
        if given.ndim == 4 and len(given) > 1:
            raise not_an_image(name, f"a batch of {len(given)} images; give them one by one")
        given = as_array(given[0] if given.ndim == 4 else given)
        given = np.moveaxis(given, 0, -1) if given.ndim == 3 else given
    pixels = np.asarray(given)
    check_array(pixels, name)
    pixels = pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels
    return name, np.array(held(pixels), order="C")  # a copy that torch takes: not flipped, writable


def _pillow_pixels(image: PIL.Image.Image, name: str) -> Any:
    if image.mode not in _PILLOW_MODES:
        raise not_an_image(
            name, f"a Pillow image of the mode {image.mode}; convert it with convert('RGB')"
        )
    orientation = image.getexif().get(ORIENTATION, 1)
    if "transparency" in image.info and image.mode in ("L", "P", "RGB"):
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    try:
        decoded = Decoded(np.asarray(image), orientation).normalized()
    except UnsupportedImage as error:
        raise not_an_image(name, str(error)) from error
    _warn(f"{name}: {note}" for note in decoded.notes)
    return decoded.pixels if decoded.valid is None else MaskedImage(decoded.pixels, decoded.valid)


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        warnings.warn(note, FusionlabWarning, stacklevel=5)
