"""Open the file of a video to read it: as a file, and no other one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import av
from av.container import InputContainer

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import MAX_PIXELS
from fusionlab.sequences.formats import WITHIN, fusionlab_sequence_readers

BUFFER_BYTES = 2**20
"""Read at once."""


def kind_of(path: Path) -> str | None:
    """Return the name of the format of a video, a key of `DEMUXERS`; None: it is none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(WITHIN)
    refs = fusionlab_sequence_readers()
    return next((ref.name for ref in refs if ref.recognizes(start, path.suffix.lower())), None)


@contextmanager
def open_container(path: Path, demuxer: str) -> Iterator[InputContainer]:
    """Open a video, and close it after the block.

    Args:
        path: of the file.
        demuxer: of FFmpeg; it does not guess another one from the content, such as a playlist.

    Raises:
        OSError: the file cannot be opened.
        av.error.FFmpegError: it is damaged, or another kind of file.
    """
    with (
        path.open("rb") as file,
        av.open(
            file,
            "r",
            format=demuxer,
            container_options={"protocol_whitelist": "none"},
            options={"max_pixels": str(MAX_PIXELS)},
            metadata_errors="replace",
            buffer_size=BUFFER_BYTES,
            io_open=_refuse_other_files,
        ) as container,
    ):
        yield container


def _refuse_other_files(url: str, _flags: int, _options: object) -> NoReturn:
    raise FusionlabError(
        f"a video names another file, {url}, which is not opened", code="unreadable"
    )
