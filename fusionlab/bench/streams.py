"""Measure a stream of frames: how many a second, and how long one takes.

The frames are uncompressed TIFF files in memory, and so are the results: decoding, fusing and
encoding are those of a sequence, and neither disks nor codecs count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import tifffile

from fusionlab.bench.cases import Case
from fusionlab.errors import FusionlabError
from fusionlab.fusion import Fusion
from fusionlab.imaging.reading import LoadedImage, decode_image
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.destination import Destination
from fusionlab.runs.file_fusion import FileFusion, Product
from fusionlab.sequences.contract import FrameSet, FrameSets
from fusionlab.sequences.run import SequenceRun
from fusionlab.sequences.writing.output import (
    Layout,
    MadeBy,
    SegmentContent,
    SegmentWriter,
    SequenceOutput,
)

DIFFERENT = 8
"""So many different frames are fused, again and again."""


@dataclass(frozen=True)
class StreamTimings:
    """The figures of a stream."""

    frames: int
    per_second: float
    """Frames a second where they are decoded, fused and encoded at the same time, as those of a
    sequence that is there."""
    latencies: tuple[float, ...]
    """Seconds of each frame from its files to the file of the result, where one follows the other,
    as those of a camera that is slower than the fusion."""

    @property
    def latency(self) -> float:
        """The median latency in seconds."""
        return float(np.median(self.latencies))

    @property
    def slow_latency(self) -> float:
        """The latency in seconds that 95 % do not exceed."""
        return float(np.percentile(self.latencies, 95))


def time_stream(fusion: Fusion, case: Case, plugins: Plugins, count: int) -> StreamTimings:
    """Fuse so many frames one after the other, then as many as a sequence.

    Args:
        fusion: fuses them; it was called with such images before.
        case: says what they are like.
        plugins: who offers its parts.
        count: how many frames; at least 1.

    Raises:
        FusionlabError: a frame cannot be fused.
    """
    frames = MadeUpFrames(case, count)
    file_fusion = FileFusion(fusion, plugins, depth=8)
    destination = file_fusion.plan(Path("frame.tif"), [])
    latencies = []
    for number in range(count):
        started = perf_counter()
        _encode(file_fusion, file_fusion.fuse(frames.decoded(number), destination))
        latencies.append(perf_counter() - started)
    with TemporaryDirectory() as folder:  # for the journal
        run = SequenceRun(file_fusion, InMemory(Path(folder), file_fusion), segment_frames=count)
        started = perf_counter()
        for outcome in run.run(frames):
            if outcome.status == "failed":
                raise FusionlabError(outcome.problem, code="fusion-failed")
        seconds = perf_counter() - started
    return StreamTimings(count, count / seconds, tuple(latencies))


class MadeUpFrames(FrameSets):
    """Frames like the images of a case, which move.

    Args:
        case: what they are like.
        count: how many there are.
    """

    def __init__(self, case: Case, count: int) -> None:
        names = tuple(f"source{number}.tif" for number in range(1, case.sources + 1))
        super().__init__(names, count, Fraction(25))
        self._files = []
        for number in range(min(count, DIFFERENT)):
            moved = [np.roll(image, 8 * number, axis=1) for image in case.images()]
            self._files.append([_tiff(image) for image in moved])

    @property
    def identity(self) -> str:
        """Not used: no run is resumed."""
        return ""

    def decoded(self, number: int) -> list[LoadedImage]:
        """Decode the sources of a frame."""
        files = self._files[number % len(self._files)]
        return [decode_image(file, name) for file, name in zip(files, self.names, strict=True)]

    def sets(self, start: int = 0) -> Iterator[FrameSet]:
        """Decode the frames, one after the other."""
        for number in range(start, self.count or 0):
            yield FrameSet(number, str(number), self.decoded(number))


class InMemory(SequenceOutput):
    """Encodes each frame, and keeps none.

    Args:
        folder: for the journal of the run.
        file_fusion: encodes the frames.
    """

    def __init__(self, folder: Path, file_fusion: FileFusion) -> None:
        super().__init__(folder / "out", folder / "parts", folder / "journal", (8,))
        self._fusion = file_fusion

    @property
    def settings(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def destination(self, name: str, sources: Sequence[LoadedImage]) -> Destination:  # noqa: ARG002  # of the contract
        """Return the file that a frame would be written to."""
        return self._fusion.plan(Path(f"{name}.tif"), [])

    def check(self, sources: Sequence[Path], *, overwrite: bool, record: bool) -> None:
        """Check nothing: no file is written."""

    def segment(self, number: int, layout: Layout) -> SegmentWriter:  # noqa: ARG002  # of the contract
        """Return what encodes the frames."""
        return _Encoder(self._fusion)

    def join(
        self,
        contents: Sequence[SegmentContent],
        layout: Layout,
        record: bytes | None,
        made_by: MadeBy,
    ) -> None:
        """Make nothing of the frames."""


class _Encoder(SegmentWriter):
    """Encodes frames.

    Args:
        file_fusion: encodes them.
    """

    def __init__(self, file_fusion: FileFusion) -> None:
        self._fusion = file_fusion

    def add(self, number: int, time: Fraction | None, product: Product) -> None:  # noqa: ARG002  # of the contract
        _encode(self._fusion, product)

    def close(self) -> SegmentContent:
        return {"files": {}}

    def discard(self) -> None:
        pass


def _encode(file_fusion: FileFusion, product: Product) -> None:
    """Encode a frame as the TIFF file that it would be."""
    for content in file_fusion.encode(product).values():
        if not isinstance(content, bytes):
            content(BytesIO())


def _tiff(image: Any) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, image, photometric="minisblack" if image.ndim == 2 else "rgb")
    return file.getvalue()
