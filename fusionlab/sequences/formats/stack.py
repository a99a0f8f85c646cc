"""The pages of a file of images as frames: of a TIFF one at a time, whatever its size."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.contents import PagesOnDemand
from fusionlab.imaging.formats import TIFF
from fusionlab.imaging.reading import errors_of_reader, loaded_image, read_contents, size_check
from fusionlab.imaging.recognizing import first_bytes, readers_of
from fusionlab.imaging.selecting import Selection, joined
from fusionlab.sequences.contract import Frame, FrameSequence
from fusionlab.storage.hashing import sha256_of_file


class Stack(FrameSequence):
    """The pages of a file; they state no times.

    Of a TIFF, reduced versions of pages are left out, and one page is in memory at a time. The
    content of another file, such as a GIF, is read as a whole.

    Args:
        path: of a file of images, of one page or more.
        selection: which channels of each page.
        max_pixels: refuse pages that claim more pixels; None: no limit.

    Raises:
        FusionlabError: the file is damaged or not of images (code `unreadable`), claims too many
            pixels, or a page is selected, all of which are frames (`bad-selection`).
    """

    def __init__(self, path: Path, selection: Selection, max_pixels: int | None) -> None:
        if selection.page:
            raise FusionlabError(
                f"the pages of {path} are the frames of a sequence, so that none of them can be "
                f"selected; got page={selection.page}",
                code="bad-selection",
            )
        self._path, self._selection, self._max_pixels = path, selection, max_pixels
        with path.open("rb") as file:
            self._start = file.read(first_bytes())
        readers = readers_of(self._start, path.suffix)
        self._is_tiff = bool(readers) and readers[0].target == TIFF
        with self._opened() as pages:
            super().__init__(str(joined(path, selection)), pages.count, None)

    @property
    def identity(self) -> str:
        """The hash of the file, with what is selected of its pages.

        Raises:
            OSError: the file cannot be read.
        """
        return f"{sha256_of_file(self._path)}[{self._selection}]"

    def frames(self, start: int = 0) -> Generator[Frame]:
        """Read the frames; a page that cannot be read is a damaged frame."""
        with self._opened() as pages:
            lost: list[Frame] = []
            for number in range(start, pages.count):
                frame = self._frame(pages, number)
                if isinstance(frame.image, FusionlabError):
                    lost.append(frame)
                else:
                    yield from lost
                    lost.clear()
                    yield frame
            if not pages.is_truncated:
                yield from lost
                return
            count = pages.count - len(lost)  # what is lost at a cut is no frame
            note = f"{self.name}: it is cut off, and ends after {count} frames"
            if note not in self.notes:
                self.notes.append(note)

    def _frame(self, pages: PagesOnDemand, number: int) -> Frame:
        name = str(self._path)
        try:
            with errors_of_reader(name, self._start):
                return Frame(loaded_image(*pages.decode(number), name, self._selection))
        except FusionlabError as error:
            return Frame(error)

    @contextmanager
    def _opened(self) -> Iterator[PagesOnDemand]:
        if not self._is_tiff:
            contents = read_contents(self._path, self._max_pixels)
            shown = [number for number, page in enumerate(contents.pages) if not page.variant]
            yield PagesOnDemand(
                len(shown),
                lambda number: (
                    contents.decode(shown[number]),
                    contents.pages[shown[number]].channels,
                ),
            )
            return
        from fusionlab.imaging.formats import tiff

        name = str(self._path)
        check_size = size_check(name, self._max_pixels, self._path.stat().st_size)
        with self._path.open("rb") as file:
            with errors_of_reader(name, self._start):
                pages = tiff.open_on_demand(file, check_size)
            yield pages
