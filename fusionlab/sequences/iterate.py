"""Fuse a sequence in Python, one frame after the other, without writing files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Any

from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.fused import Fused
from fusionlab.fusion import Fusion
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.resizing import Resize
from fusionlab.sequences.contract import FrameSets
from fusionlab.sequences.opening import open_sequence
from fusionlab.sequences.synchronize import Sync, synchronize
from fusionlab.temporal import TemporalConsistency

_MISSING = object()


@dataclass(frozen=True)
class FusedFrame:
    """One frame of a fused sequence."""

    number: int
    """Counted from 0; the number of a frame that could not be fused is left out."""
    time: Fraction | None
    """Seconds since the first frame of the first source; None: unknown."""
    fused: Fused[Any]

    @property
    def image(self) -> Any:
        """The fused image."""
        return self.fused.image


@dataclass(frozen=True)
class _Given:
    """The sources of one frame."""

    number: int
    time: Fraction | None
    images: Sequence[Any]
    names: Sequence[str]


def fuse_sequence(
    fusion: Fusion,
    sources: FrameSets | Sequence[str | os.PathLike[str] | Iterable[Any]],
    *,
    temporal: TemporalConsistency | None = None,
    sync: Sync = "frame",
    offsets: Sequence[float] = (),
    rate: float | None = None,
    resize: Resize | None = None,
    weights: bool = False,
    depth: Depth | None = None,
) -> Iterator[FusedFrame]:
    """Fuse a sequence frame by frame; only the frames at hand are in memory.

        for frame in fusionlab.fuse_sequence(fusion, ["ir.mkv", "vis.mp4"], sync="time"):
            show(frame.time, frame.image)
        for frame in fusionlab.fuse_sequence(fusion, [thermal_camera(), camera()]):
            ...

    What cannot be read or fused costs a `FusionlabWarning`, and is left out: `FusedFrame.number`
    shows the gap; but if the first one cannot be fused, as no other can either, that is an error.
    So does what the user should know about the sequences, such as frames that are
    left over.

    Args:
        fusion: fuses each frame.
        sources: two or more of one kind: paths of videos, of folders of images or of files of
            several pages, see `fusionlab.open_sequence`; or iterables of images, such as lists of
            arrays or generators, which end with the shortest of them. Or `FrameSets`.
        temporal: what carries over from frame to frame; None: a new `TemporalConsistency()`. A
            sequence is read several times for limits of two passes.
        sync: of paths, how frames are matched; see `fusionlab.sequences.synchronize`.
        offsets: of paths, the time of the first frame of each, in seconds.
        rate: of paths, frames per second of those that state no times.
        resize: of paths, resample frames of different sizes to those of the first source, or of
            the one with the fewest pixels.
        weights: as for `Fusion.fuse`.
        depth: as for `Fusion.fuse`.

    Raises:
        FusionlabError: a sequence cannot be opened, the sequences do not fit together, the first
            frame cannot be fused (also `TemporalConsistency.check`), or a generator was given and
            limits of two passes (code `read-once`).
    """
    given = temporal or TemporalConsistency()
    given.check(fusion)
    frames = _Frames(sources, sync, offsets, rate, resize)
    if given.passes(fusion) and frames.once:
        raise FusionlabError(
            "limits of two passes read the frames several times, and a generator gives them once; "
            "give lists or paths, or choose causal limits",
            code="read-once",
            option="limits",
        )
    return _fused(fusion, frames, given, weights=weights, depth=depth)


def _fused(
    fusion: Fusion,
    frames: _Frames,
    temporal: TemporalConsistency,
    *,
    weights: bool,
    depth: Depth | None,
) -> Iterator[FusedFrame]:
    for what in temporal.passes(fusion):
        for frame in frames:
            try:
                temporal.measure(fusion, frame.images, what)
            except FusionlabError:
                continue  # it is reported when it is fused
        temporal.settle()
    is_first = True
    for frame in frames:
        try:
            fused = fusion.fuse(
                frame.images, weights=weights, depth=depth, names=frame.names, temporal=temporal
            )
        except FusionlabError as error:
            if is_first:
                raise
            _warn(f"frame {frame.number}: {error}")
            continue
        is_first = False
        yield FusedFrame(frame.number, frame.time, fused)
    frames.tell_notes()


class _Frames:
    """The frames of the sources, which can be read again unless they come from a generator."""

    def __init__(
        self,
        sources: FrameSets | Sequence[Any],
        sync: Sync,
        offsets: Sequence[float],
        rate: float | None,
        resize: Resize | None,
    ) -> None:
        self._sets: FrameSets | None = None
        self._iterables: Sequence[Iterable[Any]] = ()
        if isinstance(sources, FrameSets):
            self._sets = sources
        elif all(isinstance(source, str | os.PathLike) for source in sources):
            sequences = [open_sequence(os.fspath(path)) for path in sources]
            self._sets = synchronize(sequences, sync, offsets=offsets, rate=rate, resize=resize)
        elif any(isinstance(source, str | os.PathLike) for source in sources):
            raise FusionlabError(
                "expected paths only or iterables of images only; for a path among iterables, give "
                "[frame.image for frame in fusionlab.open_sequence(path).frames()]",
                code="no-list",
            )
        else:
            self._iterables = sources
        self.once = any(iter(source) is source for source in self._iterables)

    def __iter__(self) -> Iterator[_Given]:
        if self._sets is None:
            iterators = [iter(source) for source in self._iterables]
            for number in count():
                images = [next(iterator, _MISSING) for iterator in iterators]
                if any(image is _MISSING for image in images):
                    return
                yield _Given(number, None, images, ())
        else:
            for frames in self._sets.sets():
                if frames.problem is not None:
                    _warn(f"frame {frames.number}: {frames.problem}")
                    continue
                names = [image.name for image in frames.images]
                yield _Given(frames.number, frames.time, frames.images, names)

    def tell_notes(self) -> None:
        """Warn of what the user should know about the sequences."""
        for note in self._sets.notes if self._sets else ():
            _warn(note)


def _warn(text: str) -> None:
    warnings.warn(text, FusionlabWarning, stacklevel=4)
