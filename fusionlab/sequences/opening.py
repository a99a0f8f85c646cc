"""Open a sequence: a video, a folder of images, or the pages of a file."""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from fusionlab.errors import FusionlabError, Terminated, in_one_line, one_line
from fusionlab.imaging import selecting
from fusionlab.imaging.reading import MAX_PIXELS, size_check
from fusionlab.imaging.recognizing import (
    any_format,
    first_bytes,
    image_format,
    sequence_readers_of,
)
from fusionlab.imaging.selecting import Selection
from fusionlab.plugins.failures import memory_errors
from fusionlab.plugins.offers import SequenceReaderRef
from fusionlab.sequences.contract import Frame, FrameSequence


def open_sequence(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> FrameSequence:
    """Open a video, a folder of images or a file of several pages as a sequence of frames.

        for frame in fusionlab.open_sequence("ir.mkv").frames():
            frame.time, frame.image.pixels

    The images of a folder are taken in the order of their names, in which 2 comes before 10, and
    the pages of a file, such as a TIFF or a GIF, in their order; neither states times. A video is
    recognized by its content, whatever its name.

    Args:
        path: of the file or folder, or a template of images, such as `flight/IR_{}.png`; that of
            images may end in the channels that are meant, such as `stack.tif[channels=4]`.
        max_pixels: refuse frames that claim more pixels than this; None: no limit.

    Raises:
        FusionlabError: there is no such file or folder (code `missing-file`), it is damaged or
            holds no frames (`unreadable`, `no-images`), its frames claim too many pixels
            (`too-many-pixels`), or what reads it is not installed (`missing-extra`).
    """
    from fusionlab.runs.pairing.templates import is_template  # not for `is_sequence_file`

    file, selection = selecting.split(path)
    try:
        if is_template(file) or file.is_dir():
            from fusionlab.sequences.formats.folder import Folder

            return _Checked(Folder(file, selection, max_pixels), file)
        if not stat.S_ISREG(file.stat().st_mode):
            raise _unreadable(file, "expected a video, a file of images or a folder of images")
        if readers := _readers(file):
            return _Checked(_open_video(file, selection, readers, max_pixels), file)
        return _Checked(_open_images(file, selection, max_pixels), file)
    except FileNotFoundError:
        raise FusionlabError(f"{file} does not exist", code="missing-file", path=file) from None
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error


def is_sequence_file(path: str | Path) -> bool:
    """Return whether a file is a video, by its content; False where it cannot be opened.

    A file of images with several pages is not one: it is an image, unless the user says otherwise.
    """
    file, _ = selecting.split(path)
    try:
        return stat.S_ISREG(file.stat().st_mode) and bool(_readers(file))
    except OSError:  # who reads it says what is wrong
        return False


def _readers(path: Path) -> list[SequenceReaderRef]:
    """Return the readers of sequences that may read a file, in the order of their priority.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return sequence_readers_of(file.read(first_bytes()), path.suffix)


def _open_video(
    path: Path, selection: Selection, readers: list[SequenceReaderRef], max_pixels: int | None
) -> FrameSequence:
    """Open a video with the first reader that does not decline."""
    if str(selection):
        raise FusionlabError(
            f"{path} is a video, of whose frames no page or channels can be selected; got "
            f"[{selection}]",
            code="bad-selection",
        )
    for reader in readers:
        try:
            open_video = reader.load()
        except ImportError as error:
            if not reader.requires:
                raise
            raise FusionlabError(
                f"cannot read {path}: it is a video in the format {reader.name}, which needs "
                f"{reader.requires}; install it: pip install '{reader.requires}'",
                code="missing-extra",
                path=path,
            ) from error
        check_size = size_check(str(path), max_pixels, path.stat().st_size)
        with _errors_of(path):
            sequence = open_video(path, check_size)
            if sequence is not None and not isinstance(sequence, FrameSequence):
                raise TypeError("its reader did not return a sequence of frames")
        if sequence is not None:
            return sequence
    raise _unreadable(path, f"it is in a kind of {readers[0].name} that is not read")


def _open_images(path: Path, selection: Selection, max_pixels: int | None) -> FrameSequence:
    """Open the pages of a file of images."""
    with path.open("rb") as file:
        start = file.read(first_bytes())
    if not image_format(start, path.suffix).name:
        what = "it is neither a video nor an image in a known format" if start else "it is empty"
        raise _unreadable(path, f"{what}; expected a video, or images in {any_format()}")
    from fusionlab.sequences.formats.stack import Stack

    return Stack(path, selection, max_pixels)


class _Checked(FrameSequence):
    """A sequence whose reader may raise anything, and return anything."""

    def __init__(self, sequence: FrameSequence, path: Path) -> None:
        super().__init__(
            sequence.name, sequence.count, sequence.rate, is_estimated=sequence.is_estimated
        )
        self._sequence, self._path = sequence, path
        self.notes = sequence.notes

    @cached_property
    def identity(self) -> str:
        """That of the sequence."""
        with _errors_of(self._path):
            return self._sequence.identity

    def frames(self, start: int = 0) -> Generator[Frame]:
        """Read the frames."""
        with _errors_of(self._path):
            frames = iter(self._sequence.frames(start))
        try:
            while True:
                with _errors_of(self._path):  # not around what is done with a frame
                    frame = next(frames, None)
                    if not isinstance(frame, Frame | None):
                        raise TypeError(f"its reader did not return a frame, but {frame!r:.40}")
                if frame is None:
                    return
                yield frame
        finally:
            if isinstance(frames, Generator):
                frames.close()


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn the exceptions of the reader of a file or folder into an error that names it."""
    try:
        with memory_errors(f"to read {path}", path=path):
            yield
    except (FusionlabError, KeyboardInterrupt, Terminated):
        raise
    except OSError as error:
        raise _unreadable(path, error.strerror or one_line(error)) from error
    except BaseException as error:  # decoders may raise anything at damaged files
        reason = one_line(error) if isinstance(error, Exception) else in_one_line(error)
        raise _unreadable(path, reason) from error


def _unreadable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot read {path}: {reason}", code="unreadable", path=path)
