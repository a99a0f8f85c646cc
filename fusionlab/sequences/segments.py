"""The journal of a run over a sequence: which segments are closed, so that it can resume.

The journal has JSON lines. The first one has the key of the run, a hash of everything that decides
its result. Then follows a line for each closed segment, appended once its files and the state
after it are on the disk. A segment counts if its files are as the line says, and all before it
count. See docs/decisions/0050-sequences-in-segments.md.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.depth import Depth
from fusionlab.sequences.writing.output import Layout, SegmentContent, SequenceOutput
from fusionlab.storage.atomic import atomic_write_all, remove_partial
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.storage.journal import Journal
from fusionlab.storage.schema import Count, mismatch

VERSION = 1
"""Of the lines of the journal."""

REMOVED = "removed"
"""Stands for the file of a state in the journal of a finished run."""

_OURS = re.compile(r"\d{6}\.(nut|tif|npz)|measured\.npz|segments\.jsonl")
"""The names of the files in the folder of the segments."""

State = Mapping[str, NDArray[Any]]
"""What carries over from one frame to the next, see `fusionlab.temporal`; empty: nothing."""


@dataclass(frozen=True)
class Segment:
    """A closed segment."""

    number: int
    stop: int
    """The number of the frame after its last one."""
    fused: int
    """How many frames it holds."""
    failed: tuple[tuple[int, str], ...] = ()
    """The numbers of the frames that it lacks, and why."""
    depth: Depth | None = None
    """Bits per sample, decided by the first frame that could be read; None: none could yet."""
    layout: Layout | None = None
    """Of all frames; None: none has been fused yet."""
    colors: Mapping[str, int] = field(default_factory=dict)
    """Color mode -> how many frames were fused in it."""
    content: SegmentContent = field(default_factory=dict)
    """Empty if it holds no frame."""


class SegmentJournal:
    """The journal of one run, and the states after its segments.

    Args:
        output: what is written.
        key: a hash of everything that decides the result.
    """

    def __init__(self, output: SequenceOutput, key: str) -> None:
        self._output = output
        self.key = key
        self._journal = Journal(output.journal)
        self.segments: list[Segment] = []
        """The closed ones that count."""
        self.complete = False
        """Whether these are all."""
        self.state: State = {}
        """After the last of them, or after the passes that measure the sequence."""
        self.measured = False
        """Whether these passes are done."""
        self._lines: list[Mapping[str, Any]] = []

    def begin(self) -> None:
        """Begin a run: forget what an earlier one has left.

        Raises:
            FusionlabError: the journal or the folder of the segments cannot be written.
        """
        self._clear()
        self._lines = [{"sequence": VERSION, "key": self.key}]
        self._journal.replace(self._lines)

    def earlier(self) -> bool:
        """Return whether an earlier run has left segments or frames."""
        return len(self._journal.read()) > 1

    def is_of_this_run(self) -> bool:
        """Return whether a run of the same key has been interrupted."""
        lines = self._journal.read()
        return bool(lines) and self._is_header(lines[0])

    def _is_header(self, line: Mapping[str, Any]) -> bool:
        return (line.get("sequence"), line.get("key")) == (VERSION, self.key)

    def resume(self) -> Mapping[str, str]:
        """Continue the earlier run, as far as its segments are intact; begin one if there is none.

        Returns:
            The hashes of files that the earlier run has written outside its own folder, and may
            have been interrupted at: name -> hash.

        Raises:
            FusionlabError: the earlier run had other settings, sources or versions (code
                `other-run`), or the journal cannot be read.
        """
        lines = self._journal.read()
        if len(lines) < 2:
            self.begin()
            return {}
        if not self._is_header(lines[0]):
            raise FusionlabError(
                f"{self._output.path} was begun with other settings, sources or versions, which "
                "cannot be continued; repeat those, or allow overwriting to begin anew",
                code="other-run",
                option="overwrite",
                path=self._output.path,
            )
        self._read(lines)
        self._journal.replace([*self._lines, *(line for line in lines if line.keys() == {"files"})])
        files: dict[str, str] = {}
        for line in lines:
            if not mismatch(line, _FilesLine):
                files |= line["files"]
            elif not mismatch(line, _SegmentLine):
                files |= line["content"].get("files", {})
        return files

    def _read(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Take over the lines of the segments that are intact, up to one whose state is."""
        intact: list[tuple[Mapping[str, Any], Segment | None]] = []
        for line in lines[1:]:
            if "measured" in line:
                intact.append((line, None))
            elif "segment" in line:
                segment = _segment_of(line)
                if segment is None or segment.number != sum(s is not None for _, s in intact):
                    break
                if segment.content and not self._output.is_intact(segment.content):
                    break
                intact.append((line, segment))
            elif "complete" in line:
                self.complete = bool(line["complete"] == sum(s is not None for _, s in intact))
        while intact and not self.complete:
            line, _ = intact[-1]
            state = self._read_state(line.get("state"))
            if state is not None:
                self.state, self.measured = state, True
                break
            intact.pop()
        self.segments = [segment for _, segment in intact if segment is not None]
        self._lines = [lines[0], *(line for line, _ in intact)]
        if self.complete:
            self._lines.append({"complete": len(self.segments)})

    def add_measured(self, state: State) -> None:
        """Add the state after the passes that measure the sequence.

        Raises:
            FusionlabError: it cannot be written.
        """
        self._append({"measured": True, "state": self._write_state("measured", encoded(state))})

    def add(self, segment: Segment, state: bytes) -> None:
        """Add a closed segment, and the `encoded` state after it.

        Raises:
            FusionlabError: they cannot be written.
        """
        name = f"{segment.number:06}"
        line = {
            "segment": segment.number,
            "stop": segment.stop,
            "fused": segment.fused,
            "failed": segment.failed,
            "depth": segment.depth,
            "layout": segment.layout and segment.layout.as_json(),
            "colors": segment.colors,
            "content": segment.content,
            "state": self._write_state(name, state),
        }
        self._append(line)
        self.segments.append(segment)
        with suppress(OSError):  # the state before the last two is of no use any more
            (self._output.parts / f"{segment.number - 2:06}.npz").unlink()

    def finish(self) -> None:
        """Say that all segments are closed.

        Raises:
            FusionlabError: the journal cannot be written.
        """
        self._append({"complete": len(self.segments)})
        self.complete = True

    def tidy(self) -> None:
        """Remove what a finished run does not need: segments, states, and lines of frames."""
        if self._output.journal.parent != self._output.parts:
            self._journal.replace(
                {**line, "state": REMOVED} if line.get("state") else line for line in self._lines
            )
        self._clear()

    def forget(self) -> None:
        """Drop the run if it has written nothing yet."""
        if len(self._journal.read()) < 2:
            self.drop()

    def drop(self) -> None:
        """Remove the journal, and all that it lists from the folder of the segments."""
        self._clear()
        with suppress(OSError):
            self._output.journal.unlink()

    def _append(self, line: Mapping[str, Any]) -> None:
        self._lines.append(line)
        self._journal.append(line, sync=True)

    def _write_state(self, name: str, content: bytes) -> Mapping[str, str] | None:
        """Write a state to a file; return its name and hash, None if there is nothing in it."""
        if not content:
            return None
        path = self._output.parts / f"{name}.npz"
        self._output.parts.mkdir(exist_ok=True)
        with atomic_write_all({path: content}, own=True):
            pass
        return {"name": path.name, "sha256": sha256_of_bytes(content)}

    def _read_state(self, line: Any) -> State | None:
        """Return a state; None if its file is damaged or missing."""
        if line is None:
            return {}
        if mismatch(line, _StateLine) or not _OURS.fullmatch(line["name"]):
            return None
        try:
            content = (self._output.parts / line["name"]).read_bytes()
            if sha256_of_bytes(content) != line["sha256"]:
                return None
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError):
            return None

    def _clear(self) -> None:
        """Remove our files from the folder of the segments."""
        parts = self._output.parts
        if not parts.is_dir():
            return
        remove_partial(parts)
        for path in parts.iterdir():
            if _OURS.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


