"""Sequences of frames that are made up: arrays with times."""

from fractions import Fraction

import numpy as np

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage
from fusionlab.sequences.contract import Frame, FrameSequence


class MadeUp(FrameSequence):
    """Frames whose pixels say their number, read from the beginning or from the middle.

    Args:
        name: of the sequence.
        times: of its frames, in seconds; numbers of frames per second are understood, too.
        damaged: the numbers of frames that cannot be read.
        rate: frames per second that it states.
        count: that it states; "right" for the right one.
    """

    def __init__(self, name, times, damaged=(), rate=None, count="right"):
        self.times = [None if time is None else Fraction(time) for time in times]
        super().__init__(name, len(self.times) if count == "right" else count, rate)
        self.damaged = damaged
        self.shape = (4, 6)
        self.open = 0
        self.read = 0

    @classmethod
    def regular(cls, name, count, rate, **options):
        rate = Fraction(rate)
        return cls(name, [number / rate for number in range(count)], rate=rate, **options)

    @property
    def identity(self):
        return f"{self.name} {self.times}"

    def frames(self, start=0):
        self.open += 1
        try:
            for number, time in list(enumerate(self.times))[start:]:
                self.read += 1
                pixels = np.full(self.shape, number, np.uint16)
                image = LoadedImage(self.name, pixels, "")
                if number in self.damaged:
                    image = FusionlabError(f"frame {number} of {self.name}", code="unreadable")
                yield Frame(image, time)
        finally:
            self.open -= 1


def numbers_of(frame_set):
    """Return the numbers of the frames of a set."""
    return [int(image.pixels[0, 0]) for image in frame_set.images]
