"""Read image files: recognized by content, at full depth, refused in one sentence."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging import pillow_formats, tiff
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.recognizing import FIRST_BYTES, NOT_READ, image_format
from fusionlab.imaging.rows import Rows
from fusionlab.storage.hashing import sha256_of_bytes, sha256_of_file

MAX_PIXELS = 2**28
"""Default limit on the number of pixels that a file claims (16,384 x 16,384).

A file of a few kilobytes can claim gigabytes; the limit prevents their allocation.
"""

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
"""Suffixes of images when a folder is searched; the decoder is chosen by the content of a file."""

_DECODERS: dict[bytes, Callable[[bytes, SizeCheck], Decoded]] = {
    pillow_formats.PNG_SIGNATURE: pillow_formats.decode,
    b"\xff\xd8\xff": pillow_formats.decode,  # JPEG
    b"BM": pillow_formats.decode,
    b"GIF8": pillow_formats.decode,
    b"RIFF": pillow_formats.decode,  # WebP
    b"II*\0": tiff.decode,
    b"MM\0*": tiff.decode,
    b"II+\0": tiff.decode,  # BigTIFF
    b"MM\0+": tiff.decode,
}
"""First bytes of a file -> decoder. All other files are refused."""


def has_image_suffix(path: Path) -> bool:
    """Return whether a file is taken for an image when a folder is searched."""
    return path.suffix.lower() in SUFFIXES


def recognize(path: Path) -> tuple[str, bool]:
    """Return the image format of a file, by its content where that tells, and if it is read.

    Returns:
        The name of the format, empty if it is not an image; and whether `read_image` decodes it.

    Raises:
        OSError: the file cannot be opened.
    """
    if name := NOT_READ.get(path.suffix.lower()):
        return name, False
    with path.open("rb") as file:
        start = file.read(FIRST_BYTES)
    name = image_format(start)
    return name, bool(name) and _decoder(start) is not None


@dataclass(frozen=True)
class LoadedImage:
    """The pixels of a file, with its hash and notes."""

    name: str
    pixels: Rows
    """`(H, W)` or `(H, W, 3)`, in the depth of the file: an array, or the rows of a large TIFF,
    which are read on demand."""
    sha256: str
    """Of the file."""
    notes: tuple[str, ...] = ()
    """What the user should know, such as what was ignored; sentences that begin with the name."""

    def with_note(self, note: str) -> LoadedImage:
        """Return the image with a further note."""
        return replace(self, notes=(*self.notes, note))


def read_image(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> LoadedImage:
    """Read the first image of a file: gray or RGB, integers or floats, in full depth.

    PNG, JPEG, BMP, GIF, WebP and TIFF, whatever the name of the file. Palettes are applied,
    two-level images become 0 and 255, EXIF orientation is applied; alpha and further frames
    are ignored with a note. The pixels of a large TIFF stay in the file, which is open as long
    as they are referenced; `np.asarray` reads all of them.

    Args:
        path: the file.
        max_pixels: refuse files that claim more pixels than this; None: no limit.

    Raises:
        FusionlabError: the file does not exist (code `missing-file`), is damaged or not an image
            (`unreadable`), is neither gray nor RGB (`unsupported-image`), or claims more than
            `max_pixels` (`too-many-pixels`).
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode):
            raise _unreadable(path, "expected an image file, got a device")
        if stat.S_ISREG(mode) and (image := _open_large(path, max_pixels)):
            return image
        content = path.read_bytes()
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist", code="missing-file", path=path) from None
    except IsADirectoryError:
        raise _unreadable(
            path, "expected an image file, got a folder; give folders only, or files only"
        ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    return decode_image(content, str(path), max_pixels)


def decode_image(content: bytes, name: str, max_pixels: int | None = MAX_PIXELS) -> LoadedImage:
    """Decode the content of an image file.

    Args:
        content: of the file.
        name: of the file, for errors and notes.
        max_pixels: as `read_image`.

    Raises:
        FusionlabError: as `read_image`.
    """
    decode = _decoder(content)
    if decode is None:
        raise _undecodable(name, _guess_kind(content))
    with _attribute_errors_to(name):
        decoded = decode(content, _size_check(name, max_pixels)).normalized()
    return LoadedImage(name, decoded.pixels, sha256_of_bytes(content), _notes(name, decoded.notes))


def _decoder(content: bytes) -> Callable[[bytes, SizeCheck], Decoded] | None:
    return next((d for start, d in _DECODERS.items() if content.startswith(start)), None)


def _open_large(path: Path, max_pixels: int | None) -> LoadedImage | None:
    """Open a file whose pixels can be read by rows; None if it must be decoded as a whole."""
    name = str(path)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        if _DECODERS.get(file.read(4)) is not tiff.decode:
            return None
        with _attribute_errors_to(name):
            opened = tiff.open_large(file, name, _size_check(name, max_pixels))
        if opened is None:
            return None
        digest = sha256_of_file(file)
        stack.pop_all()  # the rows close it
    pixels, notes = opened
    return LoadedImage(name, pixels, digest, _notes(name, notes))


def _size_check(name: str, max_pixels: int | None) -> SizeCheck:
    def check_size(width: int, height: int) -> None:
        if max_pixels is not None and width * height > max_pixels:
            raise FusionlabError(
                f"{name} claims {width}x{height} pixels, more than the limit of {max_pixels}; if "
                "that is correct, raise the limit",
                code="too-many-pixels",
                option="max_pixels",
            )

    return check_size


@contextmanager
def _attribute_errors_to(name: str) -> Iterator[None]:
    """Turn the exceptions of a decoder into an error that names the file."""
    try:
        yield
    except FusionlabError:
        raise
    except UnsupportedImage as error:
        raise FusionlabError(
            f"{name} must be a gray or RGB image, got {error}; convert it to one first",
            code="unsupported-image",
        ) from error
    except Exception as error:  # decoders may raise anything at damaged files
        raise _undecodable(name, one_line(error)) from error


def _notes(name: str, notes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}: {note}" for note in notes)


def _guess_kind(content: bytes) -> str:
    """Return what a file is instead of an image."""
    if not content:
        return "it is empty"
    if name := image_format(content[:FIRST_BYTES]):
        return f"it is a {name} image, a format that is not read"
    if content.lstrip()[:1] == b"<":
        return "it is a web page or other text, not an image"
    return "it is not in a known image format"


def _undecodable(name: str, reason: str) -> FusionlabError:
    return FusionlabError(
        f"cannot read {name}: {reason}; expected a complete PNG, JPEG, BMP, GIF, WebP or TIFF",
        code="unreadable",
    )


def _unreadable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot read {path}: {reason}", code="unreadable", path=path)
