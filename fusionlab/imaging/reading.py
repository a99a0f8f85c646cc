"""Reading image files: judged by their content, refused in one sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MODES = {"L", "RGB", "P"}
"""What the decoder calls gray, RGB and palette."""
PNG_DEPTH = 24
"""Where a PNG keeps its bits per sample (in IHDR, its first chunk)."""


def read_image(path: Path) -> NDArray[Any]:
    """Read an 8-bit gray or RGB image: uint8, `(H, W)` or `(H, W, 3)`.

    PNG, JPEG, BMP and TIFF, whatever the file is called; EXIF orientation is applied, a
    palette becomes RGB.

    Raises:
        FusionlabError: the file is missing, damaged or no image, or it is neither 8-bit gray
            nor 8-bit RGB. Nothing is ever narrowed in silence.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist") from None
    except OSError as error:
        raise FusionlabError(f"cannot read {path}: {error.strerror}") from error
    return decode_image(content, str(path))


def decode_image(content: bytes, name: str) -> NDArray[Any]:
    """Decode the content of an image file; `name` is what an error calls it.

    Raises:
        FusionlabError: as `read_image`.
    """
    if content.startswith(PNG_SIGNATURE) and content[PNG_DEPTH : PNG_DEPTH + 1] == b"\x10":
        # the decoder would narrow 16-bit RGB to 8 bits without a word
        raise _unfit(name, "16 bits per channel")
    try:
        pixels, mode, frames = _decode(content)
    except Exception as error:  # a decoder raises what it likes; the file is at fault
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if "can not handle the given uri" in reason:
            reason = "it is in no known image format"
        raise FusionlabError(
            f"cannot read {name}: {reason}; expected a complete PNG, JPEG, BMP or TIFF"
        ) from error
    if frames > 1:
        raise _unfit(name, f"{frames} pages or frames in one file")
    if mode not in MODES or pixels.shape[2:] not in ((), (3,)):  # a palette may have alpha
        raise _unfit(name, f"{pixels.dtype} pixels of the kind {mode}")
    return pixels


def _decode(content: bytes) -> tuple[NDArray[Any], str, int]:
    """Return the pixels of the first frame, the kind the file says they are, and the frames."""
    limit = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = None  # scans and mosaics are large, not malicious
    try:
        file: Any  # the types of imageio leave out what its plugins add
        with iio.imopen(io.BytesIO(content), "r", plugin="pillow") as file:
            mode = file.metadata(index=0, exclude_applied=False)["mode"]
            frames = file.properties(index=...).n_images or 1
            return np.asarray(file.read(index=0, rotate=True)), mode, frames
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit


def _unfit(name: str, got: str) -> FusionlabError:
    return FusionlabError(
        f"{name} must be an 8-bit gray or RGB image, got {got}; convert it to one first"
    )
