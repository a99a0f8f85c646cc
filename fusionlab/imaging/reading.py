"""Read image files: recognized by content, at full depth, refused in one sentence."""

from __future__ import annotations

import operator
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, Terminated, in_one_line, one_line
from fusionlab.imaging import selecting
from fusionlab.imaging.contents import Contents, Page
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.formats import TIFF
from fusionlab.imaging.metadata import NOTHING, Metadata
from fusionlab.imaging.recognizing import (
    any_format,
    first_bytes,
    has_image_suffix,
    image_format,
    readers_of,
    sequence_readers_of,
)
from fusionlab.imaging.rows import Rows
from fusionlab.imaging.selecting import EVERYTHING, Selection
from fusionlab.plugins.failures import memory_errors
from fusionlab.plugins.offers import ReaderRef
from fusionlab.storage.hashing import sha256_of_bytes, sha256_of_file

IMAGE_IN_ALPHA, SHADES, SMOOTH = 0.9, 16, 0.1
"""A fourth channel is said to look like an image if more of it than this is neither transparent nor
opaque, in more shades, and if neighbors differ by less of its range."""

MAX_PIXELS = 2**28
"""Default limit on the number of pixels that a file claims (16,384 x 16,384).

A file of a few kilobytes can claim gigabytes; the limit prevents their allocation.
"""
FREE_PIXELS, PIXELS_PER_BYTE = 2**25, 2**14
"""Larger images than 5792 x 5792 need a byte for so many pixels, whatever the limit. Only images of
one color have fewer, in formats that hold such an image in a few bytes; a PNG has at most 8256."""

MOST_COLORS = 4
"""Channels that a pixel may have without counting as several."""


def identity(sha256: str, selection: Selection) -> str:
    """Return what tells one image from others: the hash of its file, and the selection."""
    return f"{sha256}[{selection}]" if str(selection) else sha256


def identity_of(path: Path) -> str:
    """Return the `LoadedImage.identity` of the source that a path means.

    Raises:
        OSError: the file cannot be read.
    """
    file, selection = selecting.split(path)
    return identity(sha256_of_file(file), selection)


@dataclass(frozen=True)
class Resampled:
    """How an image was resampled onto the grid of another one."""

    description: Mapping[str, Any]
    """For the record, a JSON value."""
    overlay: NDArray[np.uint8] | None = None
    """Both images over each other before and after, `(H, W, 3)`; None: not asked for."""


@dataclass(frozen=True)
class LoadedImage:
    """The pixels of an image of a file, with the hash of the file and notes."""

    name: str
    pixels: Rows
    """`(H, W)` or `(H, W, 3)`, in the depth of the file: an array, or the rows of a large TIFF,
    which are read on demand."""
    sha256: str
    """Of the file; empty for a frame of a sequence, whose file need not be read to its end."""
    notes: tuple[str, ...] = ()
    """What the user should know, such as what was ignored; sentences that begin with the name."""
    bits: int | None = None
    """Bits of a sample, where they are fewer than those of its dtype: white is 2**bits - 1."""
    unit: str = ""
    """The physical unit of the values: `"C"` for degrees Celsius, `"K"`, `"HU"`; empty: none."""
    window: tuple[float, float] | None = None
    """The values that the file wants to be black and white, such as the window of a CT."""
    selection: Selection = EVERYTHING
    """Which page and channels of the file these are."""
    valid: Rows | None = None
    """Which pixels are data, `(H, W)`, truth values or 0 and 1: what is not transparent, and has
    not the value that the file calls no data; None: all. NaN is no data in any case."""
    metadata: Metadata = NOTHING
    """Color profile, EXIF, resolution and georeference of the file."""
    resampled: Resampled | None = None
    """How it was registered to another source; None: it was not."""
    further: tuple[str, ...] = ()
    """Those of the notes that say what else in the file may be a source, without the name."""

    @property
    def is_color(self) -> bool:
        """Whether it has red, green and blue."""
        return self.pixels.ndim == 3

    @property
    def stated_range(self) -> tuple[float, float] | None:
        """Black and white, where the file states them: by a window, or by the bits of a sample."""
        if self.window is None and self.bits is not None:
            return 0, 2**self.bits - 1
        return self.window

    @property
    def identity(self) -> str:
        """A hash that differs for different images, also for those of one file."""
        return identity(self.sha256, self.selection)

    def with_note(self, note: str) -> LoadedImage:
        """Return the image with a further note."""
        return replace(self, notes=(*self.notes, note))