class _LayoutLine(TypedDict):
    height: Count
    width: Count
    channels: Literal[1, 3]
    depth: Literal[8, 16, 32]


class _ContentLine(TypedDict):
    files: NotRequired[dict[str, str]]
    last: NotRequired[int]


class _StateLine(TypedDict):
    name: str
    sha256: str


class _SegmentLine(TypedDict):
    segment: Count
    stop: Count
    fused: Count
    failed: list[tuple[Count, str]]
    depth: Literal[8, 16, 32] | None
    layout: _LayoutLine | None
    colors: dict[str, Count]
    content: _ContentLine
    state: _StateLine | Literal["removed"] | None


class _FilesLine(TypedDict):
    files: dict[str, str]


def _segment_of(line: Mapping[str, Any]) -> Segment | None:
    """Return the segment of a line of the journal; None if it is damaged."""
    if mismatch(line, _SegmentLine):
        return None
    layout = line["layout"]
    return Segment(
        number=line["segment"],
        stop=line["stop"],
        fused=line["fused"],
        failed=tuple((number, problem) for number, problem in line["failed"]),
        depth=line["depth"],
        layout=None if layout is None else Layout.of_json(layout),
        colors=line["colors"],
        content=line["content"],
    )


def encoded(state: State) -> bytes:
    """Return a state as the content of a file; nothing if it is empty."""
    if not state:
        return b""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    return file.getvalue()
