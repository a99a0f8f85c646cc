"""The images of a folder as frames, in the order of their names, in which 2 comes before 10."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import identity_of, read_image
from fusionlab.imaging.selecting import Selection, joined
from fusionlab.runs.image_sets import natural_order, stack_files
from fusionlab.runs.pairing.folder_search import LeftOut, list_folder
from fusionlab.runs.pairing.templates import find_files, is_template
from fusionlab.sequences.contract import Frame, FrameSequence
from fusionlab.storage.hashing import sha256_of_parts

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
"""What is before the last number of a name, the number, and what follows it."""


class Folder(FrameSequence):
    """The images of a folder, or those of a template; they state no times.

    Args:
        path: of the folder, which holds one image for each frame, or a template of the images, such
            as `ir/IR_{}.png`.
        selection: which page and channels of each image.
        max_pixels: refuse frames that claim more pixels; None: no limit.

    Raises:
        FusionlabError: the folder cannot be read (code `unreadable`), holds no images (code
            `no-images`), or it is no right template (as `find_image_set`).
    """

    def __init__(self, path: Path, selection: Selection, max_pixels: int | None) -> None:
        if is_template(path):
            source = find_files(path)
            left_out: Iterable[LeftOut] = source.lost.values()
            found = [file for files in source.files.values() for file in files]
            files = sorted(found, key=lambda file: natural_order(str(file)))
            if not files:
                raise FusionlabError(f"no images are like {path}", code="no-images", path=path)
        else:
            files, left_out = stack_files(path), list_folder(path).left_out
        super().__init__(str(joined(path, selection)), len(files), None)
        self._paths = [joined(path, selection) for path in files]
        self._max_pixels = max_pixels
        missed = [entry for entry in left_out if entry.is_image]
        if missed:
            self.notes.append(
                f"{self.name}: {missed[0].path.name} {missed[0].reason}"
                + (f"; so are {len(missed) - 1} others" if len(missed) > 1 else "")
            )
        if gap := _first_gap(files):
            self.notes.append(
                f"{self.name}: its numbers go from {gap[0]} to {gap[1]}; the frames in between are "
                "missing; matched by their names (sync=name), the others keep their places"
            )

    @property
    def identity(self) -> str:
        """A hash of the names and the contents of the images.

        Raises:
            OSError: an image cannot be read.
        """
        return sha256_of_parts(
            f"{path.name}\n{identity_of(path)}\n".encode(errors="surrogateescape")
            for path in self._paths
        )

    def frames(self, start: int = 0) -> Generator[Frame]:
        """Read the frames; an image that cannot be read is a damaged frame."""
        for path in self._paths[start:]:
            try:
                yield Frame(read_image(path, self._max_pixels))
            except FusionlabError as error:
                yield Frame(error)


def _first_gap(files: Sequence[Path]) -> tuple[str, str] | None:
    """Return two names between which numbers are missing, where all names are alike but for one.

    A camera that numbers its frames in steps of more than one has no gaps.
    """
    parts = [_NUMBERED.fullmatch(path.stem) for path in files]
    if len(files) < 3 or len({(part[1], part[3]) if part else None for part in parts}) != 1:
        return None
    numbers = [int(part[2]) for part in parts if part]
    steps = [after - before for before, after in pairwise(numbers)]
    usual = min(steps)
    if steps.count(usual) * 2 < len(steps):  # times, such as milliseconds
        return None
    place = next((number for number, step in enumerate(steps) if step > usual), None)
    return None if place is None else (files[place].stem, files[place + 1].stem)
