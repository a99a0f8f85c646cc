"""Match the frames of several sequences: by their numbers, or by their times.

Read in one pass, with no more than two frames of each sequence in memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.resizing import Resize, resize_to_one_size
from fusionlab.imaging.sources import check_sizes
from fusionlab.sequences.contract import Frame, FrameSequence, FrameSet, FrameSets
from fusionlab.storage.hashing import sha256_of_json

if TYPE_CHECKING:
    from fusionlab.registration.registrar import Registrar

Sync = Literal["frame", "time"]
"""Match the n-th frames, or the frames of nearly the same time."""

SAME_RATE = Fraction(5, 10000)
"""Rates that differ by less count as equal: half of the difference between 30 and 29.97 frames per
second, which are one frame apart after 33 seconds."""
TOLERANCE = Fraction(101, 200)
"""How far apart frames of one set may be, in durations of a frame: half, and 1 % of that for times
that are rounded to milliseconds."""
MOST_PARTS = 10**6
"""Times and rates that are given as floats are fractions of whole numbers up to this one."""


def synchronize(
    sequences: Sequence[FrameSequence],
    sync: Sync = "frame",
    *,
    offsets: Sequence[Fraction | float] = (),
    rate: Fraction | float | None = None,
    resize: Resize | None = None,
    registrar: Registrar | None = None,
) -> FrameSets:
    """Match the frames of several sequences.

    Args:
        sequences: two or more; the times of the first one are those of the result.
        sync: `"frame"`: the n-th frame goes with the n-th, up to the end of the shortest; the
            rates must be equal where they are known. `"time"`: each frame of the first goes with
            the frame of each other one whose time is nearest. One that is more than half the
            duration of a frame away is too far: before the first and behind the last set frames
            are left out, in between they are a problem of that set.
        offsets: for `"time"`: the time of the first frame of each sequence, in seconds, on a clock
            that they share; empty: all begin at the same time.
        rate: frames per second of sequences that state no times, such as folders; None: unknown.
        resize: as for `FileFusion`.
        registrar: as for `FileFusion`.

    Raises:
        FusionlabError: the rates differ (code `rates-differ`), times are not known (`no-times`), or
            the number of sequences, the offsets or the rate make no sense (`number-of-sources`,
            `bad-offset`, `bad-rate`).
    """
    if len(sequences) < 2:
        raise FusionlabError(
            f"a fusion needs at least two sources, got {len(sequences)}", code="number-of-sources"
        )
    timed = [_Timed(sequence, checked_rate(rate)) for sequence in sequences]
    if sync == "frame":
        if any(offsets):
            raise FusionlabError(
                "offsets are those of times, but frames are matched by their numbers; match them "
                "by their times, or leave the offsets out",
                code="bad-offset",
                option="offset",
            )
        _check_rates(timed)
        return ByNumber(timed, resize, registrar)
    return ByTime(timed, _checked_offsets(offsets, len(timed)), resize, registrar)


class _Timed:
    """A sequence whose frames have times, where they are known.

    Args:
        sequence: the frames.
        rate: frames per second if the sequence does not state its own.
    """

    def __init__(self, sequence: FrameSequence, rate: Fraction | None) -> None:
        self.sequence, self.name = sequence, sequence.name
        self._given = rate if sequence.rate is None else None
        self.rate = sequence.rate or rate
        self.drifts = False
        """Whether it is known that its frames are not of the times of the others."""

    def frames(self, start: int = 0) -> Generator[Frame]:
        """Read the frames, with times where a rate is given."""
        with closing(self.sequence.frames(start)) as frames:
            for number, frame in enumerate(frames, start):
                if frame.time is None and self._given:
                    yield Frame(frame.image, number / self._given)
                else:
                    yield frame

    def tolerance(self, gap: Fraction | None) -> Fraction:
        """Return how far a frame may be from the time that it is taken for, in seconds.

        Args:
            gap: between two frames, for sequences without a rate.
        """
        return TOLERANCE * (1 / self.rate if self.rate else gap or 0)

    def describe(self) -> list[str]:
        """Return what tells it from others, a JSON value."""
        return [self.sequence.identity, str(self._given)]


class _Matched(FrameSets):
    """What both ways to match frames have in common."""

    def __init__(
        self,
        sequences: Sequence[_Timed],
        count: int | None,
        resize: Resize | None,
        registrar: Registrar | None,
    ) -> None:
        super().__init__(tuple(timed.name for timed in sequences), count, sequences[0].rate)
        self._sequences, self._resize, self._registrar = sequences, resize, registrar
        for name, times in Counter(self.names).items():
            if times > 1:
                self._note(f"{name} is given as {times} of the sources")
        self._collect_notes()

    def _described(self, how: Any) -> str:
        """Return a hash of the sequences, and of how they are matched, a JSON value."""
        registrar = self._registrar and self._registrar.describe()
        sources = [timed.describe() for timed in self._sequences]
        return sha256_of_json([sources, how, self._resize, registrar])

    def _set(self, number: int, frames: Sequence[Frame], problem: str = "") -> FrameSet:
        """Return the frames of a set, on one grid if that is requested.

        Raises:
            FusionlabError: those of the first set have different sizes (code `size-mismatch`); it
                would be the same with each of them.
        """
        name, time = f"{number:06}", frames[0].time
        if problem:
            error = FusionlabError(problem, code="no-frame")
            return FrameSet(number, name, time=time, problem=error)
        try:
            images = fitted([_image(frame) for frame in frames], self._resize, self._registrar)
        except FusionlabError as error:
            return FrameSet(number, name, time=time, problem=error)
        if number == 0:
            check_sizes([image.pixels.shape[:2] for image in images])
        return FrameSet(number, name, images, time)

    def _note(self, note: str) -> None:
        """Add a note that is not there yet: sets may be read several times."""
        if note not in self.notes:
            self.notes.append(note)

    def _collect_notes(self) -> None:
        for timed in self._sequences:
            for note in timed.sequence.notes:
                self._note(note)


class ByNumber(_Matched):
    """The n-th frames of sequences; see `synchronize`."""

    def __init__(
        self, sequences: Sequence[_Timed], resize: Resize | None, registrar: Registrar | None
    ) -> None:
        counts = [timed.sequence.count for timed in sequences]
        known = [count for count in counts if count is not None]
        count = min(known) if len(known) == len(counts) else None
        super().__init__(sequences, count, resize, registrar)

    @property
    def identity(self) -> str:
        """A hash of the sequences."""
        return self._described("frame")

    def sets(self, start: int = 0) -> Iterator[FrameSet]:
        """Read the n-th frame of each sequence, up to the end of the shortest."""
        with ExitStack() as stack:
            readers = [
                stack.enter_context(closing(timed.frames(start))) for timed in self._sequences
            ]
            for number in count(start):
                found = [next(reader, None) for reader in readers]
                frames = [frame for frame in found if frame is not None]
                if len(frames) < len(found):
                    self._collect_notes()
                    self._note_ends(found, number)
                    return
                self._note_drift(frames, number)
                yield self._set(number, frames)

    def _note_ends(self, found: Sequence[Frame | None], count: int) -> None:
        """Note which sequences are longer than the shortest."""
        ended = self.names[found.index(None)]
        if count == 0:
            raise _empty(ended)
        for timed, frame in zip(self._sequences, found, strict=True):
            if frame is not None:
                known = None if timed.sequence.is_estimated else timed.sequence.count
                left = f" ({known - count})" if known else ""
                self._note(
                    f"{ended} ends after {_frames(count)}; the further ones of {timed.name}{left} "
                    "are left out"
                )

    def _note_drift(self, frames: Sequence[Frame], number: int) -> None:
        """Note the first frames of a source whose times say that they do not belong together."""
        first = frames[0].time
        for timed, frame in zip(self._sequences[1:], frames[1:], strict=True):
            if timed.drifts or first is None or frame.time is None or not timed.rate:
                continue
            if abs(frame.time - first) > TOLERANCE / timed.rate:
                timed.drifts = True
                self._note(
                    f"{timed.name}: its frame {number} is {seconds(frame.time)} behind its first, "
                    f"that of {self.names[0]} {seconds(first)}; sync=time matches them by their "
                    "times"
                )


class ByTime(_Matched):
    """Frames of nearly the same time; see `synchronize`.

    Args:
        sequences: the first is the reference.
        offsets: the times of their first frames.
        resize: as for `synchronize`.
        registrar: as for `synchronize`.
    """

    def __init__(
        self,
        sequences: Sequence[_Timed],
        offsets: Sequence[Fraction],
        resize: Resize | None,
        registrar: Registrar | None,
    ) -> None:
        super().__init__(sequences, _common_count(sequences, offsets), resize, registrar)
        self._offsets = offsets

    @property
    def identity(self) -> str:
        """A hash of the sequences, and of their offsets."""
        return self._described(["time", *map(str, self._offsets)])

    @cached_property
    def _first(self) -> int:
        """The number of the first frame of the reference that all others have a frame for."""
        begins = self._offsets[0]
        for timed, offset in zip(self._sequences[1:], self._offsets[1:], strict=True):
            with closing(timed.frames()) as frames:
                first, second = next(frames, None), next(frames, None)
            if first is None:
                raise _empty(timed.name)
            own = _time(timed, first)
            gap = None if second is None else _time(timed, second) - own
            begins = max(begins, own + offset - timed.tolerance(gap))
        number = -1
        with closing(self._sequences[0].frames()) as frames:
            for number, frame in enumerate(frames):  # noqa: B007  # used behind the loop
                if _time(self._sequences[0], frame) + self._offsets[0] >= begins:
                    break
            else:
                raise _empty(self.names[0]) if number < 0 else self._apart()
        if number:
            self._note(
                f"{self.names[0]}: what comes before another source begins is left out, "
                f"{_frames(number)}"
            )
        return number

    def sets(self, start: int = 0) -> Iterator[FrameSet]:
        """Read each frame of the reference with the nearest ones of the others."""
        reference, others = self._sequences[0], self._sequences[1:]
        number = start
        with ExitStack() as stack:
            frames = stack.enter_context(closing(reference.frames(self._first + start)))
            nearest: list[_Nearest] = []
            for number, frame in enumerate(frames, start):
                now = _time(reference, frame) + self._offsets[0]
                if not nearest:
                    nearest = [
                        stack.enter_context(closing(_Nearest(timed, now - offset)))
                        for timed, offset in zip(others, self._offsets[1:], strict=True)
                    ]
                times = [now - offset for offset in self._offsets[1:]]
                found = [each.at(time) for each, time in zip(nearest, times, strict=True)]
                ended = [each.timed.name for each in nearest if each.has_ended]
                if ended:
                    self._collect_notes()
                    if number == 0:
                        raise self._apart()
                    self._note(
                        f"{ended[0]} ends before {reference.name}, whose frames from "
                        f"{seconds(frame.time or Fraction(0))} on are left out"
                    )
                    return
                far = [
                    f"{each.timed.name} has no frame near {seconds(time)}; the nearest is "
                    f"{seconds(each.distance)} away"
                    for each, time in zip(nearest, times, strict=True)
                    if each.is_far
                ]
                yield self._set(number, [frame, *found], "; ".join(far))
            for each in nearest:
                if each.goes_on:
                    self._note(
                        f"{reference.name} ends before {each.timed.name}, whose further frames are "
                        "left out"
                    )
        self._collect_notes()

    def _apart(self) -> FusionlabError:
        return FusionlabError(
            f"no frames of {' and '.join(self.names)} are of the same time; correct the offsets",
            code="no-frames",
            option="offset",
        )


class _Nearest:
    """The frame of a sequence whose time is nearest to a time that only grows.

    Args:
        timed: the sequence.
        time: the first time that is asked for.
    """

    def __init__(self, timed: _Timed, time: Fraction) -> None:
        self.timed = timed
        self.distance = Fraction(0)
        """Between the last frame that was asked for and its time, in seconds."""
        self.is_far = self.has_ended = False
        """Whether that is too much, and whether so because there are no further frames."""
        start = max(0, int(time * timed.rate) - 2) if timed.rate else 0
        self._open(start)
        if start and (self._current is None or _time(timed, self._current) > time):
            self.close()
            self._open(0)  # its frames do not come at a constant rate

    def _open(self, start: int) -> None:
        self._frames = self.timed.frames(start)
        self._current, self._following = next(self._frames, None), next(self._frames, None)
        self._gap: Fraction | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there are frames behind the last one that was asked for."""
        return self._following is not None

    def at(self, time: Fraction) -> Frame:
        """Return the nearest frame; of two that are equally near, the earlier one."""
        assert self._current is not None
        own = _time(self.timed, self._current)
        while self._following is not None:
            following = _time(self.timed, self._following)
            self._gap = following - own
            if abs(following - time) >= abs(own - time):
                break
            self._current, own = self._following, following
            self._following = next(self._frames, None)
        self.distance = abs(own - time)
        self.is_far = self.distance > self.timed.tolerance(self._gap)
        self.has_ended = self.is_far and self._following is None and own < time
        return self._current

    def close(self) -> None:
        """Close the file."""
        self._frames.close()


