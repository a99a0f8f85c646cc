"""Fuse the frames of a sequence in their order: one by one, at the same time, or in batches.

A frame that depends on the one before waits for it; its tiles are computed at the same time. Others
are fused at the same time on a CPU, or in batches, which small frames need to fill a GPU. There the
number of images in a batch may decide about its rounding; so batches are of one size, and hold the
same frames in every run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from fusionlab.errors import FusionlabError
from fusionlab.imaging.depth import Depth
from fusionlab.plugins.failures import translated
from fusionlab.runs.destination import Destination
from fusionlab.runs.file_fusion import FileFusion, Product
from fusionlab.runs.folder_run import MAX_TOGETHER
from fusionlab.sequences.contract import FrameSet
from fusionlab.sequences.outcome import SecondsSpent
from fusionlab.sequences.writing.background import BackgroundWriter

if TYPE_CHECKING:
    from fusionlab.temporal import TemporalConsistency

AHEAD = 3
"""So many frames are decoded ahead, and as many may wait to be written."""

Result = Product | FusionlabError
"""A fused frame, or why there is none."""


@dataclass(frozen=True)
class Read:
    """A set of frames, and when it was decoded."""

    frames: FrameSet
    time: float


@dataclass
class FrameFuser:
    """Fuses the frames of a sequence.

    Args:
        file_fusion: fuses each frame.
        temporal: what carries over from frame to frame; None: nothing does.
        destination: the files that a frame is for.
        segment: at every so many frames, counted from 0, a batch begins.
        batch: how many frames are fused in one batch, where none depends on another.
        spent: is told how long fusing takes.
    """

    file_fusion: FileFusion
    temporal: TemporalConsistency | None
    destination: Callable[[FrameSet], Destination]
    segment: int
    batch: int
    spent: SecondsSpent
    ahead: int = field(default=AHEAD, init=False)
    """How many frames are best decoded ahead."""

    def fused(
        self, reads: Iterator[Read], writer: BackgroundWriter
    ) -> Iterator[tuple[Read, Result]]:
        """Fuse frames, and yield them in their order.

        Args:
            reads: the frames.
            writer: takes what is yielded; knows the depth, which the first frame decides.
        """
        running: deque[tuple[list[Read], Future[list[Result]]]] = deque()
        with ThreadPoolExecutor(MAX_TOGETHER, "fuse") as threads:  # they start as needed
            try:
                for group in self._grouped(reads):
                    together = self._together(group)
                    self.ahead = max(self.ahead, 2 * max(together, len(group)))
                    writer.waiting = max(writer.waiting, self.ahead)
                    while running and (together == 1 or len(running) >= together):
                        yield from _results(*running.popleft())
                    depth = writer.depth = self._depth(group, writer.depth)
                    if together > 1:
                        running.append((group, threads.submit(self._fuse_at_once, group, depth)))
                    else:
                        yield from zip(group, self._fuse_group(group, depth), strict=True)
                while running:
                    yield from _results(*running.popleft())
            finally:
                for _, future in running:
                    future.cancel()

    def _grouped(self, reads: Iterator[Read]) -> Iterator[list[Read]]:
        """Yield frames that are fused in one batch, and single ones where none are."""
        group: list[Read] = []
        for read in reads:
            if group and self._place(group[0]) != self._place(read):
                yield group
                group = []
            group.append(read)
            if self.batch == 1 or not self._independent():
                yield group
                group = []
        if group:
            yield group

    def _place(self, read: Read) -> tuple[int, int]:
        """Return the batch that a frame belongs to."""
        segment, place = divmod(read.frames.number, self.segment)
        return segment, place // self.batch

    def _independent(self) -> bool:
        """Return whether the frames from here on may be fused in any order."""
        return self.temporal is None or self.temporal.independent(self.file_fusion.fusion)

    def _together(self, group: Sequence[Read]) -> int:
        """Return how many groups like this one are best fused at the same time."""
        if len(group) > 1 or group[0].frames.problem is not None or not self._independent():
            return 1
        try:
            with translated("planning its fusion", "planning-failed"):
                return min(MAX_TOGETHER, self.file_fusion.together(group[0].frames.images))
        except FusionlabError:  # raised again when the frame is fused
            return 1

    def _depth(self, group: Sequence[Read], known: Depth | None) -> Depth | None:
        """Return the depth of all frames, which the first one that can be read decides."""
        images = next((read.frames.images for read in group if read.frames.images), None)
        if known is not None or images is None:
            return known
        return self.file_fusion.depth_for(images)

    def _fuse_at_once(self, group: Sequence[Read], depth: Depth | None) -> list[Result]:
        with self.file_fusion.fusion.one_of_several():
            return self._fuse_group(group, depth)

    def _fuse_group(self, group: Sequence[Read], depth: Depth | None) -> list[Result]:
        """Fuse a group in one batch; one by one where that is not possible."""
        started = perf_counter()
        results: dict[int, Result] = {}
        if len(group) > 1:
            results = self._fuse_batch([r.frames for r in group if r.frames.images], depth)
        for read in group:
            number = read.frames.number
            if number not in results:
                results[number] = self._fuse(read.frames, depth)
        self.spent.add("fuse", perf_counter() - started)
        return [results[read.frames.number] for read in group]

    def _fuse_batch(self, frames: Sequence[FrameSet], depth: Depth | None) -> dict[int, Result]:
        """Fuse frames in one batch, by their numbers; none if one of them does not suit."""
        try:
            with translated("fusing", "fusion-failed"):
                if not all(
                    self.file_fusion.fit_together(frames[0].images, other.images)
                    for other in frames[1:]
                ):
                    return {}
                filled = [*frames, *[frames[-1]] * (self.batch - len(frames))]
                products = self.file_fusion.fuse_batch(
                    [each.images for each in filled],
                    [self.destination(each) for each in filled],
                    depth=depth,
                    temporal=self.temporal,
                )
        except FusionlabError:  # raised again for the frame that causes it
            return {}
        return {each.number: product for each, product in zip(frames, products, strict=False)}

    def _fuse(self, frames: FrameSet, depth: Depth | None) -> Result:
        if frames.problem is not None:
            return frames.problem
        try:
            with translated("fusing", "fusion-failed"):
                return self.file_fusion.fuse(
                    frames.images,
                    self.destination(frames),
                    depth=depth,
                    temporal=self.temporal,
                )
        except FusionlabError as error:
            return error


def _results(group: Sequence[Read], future: Future[list[Result]]) -> Iterator[tuple[Read, Result]]:
    """Yield the frames of a group once they are fused."""
    yield from zip(group, future.result(), strict=True)
