"""Read image files: recognized by content, at full depth, refused in one sentence."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging import TIFF
from fusionlab.imaging.contents import Contents
from fusionlab.imaging.decoding import SizeCheck, UnsupportedImage
from fusionlab.imaging.recognizing import (
    any_format,
    first_bytes,
    image_format,
    readers_of,
)
from fusionlab.imaging.rows import Rows
from fusionlab.plugins.offers import ReaderRef
from fusionlab.storage.hashing import sha256_of_bytes, sha256_of_file

MAX_PIXELS = 2**28
"""Default limit on the number of pixels that a file claims (16,384 x 16,384).

A file of a few kilobytes can claim gigabytes; the limit prevents their allocation.
"""


@dataclass(frozen=True)
class LoadedImage:
    """The pixels of an image of a file, with the hash of the file and notes."""

    name: str
    pixels: Rows
    """`(H, W)` or `(H, W, 3)`, in the depth of the file: an array, or the rows of a large TIFF,
    which are read on demand."""
    sha256: str
    """Of the file."""
    notes: tuple[str, ...] = ()
    """What the user should know, such as what was ignored; sentences that begin with the name."""
    bits: int | None = None
    """Significant bits of an integer sample: white is 2**bits - 1. None: all that it has."""
    unit: str = ""
    """The physical unit of the values: `"C"` for degrees Celsius, `"K"`, `"HU"`; empty: none."""
    window: tuple[float, float] | None = None
    """The values that the file wants to be black and white, such as the window of a CT."""

    def with_note(self, note: str) -> LoadedImage:
        """Return the image with a further note."""
        return replace(self, notes=(*self.notes, note))


def read_image(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> LoadedImage:
    """Read the first image of a file: gray or RGB, integers or floats, in full depth.

    Every format that an installed plugin reads (`fusionlab readers` lists them), whatever the name
    of the file. Palettes are applied, two-level images become 0 and 255, EXIF orientation is
    applied; alpha and further frames are ignored with a note. The pixels of a large TIFF stay in
    the file, which is open as long as they are referenced; `np.asarray` reads all of them.

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
    readers = readers_of(content, Path(name).suffix)
    if not readers:
        raise _undecodable(name, _guess_kind(content, name))
    with _attribute_errors_to(name, readers[0].name):
        contents = _open(content, name, readers, _size_check(name, max_pixels))
        decoded = contents.decode(contents.default).normalized()
    return LoadedImage(
        name,
        decoded.pixels,
        sha256_of_bytes(content),
        _notes(name, decoded.notes, len(contents.pages)),
        decoded.bits,
        decoded.unit,
        decoded.window,
    )


def _open(
    content: bytes, name: str, readers: Sequence[ReaderRef], check_size: SizeCheck
) -> Contents:
    """Return what the first reader that does not decline finds in a file."""
    for reader in readers:
        try:
            open_content = reader.load()
        except ImportError as error:
            if not reader.requires:
                raise
            raise FusionlabError(
                f"cannot read {name}: it is in the format {reader.name}, which needs "
                f"{reader.requires}; install it: pip install '{reader.requires}'",
                code="missing-extra",
            ) from error
        if (contents := open_content(content, check_size)) is not None:
            return contents
    raise ValueError(f"it is in a kind of {readers[0].name} that is not read")


def _open_large(path: Path, max_pixels: int | None) -> LoadedImage | None:
    """Open a file whose pixels can be read by rows; None if it must be decoded as a whole."""
    name = str(path)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        readers = readers_of(file.read(first_bytes()), path.suffix)
        if not readers or readers[0].target != TIFF:
            return None
        from fusionlab.imaging import tiff

        with _attribute_errors_to(name, "TIFF"):
            opened = tiff.open_large(file, name, _size_check(name, max_pixels))
        if opened is None:
            return None
        digest = sha256_of_file(file)
        stack.pop_all()  # the rows close it
    pixels, pages = opened
    return LoadedImage(name, pixels, digest, _notes(name, (), pages))


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
def _attribute_errors_to(name: str, image_format: str) -> Iterator[None]:
    """Turn the exceptions of a reader into an error that names the file."""
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
        raise _undecodable(name, one_line(error), image_format) from error


def _notes(name: str, notes: tuple[str, ...], pages: int) -> tuple[str, ...]:
    if pages > 1:
        notes = (*notes, f"only the first of its {pages} frames or pages is used")
    return tuple(f"{name}: {note}" for note in notes)


def _guess_kind(content: bytes, name: str) -> str:
    """Return what a file is instead of an image that is read."""
    if not content:
        return "it is empty"
    found = image_format(content, Path(name).suffix)
    if found.name:
        return f"it is {found.refusal}"
    if content.lstrip()[:1] == b"<":
        return "it is a web page or other text, not an image"
    return "it is not in a known image format"


def _undecodable(name: str, reason: str, expected: str = "") -> FusionlabError:
    return FusionlabError(
        f"cannot read {name}: {reason}; expected a complete {expected or any_format()}",
        code="unreadable",
    )


def _unreadable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot read {path}: {reason}", code="unreadable", path=path)