def fitted(
    images: Sequence[LoadedImage], resize: Resize | None, registrar: Registrar | None
) -> Sequence[LoadedImage]:
    """Return the images of a set on one grid; as they are where neither way is given.

    Raises:
        FusionlabError: as the registrar.
    """
    if registrar is not None:
        return registrar(images)
    return resize_to_one_size(images, resize) if resize else images


def _empty(name: str) -> FusionlabError:
    return FusionlabError(f"{name} has no frames", code="no-frames")


def _frames(count: int) -> str:
    return "one frame" if count == 1 else f"{count} frames"


def seconds(time: Fraction) -> str:
    """Return a time as messages say it: `0.0333 s`."""
    return f"{float(time):.3g} s"


def _image(frame: Frame) -> LoadedImage:
    if isinstance(frame.image, FusionlabError):
        raise frame.image
    return frame.image


def _time(timed: _Timed, frame: Frame) -> Fraction:
    """Return the time of a frame.

    Raises:
        FusionlabError: it is not known (code `no-times`).
    """
    if frame.time is None:
        raise FusionlabError(
            f"{timed.name} states no times, by which frames could be matched; give its frames per "
            "second, or match the frames by their numbers",
            code="no-times",
            option="rate",
        )
    return frame.time


def _common_count(sequences: Sequence[_Timed], offsets: Sequence[Fraction]) -> int | None:
    """Return how many frames of the first sequence lie within all others, as the files state."""
    begins, ends = offsets[0], None
    for timed, offset in zip(sequences, offsets, strict=True):
        if not timed.rate or not timed.sequence.count:
            return None
        tolerance = 0 if timed is sequences[0] else timed.tolerance(None)
        last = offset + (timed.sequence.count - 1) / timed.rate
        begins = max(begins, offset - tolerance)
        ends = last + tolerance if ends is None else min(ends, last + tolerance)
    rate, own = sequences[0].rate, offsets[0]
    assert rate is not None and ends is not None  # noqa: PT018  # of the loop
    return max(0, math.floor((ends - own) * rate) - math.ceil((begins - own) * rate) + 1)


