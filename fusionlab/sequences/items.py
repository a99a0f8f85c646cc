"""The items of an image set as frames: their stems in natural order, in which 2 comes before 10."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import MAX_PIXELS, identity_of
from fusionlab.imaging.resizing import Resize
from fusionlab.runs.file_fusion import load_sources
from fusionlab.runs.image_sets import ImageSet, ImageSetItem, natural_order
from fusionlab.sequences.contract import FrameSet, FrameSets
from fusionlab.sequences.synchronize import checked_rate
from fusionlab.storage.hashing import sha256_of_json

if TYPE_CHECKING:
    from fusionlab.registration.registrar import Registrar


class Items(FrameSets):
    """The fusions of an image set, matched by their names, as the frames of a sequence.

    Args:
        images: the image set; an item with a problem is a set of frames with a problem.
        rate: frames per second of the result; None: unknown.
        resize: as for `FileFusion`.
        registrar: as for `FileFusion`.
        max_pixels: as for `FileFusion`.

    Raises:
        FusionlabError: the rate makes no sense (code `bad-rate`).
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        rate: Fraction | float | None = None,
        resize: Resize | None = None,
        registrar: Registrar | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        super().__init__(images.templates, len(images.items), checked_rate(rate))
        self.items = sorted(images.items, key=lambda item: natural_order(item.stem))
        self._resize, self._registrar, self._max_pixels = resize, registrar, max_pixels

    @property
    def identity(self) -> str:
        """A hash of the names and the contents of all sources, and of how they are registered.

        Raises:
            FusionlabError: a source cannot be read.
        """
        try:
            sources = [
                [item.stem, item.problem, *map(identity_of, () if item.problem else item.sources)]
                for item in self.items
            ]
        except OSError as error:
            raise FusionlabError(
                f"cannot read {error.filename}: {error.strerror}", code="unreadable"
            ) from error
        registrar = self._registrar and self._registrar.describe()
        return sha256_of_json([sources, str(self.rate), self._resize, registrar])

    def sets(self, start: int = 0) -> Iterator[FrameSet]:
        """Read the sources of one item after the other."""
        for number, item in enumerate(self.items[start:], start):
            yield self._set(number, item)

    def _set(self, number: int, item: ImageSetItem) -> FrameSet:
        time = number / self.rate if self.rate else None
        if item.problem:
            problem = FusionlabError(item.problem, code="incomplete-item", option=item.option)
            return FrameSet(number, item.stem, time=time, problem=problem)
        try:
            images = load_sources(item.sources, self._resize, self._max_pixels, self._registrar)
        except FusionlabError as error:
            return FrameSet(number, item.stem, time=time, problem=error)
        return FrameSet(number, item.stem, images, time)
