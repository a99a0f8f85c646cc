"""Radiometric files as fusionlab opens them: their pages, and the pixels of each."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from fusionlab import Contents, Decoded, Page
from fusionlab.imaging.decoding import SizeCheck
from fusionlab.imaging.formats.jpeg_data import check_complete
from fusionlab_thermal import dji, flir

_ORIENTATION, _MAKE = 0x0112, 0x010F  # tags of EXIF
_GRAY, _COLOR = ("gray",), ("red", "green", "blue")

_PageOf = tuple[Page, Callable[[], Decoded]]


def open_flir(content: bytes, check_size: SizeCheck) -> Contents | None:
    """Open a JPEG or a container (FFF) of FLIR.

    Its pages are `thermal`, in degrees Celsius, or in counts where the file does not say how to
    get degrees, and `view`, the part of the visible photo that the thermal image shows. Variants
    of them are `counts` and the whole `photo`, which takes the place of `view` where the file does
    not say which part that is.

    Returns:
        None if it is an image like others.

    Raises:
        ValueError: its thermal data are damaged.
    """
    found = flir.radiometric(content)
    if found is None:
        return None
    check_size(found.width, found.height)
    turned = 1 if content.startswith(flir.SIGNATURES) else _exif(content)[1]

    def thermal() -> Decoded:
        return _thermal(found, turned)

    def counts() -> Decoded:
        return Decoded(found.counts(), turned, unit="counts")

    size = found.width, found.height
    pages: list[_PageOf] = [
        (Page("thermal", *size, _GRAY), thermal if found.radiometry else counts)
    ]
    if found.photo:
        pages += _photos(found, turned, check_size)
    if found.radiometry:
        pages.append((Page("counts", *size, _GRAY, variant=True), counts))
    return _contents(pages)


def open_dji(content: bytes, check_size: SizeCheck) -> Contents | None:
    """Open a JPEG of DJI; its one page is `thermal`, in counts.

    Returns:
        None if it is an image like others.

    Raises:
        ValueError: its thermal data are damaged.
    """
    maker, turned = _exif(content)
    if not maker.startswith(dji.MAKER):
        return None
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as shown:
        size = shown.size
    found = dji.counts(content, size)
    if found is None:
        return None
    check_size(found.width, found.height)
    page = Page("thermal", found.width, found.height, _GRAY)

    def thermal() -> Decoded:
        return Decoded(found.decode(), turned, (dji.ONLY_COUNTS,), unit="counts")

    return _contents([(page, thermal)])


def _thermal(found: flir.Radiometric, turned: int) -> Decoded:
    assert found.radiometry is not None
    # one temperature for each of the counts that there can be, instead of one for each pixel
    celsius = found.radiometry.celsius(np.arange(2**16)).astype(np.float32)
    return Decoded(celsius[found.counts()], turned, unit="C")


def _photos(found: flir.Radiometric, turned: int, check_size: SizeCheck) -> list[_PageOf]:
    """Return the photo, and the part of it that the thermal image shows if the file says which."""

    def photo(box: tuple[int, int, int, int] | None = None) -> Decoded:
        with Image.open(io.BytesIO(found.photo), formats=["JPEG"]) as image:
            check_size(*image.size)
            check_complete(found.photo)  # Pillow fills in what is missing
            return Decoded(np.asarray(image.convert("RGB").crop(box)), turned)

    if found.view is None:
        return [(Page("photo", *found.photo_size, _COLOR), photo)]
    box = found.view.box(found.photo_size, (found.width, found.height))
    size = (box[2] - box[0], box[3] - box[1])
    return [
        (Page("view", *size, _COLOR), lambda: photo(box)),
        (Page("photo", *found.photo_size, _COLOR, variant=True), photo),
    ]


def _contents(pages: list[_PageOf]) -> Contents:
    return Contents([page for page, _ in pages], lambda number: pages[number][1]())


def _exif(content: bytes) -> tuple[str, int]:
    """Return the maker of the camera, and how its image is to be turned."""
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as shown:
        tags = shown.getexif()
    return str(tags.get(_MAKE, "")), int(tags.get(_ORIENTATION, 1))
