"""DICOM files as fusionlab opens them."""

from __future__ import annotations

from fusionlab import Contents, Decoded
from fusionlab.imaging.contents import numbered
from fusionlab.imaging.decoding import SizeCheck, UnsupportedImage
from fusionlab_dicom.images import NotAnImage, open_images


def open_dicom(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a DICOM file; its pages are its frames.

    Raises:
        UnsupportedImage: it holds no pixels, or those of another kind than gray and color.
        Exception: anything that pydicom raises at damaged files.
    """
    try:
        images = open_images(content)
    except NotAnImage as error:
        raise UnsupportedImage(str(error)) from error
    check_size(images.width, images.height)

    def decode(number: int) -> Decoded:
        try:
            frame = images.frame(number)
        except NotAnImage as error:
            raise UnsupportedImage(str(error)) from error
        return Decoded(
            frame.pixels,
            bits=frame.bits,
            unit=frame.unit,
            window=frame.window,
            valid=frame.valid,
        )

    channels = ("red", "green", "blue") if images.color else ("gray",)
    return Contents(numbered(images.count, images.width, images.height, channels), decode)
