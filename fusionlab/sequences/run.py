"""Fuse a sequence: decode ahead, fuse, and write at the same time; a killed run can be resumed.

Frames are written in segments (`segments.py`), which begin at the same frames in every run, so that
one that was interrupted gives the same frames as one that was not, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import fusionlab.temporal
from fusionlab.errors import FusionlabError
from fusionlab.plugins.failures import translated
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.read_ahead import read_ahead
from fusionlab.sequences.contract import FrameSet, FrameSets
from fusionlab.sequences.fusing import AHEAD, FrameFuser, Read
from fusionlab.sequences.outcome import FrameOutcome, SecondsSpent
from fusionlab.sequences.record import describe_sequence
from fusionlab.sequences.segments import Segment, SegmentJournal
from fusionlab.sequences.writing.background import BackgroundWriter
from fusionlab.sequences.writing.output import Layout, MadeBy, SequenceOutput
from fusionlab.storage.atomic import make_folder
from fusionlab.storage.hashing import sha256_of_file, sha256_of_json, sha256_of_parts
from fusionlab.storage.locking import exclusive_lock

if TYPE_CHECKING:
    from fusionlab.temporal import TemporalConsistency

SEGMENT_SECONDS = 4
"""How long a segment is, as it is shown. It is what a killed run loses at most."""

SEGMENT_FRAMES = 100
"""Frames of a segment where nothing says how long one is shown."""


@dataclass
class SequenceRun:
    """Fuses the frames of a sequence, and writes them as one result.

    A frame that cannot be read or fused fails by itself, and is left out of the result; the times
    of the others stay. If the first one that can be read cannot be fused, or the result cannot be
    written, the run ends.

    Args:
        file_fusion: fuses each frame.
        output: where the frames go.
        temporal: what carries over from frame to frame; None: nothing does.
        sources: the files and folders of the sources, which must not be overwritten.
        record: write beside a video or a stack how it was made.
        resume: continue after the last segment that an interrupted run has closed.
        overwrite: replace an existing result, and what an interrupted run has left.
        segment_frames: frames of a segment; None: those of `SEGMENT_SECONDS`.
        batch: how many frames are fused in one batch, where none depends on another.
        matching: how the frames were matched, JSON values for the record.
    """

    file_fusion: FileFusion
    output: SequenceOutput
    temporal: TemporalConsistency | None = None
    sources: Sequence[Path] = ()
    record: bool = False
    resume: bool = False
    overwrite: bool = False
    segment_frames: int | None = None
    batch: int = 1
    matching: Mapping[str, Any] = field(default_factory=dict)
    spent: SecondsSpent = field(default_factory=SecondsSpent, init=False)
    layout: Layout | None = field(default=None, init=False)
    """Of the frames, once the result is complete."""
    notes: list[str] = field(default_factory=list, init=False)
    """What the user should know about the result."""

    def run(self, sets: FrameSets) -> Generator[FrameOutcome]:
        """Fuse all frames, in their order, and make the result at the end.

        Frames that an earlier run has written are yielded as skipped, or as failed again.

        Raises:
            FusionlabError: the result exists or cannot be written, a source cannot be read at all,
                another run is writing the result (code `locked`), or an earlier one had other
                settings (`other-run`). What was written stays for `resume`.
        """
        if not self.resume:  # before the sources are read for their hash
            self.output.check(self.sources, overwrite=self.overwrite, record=self.record)
        key = self._key(sets)
        done = self._finished(key)
        if done is not None:
            yield from done
            return
        with self._prepared(key) as journal:
            for segment in journal.segments:
                yield from _outcomes_of(segment)
            if not journal.complete:
                yield from self._measured(sets, journal)
                yield from self._rest(sets, journal)
                journal.finish()
            self._finish(sets, journal)

    def _finished(self, key: str) -> list[FrameOutcome] | None:
        """Return the outcomes of a run to resume that has finished; None: there is none."""
        made_by = self.output.made_by() if self.resume else None
        if made_by is None or made_by.key != key or self.output.journal.exists():
            return None
        problem = "an earlier run could not fuse a frame, and has left it out"
        failed = [FrameOutcome(-1, "", "failed", problem)] * made_by.failed
        return [FrameOutcome(n, str(n), "skipped") for n in range(made_by.fused)] + failed

    @contextmanager
    def _prepared(self, key: str) -> Iterator[SegmentJournal]:
        """Lock what the run writes into, and read what an earlier run has left there."""
        journal = SegmentJournal(self.output, key)
        self._check(journal)
        made = [folder for folder in self.output.folders if not folder.exists()]
        try:
            for folder in self.output.folders:
                make_folder(folder)
            with exclusive_lock(*self.output.folders):
                self._check(journal)
                self.output.remove_partial()
                if self.resume:
                    self.output.know(journal.resume())
                else:
                    journal.begin()
                try:
                    yield journal
                finally:
                    journal.forget()
        finally:
            for folder in [self.output.parts, *made]:
                with suppress(OSError):  # it holds something
                    folder.rmdir()

    def _check(self, journal: SegmentJournal) -> None:
        """Refuse to replace files, and to lose what an earlier run has written."""
        # a run that was killed at its very end has left its result as well as its segments
        made_by = self.output.made_by() if self.resume else None
        overwrite = self.overwrite or (made_by is not None and made_by.key == journal.key)
        # or its record, which appears before
        record = self.record and not (self.resume and journal.is_of_this_run())
        self.output.check(self.sources, overwrite=overwrite, record=record)
        self._check_earlier(journal)

    def _check_earlier(self, journal: SegmentJournal) -> None:
        """Refuse to lose what an earlier run has written."""
        if not (self.resume or self.overwrite) and journal.earlier():
            raise FusionlabError(
                f"an earlier run has left a part of {self.output.path}; resume it, or allow "
                "overwriting to begin anew",
                code="exists",
                option="resume",
                path=self.output.path,
            )

    def _key(self, sets: FrameSets) -> str:
        """Return a hash of everything that decides the frames of the result."""
        return sha256_of_json(
            {
                **self.file_fusion.settings,
                "depth": self.file_fusion.depth,
                "code": [*self.file_fusion.code(), _code()],
                "sources": sets.identity,
                "temporal": self.temporal and self.temporal.describe(),
                "output": dict(self.output.settings),
                "segment": self._segment_frames(sets.rate),
                "batch": self.batch,
            }
        )

    def _segment_frames(self, rate: Fraction | None) -> int:
        if self.segment_frames is not None:
            return self.segment_frames
        return SEGMENT_FRAMES if rate is None else max(1, round(SEGMENT_SECONDS * rate))

    def _measured(self, sets: FrameSets, journal: SegmentJournal) -> Iterator[FrameOutcome]:
        """Restore what carries over from an earlier run; else look at all frames where needed."""
        temporal, fusion = self.temporal, self.file_fusion.fusion
        if temporal is None:
            return
        if journal.measured:
            temporal.restore(dict(journal.state))
            return
        passes, measured = temporal.passes(fusion), False
        for name in passes:
            for frames in self._decoded(sets, 0):
                if frames.frames.images:
                    try:
                        temporal.measure(fusion, frames.frames.images, name)
                        measured = True
                    except FusionlabError as error:  # raised again when the frame is fused
                        if not measured:
                            raise _of_first_frame(frames.frames, error) from error
                yield FrameOutcome(frames.frames.number, frames.frames.name, "measured")
            temporal.settle()
        if passes:
            journal.add_measured(temporal.state())

    def _rest(self, sets: FrameSets, journal: SegmentJournal) -> Iterator[FrameOutcome]:
        """Fuse and write the frames after the last closed segment."""
        temporal = self.temporal
        writer = BackgroundWriter(
            self.output,
            journal,
            self._segment_frames(sets.rate),
            lambda: {} if temporal is None else temporal.state(),
            self.spent,
        )
        fuser = FrameFuser(
            self.file_fusion,
            temporal,
            lambda frames: self.output.destination(frames.name, frames.images),
            self._segment_frames(sets.rate),
            self.batch,
            self.spent,
        )
        try:
            reads = self._decoded(sets, writer.next, lambda: fuser.ahead)
            for read, result in fuser.fused(reads, writer):
                is_first = writer.layout is None and read.frames.problem is None
                if is_first and isinstance(result, FusionlabError):
                    raise _of_first_frame(read.frames, result) from result
                yield from writer.add(read.frames, result, read.time)
            yield from writer.end()
        except KeyboardInterrupt:  # what has been fused is written in a moment
            yield from writer.drained()
            raise
        finally:  # also when the caller stops iterating
            writer.shutdown()

    def _decoded(
        self, sets: FrameSets, start: int, ahead: Callable[[], int] = lambda: AHEAD
    ) -> Iterator[Read]:
        """Yield the frames from a number on, decoding some of them ahead in another thread."""
        frames = sets.sets(start)

        def read() -> Read | None:
            started = perf_counter()
            with translated("reading the sources", "reading-failed"):
                frame_set = next(frames, None)
            self.spent.add("read", perf_counter() - started)
            return None if frame_set is None else Read(frame_set, perf_counter())

        with ThreadPoolExecutor(1, "read") as reader:
            futures = read_ahead(count(), lambda _: reader.submit(read), ahead)
            try:
                for _, future in futures:
                    result = future.result()
                    if result is None:
                        return
                    yield result
            finally:
                reader.shutdown(cancel_futures=True)
                if isinstance(frames, Generator):
                    frames.close()

    def _finish(self, sets: FrameSets, journal: SegmentJournal) -> None:
        """Make the result of its segments, and remove these."""
        contents = [segment.content for segment in journal.segments if segment.content]
        if not contents:  # every frame has failed
            journal.drop()
            return
        layout = journal.segments[-1].layout
        assert layout is not None  # there are frames
        record = self._record(sets, layout, journal) if self.record else None
        fused = sum(segment.fused for segment in journal.segments)
        failed = sum(len(segment.failed) for segment in journal.segments)
        self.output.join(contents, layout, record, MadeBy(journal.key, fused, failed))
        self.layout = layout
        self.notes += self.output.notes(layout)
        journal.tidy()

    def _record(self, sets: FrameSets, layout: Layout, journal: SegmentJournal) -> bytes:
        temporal = self.temporal and self.temporal.describe()
        return describe_sequence(
            {**self.file_fusion.settings, "temporal": temporal},
            name=self.output.path.name,
            sources=sets.names,
            sha256=sets.identity,
            matching={**self.matching, **({"batch": self.batch} if self.batch > 1 else {})},
            rate=sets.rate,
            layout=layout,
            segments=journal.segments,
        )


def _of_first_frame(frames: FrameSet, error: FusionlabError) -> FusionlabError:
    """Return the error that ends a run: if the first frame cannot be fused, no other can, either.

    Frames are alike, and it is the settings or the sources that do not suit.
    """
    return FusionlabError(
        f"frame {frames.name}, the first one, cannot be fused: {error}",
        code=error.code,
        option=error.option,
        path=error.path,
    )


@cache
def _code() -> str:
    """Return the SHA-256 of the code that reads, matches and writes frames."""
    files = [Path(fusionlab.temporal.__file__), *sorted(Path(__file__).parent.rglob("*.py"))]
    return sha256_of_parts(sha256_of_file(file).encode() for file in files)


def _outcomes_of(segment: Segment) -> Iterator[FrameOutcome]:
    """Yield what became of the frames of a segment that an earlier run has closed."""
    failed = dict(segment.failed)
    for number in range(segment.stop - segment.fused - len(failed), segment.stop):
        if number in failed:
            yield FrameOutcome(number, str(number), "failed", failed[number])
        else:
            yield FrameOutcome(number, str(number), "skipped")