def _check_rates(sequences: Sequence[_Timed]) -> None:
    """Refuse sequences whose n-th frames are not of one time.

    Raises:
        FusionlabError: rates that are known differ (code `rates-differ`).
    """
    known = [(timed.name, timed.rate) for timed in sequences if timed.rate]
    for name, rate in known[1:]:
        if abs(rate / known[0][1] - 1) > SAME_RATE:
            raise FusionlabError(
                f"the rates must be equal where frames are matched by their numbers, got "
                f"{float(known[0][1]):.6g} frames per second in {known[0][0]} and "
                f"{float(rate):.6g} in {name}; match them by their times",
                code="rates-differ",
                option="sync",
            )


def checked_rate(rate: Fraction | float | None) -> Fraction | None:
    """Return frames per second as a fraction.

    Raises:
        FusionlabError: they are no positive number (code `bad-rate`).
    """
    if rate is None:
        return None
    if not (math.isfinite(rate) and rate > 0):
        raise FusionlabError(
            f"the rate must be a positive number of frames per second, got {rate}",
            code="bad-rate",
            option="rate",
        )
    return Fraction(rate).limit_denominator(MOST_PARTS)


def _checked_offsets(offsets: Sequence[Fraction | float], k: int) -> list[Fraction]:
    offsets = offsets or [0] * k
    if len(offsets) != k or not all(map(math.isfinite, offsets)):
        raise FusionlabError(
            f"expected a finite number of seconds for each of {k} sources as offsets, got "
            f"{', '.join(map(str, offsets))}",
            code="bad-offset",
            option="offset",
        )
    return [Fraction(offset).limit_denominator(MOST_PARTS) for offset in offsets]
