"""Which page and channels of a file are a source: `stack.tif[page=3]`, `rgbt.png[channels=4]`.

A file is one source unless it is said otherwise. A path may end in a selection, in brackets, and is
then one source of the file; `selected_paths` makes a list of pages or channels, as a user gives it,
into such paths:

    pages     all, or numbers from 1, ranges and names: 1,3-5 or photo
    channels  all, or sources separated by commas, each one channel or the three of a color
              image: rgb,4 or 1-3,4 or red
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.contents import CHANNELS, Page

ALL = "all"
RGB = "rgb"
"""Stands for the first three channels."""

_SELECTION = re.compile(r"(?P<path>.*)\[(?P<selection>(?:page|channels)=[^\[\]]*)\]", re.DOTALL)
_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Selection:
    """One source of a file."""

    page: str = ""
    """Number, from 1, or name of a page; empty: the one that the file gives by default."""
    channels: str = ""
    """`rgb`, `1-3`, `4` or a name; empty: the color or gray image of the page."""

    def __str__(self) -> str:
        parts = {"page": self.page, "channels": self.channels}
        return ",".join(f"{key}={value}" for key, value in parts.items() if value)


EVERYTHING = Selection()


def split(path: str | Path) -> tuple[Path, Selection]:
    """Return the path of a file, folder or template, and the selection that it ends in.

    Raises:
        FusionlabError: the brackets hold something else (code `bad-selection`).
    """
    text = str(path)
    match = _SELECTION.fullmatch(text)
    if match is None:
        return (path if isinstance(path, Path) else Path(path)), EVERYTHING
    values: dict[str, str] = {}
    for part in match["selection"].split(","):
        key, _, value = part.partition("=")
        if key not in ("page", "channels") or key in values or not value:
            raise FusionlabError(
                f"a selection is written [page=2], [channels=1-3] or [page=2,channels=1-3]; got "
                f"[{match['selection']}]",
                code="bad-selection",
            )
        values[key] = value
    return Path(match["path"]), Selection(**values)


def file_of(path: str | Path) -> Path:
    """Return the path of a file without its selection."""
    return split(path)[0]


def joined(path: Path, selection: Selection) -> Path:
    """Return the path of one source of a file."""
    return Path(f"{path}[{selection}]") if str(selection) else path


def page_number(selection: Selection, pages: Sequence[Page], default: int, name: str) -> int:
    """Return the number, from 0, of the page that is selected.

    Raises:
        FusionlabError: there is no such page (code `no-page`).
    """
    if not selection.page:
        return default
    text, names = selection.page, [page.name for page in pages]
    if text in names:
        return names.index(text)
    if text.isdecimal() and 1 <= int(text) <= len(pages):
        return int(text) - 1
    raise FusionlabError(
        f"{name} holds {described(pages)}; there is no page {text}", code="no-page", option="pages"
    )


def channel_numbers(text: str, channels: Sequence[str], name: str) -> tuple[int, ...]:
    """Return the numbers, from 0, of the one or three channels that are selected.

    Raises:
        FusionlabError: there are no such channels, or another number of them (code `no-channels`).
    """
    lower = [channel.casefold() for channel in channels]
    if text.casefold() in lower:
        return (lower.index(text.casefold()),)
    if text.isdecimal():
        first, last = int(text), int(text)
    elif text.casefold() == RGB:
        first, last = 1, 3
    elif match := _RANGE.fullmatch(text):
        first, last = int(match[1]), int(match[2])
    else:
        raise _no_channels(f"there is no channel {text!r}", channels, name)
    if not 1 <= first <= last <= len(channels):
        raise _no_channels(f"there are no channels {text}", channels, name)
    if last - first not in (0, 2):
        count = last - first + 1
        raise _no_channels(
            f"{text} are {count} channels, and a source has one or three; separate them by commas",
            channels,
            name,
        )
    return tuple(range(first - 1, last))


def described(pages: Sequence[Page]) -> str:
    """Return what a file holds, as a sentence says it: `7 pages of 640x480`."""
    sizes = list(dict.fromkeys(page.size for page in pages))
    several = "" if len(sizes) < 2 else f" and {sizes[1]}{', ...' if len(sizes) > 2 else ''}"
    count = f"{len(pages)} pages" if len(pages) > 1 else "one page"
    named = [page.name for number, page in enumerate(pages, 1) if page.name != str(number)]
    names = f" ({', '.join(named[:4])}{', ...' if len(named) > 4 else ''})" if named else ""
    return f"{count}{names} of {sizes[0]}{several}"


def listed(channels: Sequence[str]) -> str:
    """Return the channels of a page, as a sentence says them: `4 channels (red, green, ...)`."""
    unnamed = list(channels) == [str(number) for number in range(1, len(channels) + 1)]
    count = f"{len(channels)} channels" if len(channels) > 1 else "one channel"
    return count if unnamed else f"{count} ({', '.join(channels)})"


def is_color(channels: Sequence[str]) -> bool:
    """Return whether channels begin with red, green and blue."""
    return tuple(channels[:3]) == CHANNELS[3]


def needs_contents(pages: str | None, channels: str | None) -> bool:
    """Return whether a file must be opened to know which sources these are."""
    return ALL in (pages, channels)


def selections(
    pages: str | None, channels: str | None, contents: Sequence[Page] = (), name: str = ""
) -> list[Selection]:
    """Return the sources of a file that a user selects, page by page.

    Args:
        pages: `all`, or numbers, ranges and names, separated by commas; None: the default one.
        channels: `all`, or one or three channels for each source, separated by commas; None: the
            color or gray image.
        contents: the pages of the file, where one of them is `all`.
        name: of the file, for errors.

    Raises:
        FusionlabError: there are no such pages (code `no-page`).
    """
    if pages == ALL:
        chosen = [
            _written(page, number) for number, page in enumerate(contents, 1) if not page.variant
        ]
        chosen = chosen if len(chosen) > 1 else [""]
    else:
        chosen = _items(pages, "pages")
    if channels != ALL:
        texts = _items(channels, "channels")
        return [Selection(page, text) for page in chosen for text in texts]
    found = []
    for page in chosen:
        number = page_number(Selection(page), contents, 0, name)
        count = len(contents[number].channels)
        found += [Selection(page, str(channel)) for channel in range(1, count + 1)]
    return found


def _written(page: Page, number: int) -> str:
    """Return the name of a page as a path can hold it, or else its number."""
    return str(number) if set(page.name) & set("/\\[],") else page.name


def _items(text: str | None, option: str) -> list[str]:
    """Return the parts of a list, with the pages of ranges one by one."""
    if text is None:
        return [""]
    parts: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if not part or part == ALL or set(part) & set("[]"):
            example = "all, 1,3-5" if option == "pages" else "all, rgb,4 or 1-3,4"
            raise FusionlabError(
                f"{option} must be {example} or names, got {text!r}",
                code="bad-selection",
                option=option,
            )
        match = _RANGE.fullmatch(part) if option == "pages" else None
        if match and int(match[1]) <= int(match[2]) < 10**6:
            parts += map(str, range(int(match[1]), int(match[2]) + 1))
        else:
            parts.append(part)
    return parts


def _no_channels(reason: str, channels: Sequence[str], name: str) -> FusionlabError:
    return FusionlabError(
        f"{name} holds {listed(channels)}; {reason}", code="no-channels", option="channels"
    )
