"""The contract of what writes the frames of a result: a segment after the other, joined at the end.

segment = output.segment(0, layout);  segment.add(...), ...;  segment.close() -> its content
output.join(contents, layout)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.depth import DTYPES, Depth, depth_of_array
from fusionlab.storage.hashing import sha256_of_file

if TYPE_CHECKING:
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.imaging.rows import Rows
    from fusionlab.runs.destination import Destination
    from fusionlab.runs.file_fusion import Product

SegmentContent = Mapping[str, Any]
"""What the journal keeps of a closed segment, a JSON object: the hash of each of its files, and
what `SequenceOutput.join` needs."""


@dataclass(frozen=True)
class Layout:
    """What all frames of a result have in common; the first one decides it."""

    height: int
    width: int
    channels: int
    """1 for gray, 3 for color."""
    depth: Depth
    """Bits per sample; 32 is float32 in 0..1."""

    @classmethod
    def of(cls, image: Rows) -> Self:
        """Return the layout of an image `(H, W)` or `(H, W, 3)`."""
        height, width = image.shape[:2]
        return cls(height, width, 1 if image.ndim == 2 else 3, depth_of_array(image.dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a frame."""
        return np.dtype(DTYPES[self.depth])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame, `(H, W)` or `(H, W, 3)`."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, 3)

    def as_json(self) -> dict[str, int]:
        """Return the layout as a JSON object."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: Mapping[str, int]) -> Self:
        """Return the layout of a JSON object."""
        return cls(**cast("Any", value))

    def fitted(self, image: Rows, name: str) -> NDArray[Any]:
        """Return a frame in this layout: gray becomes three equal channels where it is color.

        Args:
            image: the frame.
            name: of the frame, for the error.

        Raises:
            FusionlabError: its size differs, or it is in color where the others are gray (code
                `other-layout`).
        """
        pixels = np.asarray(image)
        if pixels.ndim == 2 and self.channels == 3:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise FusionlabError(
                f"frame {name} has {_described(Layout.of(pixels))} where the first one has "
                f"{_described(self)}; all frames of a result have one size, depth and number of "
                "channels",
                code="other-layout",
            )
        return pixels


def _described(layout: Layout) -> str:
    kind = "gray" if layout.channels == 1 else "in color"
    return f"{layout.width}x{layout.height} pixels {kind}, {layout.depth} bits each"


@dataclass(frozen=True)
class MadeBy:
    """Which run has made a result: a text in its file, by which a finished run is recognized."""

    key: str
    """A hash of everything that decides the result."""
    fused: int
    """How many frames it holds."""
    failed: int
    """How many frames it lacks."""

    def __str__(self) -> str:
        return f"fusionlab sequence {self.key} {self.fused} {self.failed}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what a text says; None: something else."""
        match = re.fullmatch(r"fusionlab sequence ([0-9a-f]{64}) (\d{1,15}) (\d{1,15})", text)
        return match and cls(match[1], int(match[2]), int(match[3]))


class SegmentWriter(ABC):
    """Writes the frames of one segment, in their order."""

    @abstractmethod
    def add(self, number: int, time: Fraction | None, product: Product) -> None:
        """Write a frame.

        Args:
            number: of the frame in the result.
            time: seconds since the first frame; None: unknown.
            product: the frame, in the layout of the result.

        Raises:
            FusionlabError: it cannot be written.
        """

    @abstractmethod
    def close(self) -> SegmentContent:
        """Complete the segment; what it holds is on the disk when this returns.

        Raises:
            FusionlabError: it cannot be written.
        """

    @abstractmethod
    def discard(self) -> None:
        """End without completing the segment."""


class SequenceOutput(ABC):
    """What the frames of a result are written as, and where.

    Args:
        path: the file or folder of the result.
        parts: the folder of the segments and of the states after them, removed at the end.
        journal: the file that lists the closed segments.
        depths: bits per sample that a frame may have.
    """

    def __init__(self, path: Path, parts: Path, journal: Path, depths: Sequence[Depth]) -> None:
        self.path = path
        self.parts = parts
        self.journal = journal
        self.depths = tuple(depths)

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What decides the bytes of the result besides the frames: a JSON object."""

    @property
    def folders(self) -> Sequence[Path]:
        """The folders that a run locks: those that it writes into."""
        return [self.parts]

    @abstractmethod
    def destination(self, name: str, sources: Sequence[LoadedImage]) -> Destination:
        """Return the files that a frame is fused into, of which the format limits the depth.

        Raises:
            FusionlabError: a frame cannot have this name.
        """

    @abstractmethod
    def check(self, sources: Sequence[Path], *, overwrite: bool, record: bool) -> None:
        """Check before any work that the result can be written.

        Args:
            sources: the files and folders that the frames come from.
            overwrite: whether files may exist already.
            record: whether a record is written beside the result.

        Raises:
            FusionlabError: the result exists (code `exists`), is a source (`output-is-source`), or
                cannot be written (`unwritable`).
        """

    def know(self, files: Mapping[str, str]) -> None:  # noqa: B027  # most have none
        """Learn which files an interrupted run has written: name -> hash. They may be replaced."""

    def notes(self, layout: Layout) -> list[str]:  # noqa: ARG002  # of those that have some
        """Return what the user should know about the result, sentences that begin with its name."""
        return []

    def remove_partial(self) -> None:  # noqa: B027  # where the folder of the result is not locked
        """Remove what a run that was killed at its end has left of a result."""

    @abstractmethod
    def segment(self, number: int, layout: Layout) -> SegmentWriter:
        """Begin a segment, replacing what an interrupted run has left of it.

        Raises:
            FusionlabError: it cannot be written.
        """

    def is_intact(self, content: SegmentContent) -> bool:
        """Return whether a closed segment is still what was written."""
        return all(
            Path(name).name == name and _sha256_or_none(self.parts / name) == sha256
            for name, sha256 in content.get("files", {}).items()
        )

    def made_by(self) -> MadeBy | None:
        """Return which run has made the result that is there, where it is a file that says so."""
        return None

    @abstractmethod
    def join(
        self,
        contents: Sequence[SegmentContent],
        layout: Layout,
        record: bytes | None,
        made_by: MadeBy,
    ) -> None:
        """Make the result of its closed segments, at once.

        Args:
            contents: of the segments that hold frames, in their order.
            layout: of the frames.
            record: the content of the record beside the result; None: there is none.
            made_by: the run.

        Raises:
            FusionlabError: it cannot be written.
        """


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None
