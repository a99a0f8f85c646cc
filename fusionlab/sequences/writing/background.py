"""Write frames in a thread of its own, in their order, and close a segment after its last frame."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from fusionlab.errors import FusionlabError
from fusionlab.runs.file_fusion import Product
from fusionlab.sequences.contract import FrameSet
from fusionlab.sequences.outcome import FrameOutcome, SecondsSpent
from fusionlab.sequences.segments import Segment, SegmentJournal, State, encoded
from fusionlab.sequences.writing.output import Layout, SegmentWriter, SequenceOutput

if TYPE_CHECKING:
    from fusionlab.imaging.depth import Depth

WAITING = 3
"""So many frames may wait to be written, at least."""


class BackgroundWriter:
    """Writes the frames of a result.

    Args:
        output: where they go.
        journal: of the segments; the next frame is the one after the last closed segment.
        segment_frames: frames of a segment.
        state: returns what carries over to the frame after the one that was added last.
        spent: where the seconds of writing are added.
    """

    def __init__(
        self,
        output: SequenceOutput,
        journal: SegmentJournal,
        segment_frames: int,
        state: Callable[[], State],
        spent: SecondsSpent,
    ) -> None:
        self._output = output
        self._journal = journal
        self._segment_frames = segment_frames
        self._state = state
        self._spent = spent
        last = journal.segments[-1] if journal.segments else None
        self.next = last.stop if last else 0
        """The number of the next frame."""
        self.layout: Layout | None = last.layout if last else None
        """Of all frames; None: none has been fused yet."""
        self.depth: Depth | None = last.depth if last else None
        """Bits per sample of all frames; None: not decided yet."""
        self.waiting = WAITING
        """So many frames may wait to be written; who fuses several at once wants more."""
        self._is_open = False
        """Whether frames have come since a segment was closed."""
        self._failed: list[tuple[int, str]] = []
        self._thread = ThreadPoolExecutor(1, "write")
        self._jobs: deque[Future[FrameOutcome | None]] = deque()
        # what only the thread uses
        self._broken = False
        self._segment: SegmentWriter | None = None
        self._fused = 0
        self._colors: Counter[str] = Counter()

    def add(
        self, frames: FrameSet, result: Product | FusionlabError, decoded: float
    ) -> Iterator[FrameOutcome]:
        """Write a frame, or note why it failed; yield what has become of frames meanwhile.

        Args:
            frames: the sources.
            result: the frame, or why there is none.
            decoded: when the sources were decoded, by `perf_counter`.

        Raises:
            FusionlabError: an earlier frame could not be written.
        """
        if isinstance(result, Product):
            result = self._fitted(frames, result)
        if isinstance(result, FusionlabError):
            yield from self.drained()  # keep the order of the frames
            problem = f"{frames.name}: {result}"
            self._failed.append((frames.number, problem))
            yield FrameOutcome(frames.number, frames.name, "failed", problem, result.option)
        else:
            assert self.layout is not None  # of the frame, at least
            self._submit(partial(self._write, frames, result, self.layout, decoded))
        self.next, self._is_open = frames.number + 1, True
        if self.next % self._segment_frames == 0:
            self._close()
        while len(self._jobs) > self.waiting:
            yield from self._popped()

    def end(self) -> Iterator[FrameOutcome]:
        """Close the last segment, and wait for everything.

        Raises:
            FusionlabError: something could not be written.
        """
        if self._is_open:
            self._close()
        yield from self.drained()

    def drained(self) -> Iterator[FrameOutcome]:
        """Wait for the frames that have been added.

        Raises:
            FusionlabError: one could not be written.
        """
        while self._jobs:
            yield from self._popped()

    def shutdown(self) -> None:
        """End the thread; discard the segment that is open."""
        self._thread.shutdown(cancel_futures=True)
        if self._segment is not None:
            self._segment.discard()

    def _submit(self, job: Callable[[], FrameOutcome | None]) -> None:
        self._jobs.append(self._thread.submit(self._do, job))

    def _do(self, job: Callable[[], FrameOutcome | None]) -> FrameOutcome | None:
        """Do a job, unless one before it has failed: its segment would lack a frame."""
        if self._broken:
            return None
        try:
            return job()
        except BaseException:
            self._broken = True
            raise

    def _popped(self) -> Iterator[FrameOutcome]:
        outcome = self._jobs.popleft().result()
        if outcome is not None:
            yield outcome

    def _fitted(self, frames: FrameSet, product: Product) -> Product | FusionlabError:
        """Return a frame in the layout of the result, which the first one decides."""
        image = product.fused.image
        if self.layout is None:
            self.layout = Layout.of(image)
        try:
            fitted = self.layout.fitted(image, frames.name)
        except FusionlabError as error:
            return error
        return replace(product, fused=replace(product.fused, image=fitted))

    def _write(
        self, frames: FrameSet, product: Product, layout: Layout, decoded: float
    ) -> FrameOutcome:
        """Write a frame to the open segment."""
        started = perf_counter()
        if self._segment is None:
            number = frames.number // self._segment_frames
            self._segment = self._output.segment(number, layout)
        self._segment.add(frames.number, frames.time, product)
        color = product.fused.colors[0]
        self._fused += 1
        self._colors[color] += 1
        ended = perf_counter()
        self._spent.add("write", ended - started)
        return FrameOutcome(
            frames.number,
            frames.name,
            "fused",
            notes=product.notes,
            color=color,
            latency=ended - decoded,
        )

    def _close(self) -> None:
        """Close the segment that ends before the next frame, with the state at this moment."""
        segment = Segment(
            number=(self.next - 1) // self._segment_frames,
            stop=self.next,
            fused=0,
            failed=tuple(self._failed),
            depth=self.depth,
            layout=self.layout,
        )
        self._failed, self._is_open = [], False
        state = encoded(self._state())
        self._submit(partial(self._close_segment, segment, state))

    def _close_segment(self, segment: Segment, state: bytes) -> None:
        started = perf_counter()
        content = {} if self._segment is None else self._segment.close()
        self._segment = None
        closed = replace(segment, fused=self._fused, colors=dict(self._colors), content=content)
        self._journal.add(closed, state)
        self._fused, self._colors = 0, Counter()
        self._spent.add("write", perf_counter() - started)
