"""What an image file holds: its pages, and their pixels on request; what a reader returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fusionlab.imaging.decoding import Decoded


@dataclass(frozen=True)
class Page:
    """One image in a file: a page of a TIFF, a frame of an animation, one of several photos."""

    name: str
    """What the user calls it: `"1"` for the first page, `"z=3"`, `"photo"`."""
    width: int
    height: int
    channels: tuple[str, ...]
    """The names of its channels, such as `("gray",)` or `("red", "green", "blue", "alpha")`."""
    variant: bool = False
    """Whether it shows what another page shows, such as counts beside temperatures: a variant is
    taken only by its name, and counts neither as a further page nor among `all`."""

    @property
    def size(self) -> str:
        """Width and height, as messages say them: `640x480`."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Contents:
    """The pages of a file, found without decoding their pixels.

    A reader is a function that returns these:

        def open_mine(content: bytes, check_size: SizeCheck) -> Contents

    It calls `check_size(width, height)` of a page before it allocates pixels, and may raise
    anything at a damaged file; `UnsupportedImage` says what the image is instead of gray or RGB,
    and a `FusionlabError` reaches the user as it is.
    """

    pages: Sequence[Page]
    decode: Callable[[int], Decoded]
    """Number of a page, from 0 -> its pixels; may raise what a reader may raise."""
    default: int = 0
    """The number of the page that is meant when the user does not choose."""
    further: tuple[str, ...] = ()
    """What else the file holds that may be a source, and what reads it; sentences that continue
    the name of the file and a colon."""


@dataclass(frozen=True)
class PagesOnDemand:
    """The pages of a file that are found one at a time, because there may be very many."""

    count: int
    decode: Callable[[int], tuple[Decoded, Sequence[str]]]
    """Number of a page, from 0 -> its pixels, and the names of its channels; may raise what a
    reader may raise."""
    is_truncated: bool = False
    """Whether the file ends where a further page should begin."""


CHANNELS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
"""Number of channels -> what they usually are."""


def channel_names(count: int) -> tuple[str, ...]:
    """Return names for channels of which only the number is known."""
    return CHANNELS.get(count) or tuple(str(number) for number in range(1, count + 1))


def numbered(count: int, width: int, height: int, channels: tuple[str, ...]) -> tuple[Page, ...]:
    """Return pages of one size, called by their numbers, from 1."""
    return tuple(Page(str(number), width, height, channels) for number in range(1, count + 1))