def read_image(
    path: str | Path,
    max_pixels: int | None = MAX_PIXELS,
    *,
    page: int | str = "",
    channels: str = "",
) -> LoadedImage:
    """Read an image of a file: gray or RGB, integers or floats, in full depth.

    Every format that an installed plugin reads (`fusionlab readers` lists them), whatever the name
    of the file. Palettes are applied, two-level images become 0 and 255, EXIF orientation is
    applied; further pages, and alpha that is not 0, are ignored with a note. The pixels of a large
    TIFF stay in the file, which is open as long as they are referenced; `np.asarray` reads all.

    Args:
        path: the file; it may end in the page and the channels, in brackets, such as
            `stack.tif[page=3]` or `rgbt.png[channels=4]`.
        max_pixels: refuse files that claim more pixels than this; None: no limit.
        page: the number, from 1, or the name of a page; empty: the one that the file gives first.
        channels: one or three channels: `"4"`, `"1-3"`, `"rgb"` or a name, such as `"alpha"`;
            empty: the color or gray image.

    Raises:
        FusionlabError: the file does not exist (code `missing-file`), is damaged or not an image
            (`unreadable`), is neither gray nor RGB (`unsupported-image`), claims more than
            `max_pixels` (`too-many-pixels`), or has no such page or channels (`no-page`,
            `no-channels`).
    """
    path, selection = selecting.split(path)
    if page or channels:
        selection = Selection(str(page) or selection.page, channels or selection.channels)
    content = _content(path, max_pixels, selection)
    if isinstance(content, LoadedImage):
        return content
    return decode_image(content, str(path), max_pixels, selection)


