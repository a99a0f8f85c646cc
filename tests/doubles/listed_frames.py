"""Sets of frames that are made from their numbers, for runs over sequences without files."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage
from fusionlab.sequences.contract import FrameSet, FrameSets

RATE = Fraction(25)


class ListedFrames(FrameSets):
    """A 16-bit thermal source that drifts, and a visible one.

    Args:
        count: of the frames.
        shape: of each.
        color: whether the visible source is in color.
        dtype: of the thermal source.
        damaged: the numbers of frames that cannot be read.
        others: number -> the shape of that frame instead.
        rate: frames per second.
    """

    def __init__(
        self,
        count=30,
        shape=(24, 32),
        *,
        color=True,
        dtype=np.uint16,
        damaged=(),
        others=None,
        rate=RATE,
    ):
        super().__init__(("ir", "vis"), count, rate)
        self.shape, self.color, self.dtype = shape, color, dtype
        self.damaged, self.others = damaged, others or {}
        self.starts = []
        """Where each reading has started."""

    @property
    def identity(self):
        return repr((self.count, self.shape, self.color, self.damaged))

    def sets(self, start=0):
        self.starts.append(start)
        for number in range(start, self.count):
            if number in self.damaged:
                problem = FusionlabError("its sources are damaged", code="unreadable")
                yield FrameSet(number, f"{number:06}", problem=problem)
            else:
                yield FrameSet(number, f"{number:06}", self.images(number))

    def images(self, number):
        """Return the sources of a frame."""
        rng = np.random.default_rng(number)
        shape = self.others.get(number, self.shape)
        if self.dtype == np.uint16:
            thermal = rng.integers(6000 + 20 * number, 9000 + 20 * number, shape)
        else:
            thermal = rng.integers(0, 256, shape)
        visible = rng.integers(0, 256, (*shape, 3) if self.color else shape)
        return (
            LoadedImage("ir", thermal.astype(self.dtype), f"ir {number}"),
            LoadedImage("vis", visible.astype(np.uint8), f"vis {number}"),
        )
