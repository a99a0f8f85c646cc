"""What a sequence is: frames in their order, each an image with its time, one at a time.

A reader of sequences returns a `FrameSequence`. Several of them, matched frame by frame, are
`FrameSets`: the frames that are fused with each other. Both are read from the beginning to the end
and never held as a whole, so that memory does not grow with their length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage


@dataclass(frozen=True)
class Frame:
    """One frame of a sequence, or the reason why it cannot be read."""

    image: LoadedImage | FusionlabError
    """An error takes the place of a damaged frame, and the sequence continues after it."""
    time: Fraction | None = None
    """Seconds since the first frame, as the file states them; None: it does not."""


class FrameSequence(ABC):
    """The frames of one source: of a video, of a folder of images, of the pages of a file.

    Args:
        name: what messages call it: its path.
        count: how many frames it has, as the file states it: a damaged one may have fewer; None:
            that is known at its end only.
        rate: frames per second, as the file states them; None: it does not.
        is_estimated: whether the count follows from how long it lasts, for which its frames need
            not come at a constant rate.
    """

    def __init__(
        self,
        name: str,
        count: int | None,
        rate: Fraction | None,
        *,
        is_estimated: bool = False,
    ) -> None:
        self.name = name
        self.count = count
        self.rate = rate
        self.is_estimated = is_estimated
        self.notes: list[str] = []
        """What the user should know, sentences that begin with the name. Reading adds to them."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A hash that differs for different sequences, so that a run resumes only its own."""

    @abstractmethod
    def frames(self, start: int = 0) -> Generator[Frame]:
        """Read the frames, one at a time, beginning with the number `start`, counted from 0.

        Each call reads from the file anew, and has closed it when the generator is closed. The
        frame with a number is the same, bit for bit, wherever reading starts.

        Raises:
            FusionlabError: the file cannot be read at all, or not beyond this frame.
        """


@dataclass(frozen=True)
class FrameSet:
    """The k frames that are fused into one."""

    number: int
    """Of the result, counted from 0."""
    name: str
    """What the result is called as a file: `000012`, or the stem of its sources."""
    images: Sequence[LoadedImage] = ()
    """Empty where there is a problem."""
    time: Fraction | None = None
    """Seconds since the first frame of the first source; None: unknown."""
    problem: FusionlabError | None = None
    """Why these frames cannot be fused."""


@dataclass
class FrameSets(ABC):
    """Several sequences, frame by frame; see `fusionlab.sequences.synchronize`."""

    names: tuple[str, ...]
    """Of the sources."""
    count: int | None
    """About how many results there will be, as the files state it; None: known at the end."""
    rate: Fraction | None
    """Frames per second of the result; None: unknown."""
    notes: list[str] = field(default_factory=list)
    """What the user should know, such as frames that are left over. Reading adds to them."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A hash of the sequences, and of how they are matched."""

    @abstractmethod
    def sets(self, start: int = 0) -> Iterator[FrameSet]:
        """Read what is fused, one set of frames at a time, beginning with the number `start`.

        Raises:
            FusionlabError: a sequence cannot be read.
        """