def read_sources(
    path: str | Path,
    pages: str | None = "all",
    channels: str | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> list[LoadedImage]:
    """Read all images of a file, such as the slices of a stack or the frames of an animation.

        fusion(fusionlab.read_sources("stack.tif"))
        fusion(fusionlab.read_sources("rgbt.png", channels="rgb,4"))

    Args:
        path: the file.
        pages: `"all"`, or numbers from 1, ranges and names, separated by commas: `"1,3-5"`; None:
            the one that the file gives first.
        channels: the sources in each page, separated by commas, each one channel or three:
            `"rgb,4"`, `"1-3,4"`; `"all"`: each channel is a source; None: the color or gray image.
        max_pixels: as `read_image`.

    Returns:
        The images, page by page.

    Raises:
        FusionlabError: as `read_image`; or the text of a selection is wrong (`bad-selection`).
    """
    paths = selected_paths(path, pages, channels, max_pixels)
    return [read_image(source, max_pixels) for source in paths]


def selected_paths(
    path: str | Path,
    pages: str | None,
    channels: str | None,
    max_pixels: int | None = MAX_PIXELS,
) -> list[Path]:
    """Return the path of each source that is selected of a file; see `read_sources`.

    Raises:
        FusionlabError: as `read_sources`.
    """
    contents: Sequence[Page] = ()
    file, own = selecting.split(path)
    if (pages is not None and own.page) or (channels is not None and own.channels):
        raise FusionlabError(
            f"{path} selects a source of {file} already; give it without the brackets",
            code="bad-selection",
        )
    if selecting.needs_contents(pages, channels):
        contents = read_contents(file, max_pixels).pages
    found = selecting.selections(own.page or pages, own.channels or channels, contents, str(file))
    return [selecting.joined(file, selection) for selection in found]


def read_contents(path: Path, max_pixels: int | None = MAX_PIXELS) -> Contents:
    """Open a file: which pages it holds, and their pixels on request.

    Raises:
        FusionlabError: as `read_image`.
    """
    content = _content(path, None, None)
    assert isinstance(content, bytes)
    return _open(content, str(path), size_check(str(path), max_pixels, len(content)))


def further_sources(path: Path, max_pixels: int | None = MAX_PIXELS) -> list[str]:
    """Return what else in the file of a source may be one: as `LoadedImage.further`, but without
    decoding pixels.

    Raises:
        FusionlabError: as `read_image`.
    """
    file, selection = selecting.split(path)
    contents = read_contents(file, max_pixels)
    number = selecting.page_number(selection, contents.pages, contents.default, str(file))
    channels = [] if selection.channels else _further_channels(contents.pages[number].channels)
    pages = _further_pages(contents.pages, contents.default, selection)
    return [*contents.further, *channels, *pages]


def single_source_error(name: str, selection: Selection, further: Sequence[str]) -> FusionlabError:
    """Return the error that one source is too few, with what would give a second one.

    Args:
        name: of the source.
        selection: which page and channels it is.
        further: what else its file holds, see `further_sources`.
    """
    held = "give a second source" if str(selection) else "it holds one image; give a second source"
    return FusionlabError(
        f"a fusion needs at least two sources, got 1, {name}: {'; '.join(further) or held}",
        code="number-of-sources",
    )


def _content(
    path: Path, max_pixels: int | None, selection: Selection | None
) -> bytes | LoadedImage:
    """Return the content of a file, or the image if it is large and selected to be read by rows."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode):
            raise _unreadable(path, "expected an image file, got a device")
        if stat.S_ISREG(mode) and not has_image_suffix(path):
            _refuse_video(path)  # before it is read as a whole
        if (
            selection is not None
            and stat.S_ISREG(mode)
            and (image := _open_large(path, max_pixels, selection))
        ):
            return image
        return path.read_bytes()
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist", code="missing-file", path=path) from None
    except IsADirectoryError:
        raise _unreadable(
            path, "expected an image file, got a folder; give folders only, or files only"
        ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _refuse_video(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(first_bytes())
    if not readers_of(start, path.suffix) and sequence_readers_of(start, path.suffix):
        raise _undecodable(str(path), _guess_kind(start, path.name))


def decode_image(
    content: bytes,
    name: str,
    max_pixels: int | None = MAX_PIXELS,
    selection: Selection = EVERYTHING,
) -> LoadedImage:
    """Decode the content of an image file.

    Args:
        content: of the file.
        name: of the file, for errors and notes.
        max_pixels: as `read_image`.
        selection: which of its images.

    Raises:
        FusionlabError: as `read_image`.
    """
    contents = _open(content, name, size_check(name, max_pixels, len(content)))
    number = selecting.page_number(selection, contents.pages, contents.default, name)
    with errors_of_reader(name, content):
        page = contents.pages[number]
        if max_pixels is not None and len(page.channels) > MOST_COLORS:  # bands of a scene
            claims = f"{name} claims {page.size} pixels of {len(page.channels)} channels"
            planes = page.width * page.height * len(page.channels)
            _check_bytes(claims, planes // MOST_COLORS, len(content))
        decoded = contents.decode(number)
        image = loaded_image(decoded, page.channels, name, selection, contents.further)
        further = _further_pages(contents.pages, contents.default, selection)
    notes = tuple(f"{image.name}: {note}" for note in further)
    return replace(
        image,
        sha256=sha256_of_bytes(content),
        notes=(*image.notes, *notes),
        further=(*image.further, *further),
    )


def loaded_image(
    decoded: Decoded,
    channels: Sequence[str],
    name: str,
    selection: Selection = EVERYTHING,
    further: Sequence[str] = (),
) -> LoadedImage:
    """Return the image of a page of a file that has been decoded.

    Args:
        decoded: the page.
        channels: the names of its channels.
        name: of the file.
        selection: which of its images.
        further: what else the file holds, see `Contents.further`.

    Raises:
        FusionlabError: it has no such channels (code `no-channels`), or none of them is known to
            be an image (`unsupported-image`).
        UnsupportedImage: it is not a gray or RGB image.
    """
    hints: list[str] = []
    if selection.channels:
        wanted = selecting.channel_numbers(selection.channels, channels, name)
        decoded = decoded.with_channels(wanted)
    else:
        decoded, hints = _default_image(decoded, channels, name)
    decoded = decoded.normalized()
    name = f"{name}[{selection}]" if str(selection) else name
    hints = [*further, *hints]
    return LoadedImage(
        name,
        decoded.pixels,
        "",
        tuple(f"{name}: {note}" for note in (*decoded.notes, *hints)),
        _fewer_bits(decoded),
        decoded.unit,
        decoded.window,
        selection,
        decoded.valid,
        metadata=decoded.metadata,
        further=tuple(hints),
    )


def _open(content: bytes, name: str, check_size: SizeCheck) -> Contents:
    """Return what a file holds.

    Raises:
        FusionlabError: as `read_image`.
    """
    readers = readers_of(content, Path(name).suffix)
    if not readers:
        raise _undecodable(name, _guess_kind(content, name))
    with errors_of_reader(name, content):
        return _opened(content, name, readers, check_size)


def _opened(
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
            if not (isinstance(contents, Contents) and 0 <= contents.default < len(contents.pages)):
                raise TypeError(f"its reader {reader.name} did not return the pages of a file")
            return contents
    raise ValueError(f"it is in a kind of {readers[0].name} that is not read")


def _open_large(path: Path, max_pixels: int | None, selection: Selection) -> LoadedImage | None:
    """Open a file whose pixels can be read by rows; None if it must be decoded as a whole."""
    if selection.channels or not (selection.page or "1").isdecimal():
        return None
    name = str(path)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        start = file.read(first_bytes())
        readers = readers_of(start, path.suffix)
        if not readers or readers[0].target != TIFF:
            return None
        from fusionlab.imaging.formats import tiff

        number = int(selection.page or "1") - 1
        with errors_of_reader(name, start):
            size = path.stat().st_size
            opened = tiff.open_large(file, name, size_check(name, max_pixels, size), number)
        if opened is None:
            return None
        digest = sha256_of_file(file)
        stack.pop_all()  # the rows close it
    name = str(selecting.joined(path, selection))
    further = _further_pages(opened.pages, 0, selection)
    return LoadedImage(
        name,
        opened.rows,
        digest,
        tuple(f"{name}: {note}" for note in further),
        selection=selection,
        valid=opened.valid,
        metadata=opened.metadata,
        further=tuple(further),
    )


def size_check(name: str, max_pixels: int | None, size: int) -> SizeCheck:
    """Return the check of what the header of a file of `size` bytes claims."""

    def check_size(width: int, height: int) -> None:
        width, height = operator.index(width), operator.index(height)  # readers return anything
        if max_pixels is None:
            return
        claims = f"{name} claims {width}x{height} pixels"
        if width * height > max_pixels:
            raise _too_many(
                f"{claims}, more than the limit of {max_pixels}; if that is correct, raise the "
                "limit"
            )
        _check_bytes(claims, width * height, size)

    return check_size


def _check_bytes(claims: str, pixels: int, size: int) -> None:
    """Refuse an image of more pixels than `size` bytes hold, unless it is of one color."""
    if pixels > max(FREE_PIXELS, PIXELS_PER_BYTE * size):
        raise _too_many(
            f"{claims} in {size} bytes, so few as only an image of one color takes; if it is one, "
            "lift the limit"
        )


def _too_many(message: str) -> FusionlabError:
    return FusionlabError(message, code="too-many-pixels", option="max_pixels")


@contextmanager
def errors_of_reader(name: str, content: bytes) -> Iterator[None]:
    """Turn the exceptions of a reader into an error that names the file.

    Args:
        name: of the file.
        content: of the file, or its first bytes, see `recognizing.first_bytes`.
    """
    try:
        with memory_errors(f"to read {name}", path=Path(name)):
            yield
    except (FusionlabError, KeyboardInterrupt, Terminated):
        raise
    except UnsupportedImage as error:
        raise FusionlabError(
            f"{name} must be a gray or RGB image, got {one_line(error)}; convert it to one first",
            code="unsupported-image",
        ) from error
    except BaseException as error:  # decoders may raise anything at damaged files
        reader = image_format(content, Path(name).suffix).name
        reason = one_line(error) if isinstance(error, Exception) else in_one_line(error)
        raise _undecodable(name, reason, reader) from error


def _fewer_bits(decoded: Decoded) -> int | None:
    """Return the bits of a sample where the whole range of the dtype is not meant."""
    dtype = decoded.pixels.dtype
    fewer = decoded.bits is not None and 1 < decoded.bits < 8 * dtype.itemsize
    return decoded.bits if fewer and dtype.kind == "u" else None


def _further_pages(pages: Sequence[Page], default: int, selection: Selection) -> list[str]:
    """Return a note about the pages that are not used, if there are any."""
    own = pages[default]
    pages = [page for page in pages if not page.variant]
    if len(pages) < 2 or selection.page:
        return []
    used = "the first" if own is pages[0] else f"the page {own.name}"
    held = f"it holds {selecting.described(pages)}, of which {used} is used"
    return [f"{held}; pages=all takes all of them as sources"]


def _image_in_alpha(decoded: Decoded) -> list[str]:
    """Return a note if the alpha of an image looks like another image, such as a thermal one."""
    if decoded.pixels.shape[2:] != (4,):
        return []
    alpha = decoded.pixels[::4, :, 3].astype(np.float32)
    dtype = decoded.pixels.dtype
    alpha /= 1 if dtype.kind == "f" else np.iinfo(dtype).max
    soft = np.mean((alpha > 0) & (alpha < 1)) > IMAGE_IN_ALPHA and len(np.unique(alpha)) > SHADES
    if not soft or np.abs(np.diff(alpha, axis=1)).mean() > SMOOTH:  # noise
        return []
    return [
        "its fourth channel looks like an image; channels=rgb,4 takes it as a source of its own"
    ]


def _default_image(
    decoded: Decoded, channels: Sequence[str], name: str
) -> tuple[Decoded, list[str]]:
    """Return the color or gray image of a page, with its alpha, and notes about other channels.

    Raises:
        FusionlabError: none of its channels is known to be one.
    """
    if decoded.pixels.ndim < 3:
        return decoded, []
    colors = 3 if selecting.is_color(channels) else 1
    if colors == 1 and channels[0] != "gray":
        raise FusionlabError(
            f"{name} holds {selecting.listed(channels)}, none of which is known to be the image; "
            "choose one or three of them for each source, such as channels=1-3,4",
            code="unsupported-image",
            option="channels",
        )
    if further := _further_channels(channels):
        return decoded.with_channels(tuple(range(colors))), further
    return decoded, _image_in_alpha(decoded)


def _further_channels(channels: Sequence[str]) -> list[str]:
    """Return a note about the channels that are not used, if there are any but alpha."""
    colors = 3 if selecting.is_color(channels) else 1
    if tuple(channels[colors:]) in ((), ("alpha",)):
        return []
    note = (
        f"it holds {selecting.listed(channels)}, of which "
        f"{'the color' if colors == 3 else 'the first'} is used; "
        f"channels={'rgb,4' if colors == 3 else '1,2'} takes others as sources, too"
    )
    return [note]


def _guess_kind(content: bytes, name: str) -> str:
    """Return what a file is instead of an image that is read."""
    if not content:
        return "it is empty"
    found = image_format(content, Path(name).suffix)
    if found.name:
        return f"it is {found.refusal}"
    if videos := sequence_readers_of(content, Path(name).suffix):
        return f"it is a {videos[0].name} video, whose frames are a sequence and not one image"
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
