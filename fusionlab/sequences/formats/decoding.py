"""Decode the frames of a video in the order in which they are shown, damaged ones in their places.

Most codecs describe a frame by its difference from others, and most decoders continue behind a
damaged frame with what they have: what they return up to the next key frame is no frame of it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fusionlab.sequences.formats.ffv1 import has_intact_slices

MAY_SHOW_NOTHING = {"vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9", "libaom-av1"}
"""Codecs that have packets of frames that are not shown, which others are made of."""
PROGRESSIVE = (0, 1)
"""Orders of fields of streams each of whose packets is a frame: unknown, and none."""

Damage = Literal["", "damaged", "dependent"]


@dataclass
class Shown:
    """A frame in its place, decoded or not."""

    frame: VideoFrame | None
    """None where it cannot be decoded."""
    pts: int | None
    """When it is shown, in units of the stream; None: unknown."""
    damage: Damage = ""
    """Whether it is damaged itself, or builds on one that is."""


@dataclass
class _Sent:
    """A packet that was given to the decoder."""

    index: int
    """In the order of decoding."""
    group: int
    """The key frames up to this one; the frames of a group build on its key frame."""
    is_leading: bool
    """Whether it is shown before its key frame, and may build on the group before it, too."""
    is_disposable: bool
    """Whether no other frame builds on it."""
    is_damaged: bool = False


class Decoding:
    """The frames of one pass through a video.

    Args:
        container: the open file, at its beginning or at a key frame.
        stream: of the container.
        is_ordered: whether packets state when their frames are shown. Where they do not, as in AVI
            with frames that build on later ones, a frame that is lost without a word is not missed.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, *, is_ordered: bool) -> None:
        self._container, self._stream = container, stream
        self._context = stream.codec_context
        self._is_ordered = is_ordered
        self.packets = 0
        """How many were read so far."""
        self.broke_off = ""
        """What the file itself is damaged by, where it cannot be read further."""
        self._sent: dict[int, _Sent] = {}
        """Those without a frame so far, by the time at which it is shown."""
        self._times: list[int] = []
        """Of these, as a heap."""
        self._given_up: deque[int] = deque(maxlen=64)
        """The times of the last frames that were taken for lost."""
        self._errors = 0
        """Of the decoder, that are not known to be of one of these packets."""
        self._group, self._key_time = 0, 0
        self._first_damage: dict[int, int] = {}
        """Group -> the index of its first packet that is damaged."""
        self._checks_slices = False

    def frames(self) -> Generator[Shown]:
        """Decode the frames, from the first key frame on.

        Later frames are decoded before frames that build on them, and may turn out to be damaged
        only when it is their turn; so as many frames are held back as the stream reorders.
        """
        held: deque[tuple[Shown, _Sent | None]] = deque()
        for packet in self._packets():
            for found in self._decoded(packet):
                held.append(found)
                while len(held) > self._context.reorder_depth:
                    yield self._judged(*held.popleft())
        held.extend(self._lost(None, None))
        while held:
            yield self._judged(*held.popleft())

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the stream, and an empty one at the end."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet: Packet[Any] | None = next(packets, None)
            except MemoryError:  # FFmpeg's own is an FFmpegError, too
                raise
            except FFmpegError as error:
                self.broke_off = error.strerror or str(error)
                packet = Packet()
            if packet is None:
                return
            yield packet
            if self.broke_off:
                return

    def _decoded(self, packet: Packet[VideoStream]) -> Iterator[tuple[Shown, _Sent | None]]:
        """Yield the frames that the decoder returns for a packet, and those that it has lost."""
        ends = not packet.size and packet.dts is None
        self.packets += bool(packet.size)
        if not ends and not (packet.size and self._register(packet)):
            return
        try:
            frames = self._context.decode(None if ends else packet)
        except MemoryError:
            raise
        except FFmpegError:
            self._errors += 1
            if not self._is_ordered:
                self._first_damage.setdefault(self._group, -1)
                self._errors = 0
                yield Shown(None, None), None
            return
        for frame in frames:
            if frame.pts in self._given_up:
                continue  # its place in the order of a damaged file has passed
            sent = self._sent.pop(frame.pts, None) if frame.pts is not None else None
            if frame.is_corrupt and sent:
                self._damage(sent)
            if self._is_ordered and frame.pts is not None:
                yield from self._lost(frame.pts, sent)
            yield Shown(frame, frame.pts), sent

    def _register(self, packet: Packet[VideoStream]) -> bool:
        """Note what a packet is; return whether it is to be decoded."""
        if packet.is_keyframe:
            self._group += 1
            self._key_time = packet.pts or 0
            self._first_damage.pop(self._group - 64, None)  # all of its frames have been shown
        if not self._group:
            return False  # it builds on what is before the beginning
        time = packet.pts
        is_leading = time is not None and time < self._key_time
        if is_leading and self._group == 1:
            return False
        if packet.is_discard or time is None:
            return True
        sent = _Sent(self.packets, self._group, is_leading, packet.is_disposable)
        self._sent[time] = sent
        if self._is_ordered:
            heapq.heappush(self._times, time)
        elif len(self._sent) > 2**8:
            del self._sent[next(iter(self._sent))]
        if packet.is_corrupt or not self._has_intact_slices(packet):
            self._damage(sent)
        return True

    def _has_intact_slices(self, packet: Packet[VideoStream]) -> bool:
        """Return whether a packet is intact, as far as it can be known without decoding it."""
        if self._context.name != "ffv1":
            return True
        intact = has_intact_slices(bytes(packet))
        self._checks_slices |= intact  # streams without parities have none anywhere
        return intact or not self._checks_slices

    def _damage(self, sent: _Sent) -> None:
        sent.is_damaged = True
        if not sent.is_disposable:
            first = self._first_damage.get(sent.group, sent.index)
            self._first_damage[sent.group] = min(first, sent.index)

    def _lost(
        self, until: int | None, returned: _Sent | None
    ) -> Iterator[tuple[Shown, _Sent | None]]:
        """Yield the frames that the decoder has not returned, but should have.

        Args:
            until: the time before which they are shown; None: all of them.
            returned: the packet of the frame of this time. Where nothing is reordered, what was
                sent behind it is still being decoded, whatever a damaged file says of its time.
        """
        silent = self._context.name in MAY_SHOW_NOTHING
        silent |= self._context.field_order not in PROGRESSIVE
        while self._times and (until is None or self._times[0] < until):
            time = self._times[0]
            sent = self._sent.get(time)
            reorders = self._context.reorder_depth > 0
            if sent and returned and not reorders and sent.index > returned.index:
                return
            heapq.heappop(self._times)
            self._sent.pop(time, None)
            if sent is None:
                continue
            if silent and not self._errors:
                continue
            self._errors = max(0, self._errors - 1)
            self._damage(sent)
            self._given_up.append(time)
            yield Shown(None, time), sent

    def _judged(self, shown: Shown, sent: _Sent | None) -> Shown:
        """Return a frame with what is known of its damage by now."""
        if shown.frame is None or (sent and sent.is_damaged):
            shown.damage = "damaged"
        elif not self._context.codec.intra_only:
            groups = [self._group if sent is None else sent.group]
            if sent and sent.is_leading:
                groups.append(sent.group - 1)
            firsts = [self._first_damage[g] for g in groups if g in self._first_damage]
            if any(sent is None or sent.index > first for first in firsts):
                shown.damage = "dependent"
        return shown
