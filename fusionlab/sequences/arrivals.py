"""Find the sources of fusions as their files arrive: those of a camera that writes frame by frame.

Folders are listed again and again, which works on every file system, those of other computers
included; docs/decisions/0049-watched-folders.md has the measurements. What is remembered does not
grow with time: the names that are in the folders now, and the few files that wait for others.
"""

from __future__ import annotations

import os
import stat
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.imaging.selecting import EVERYTHING, Selection, file_of, joined, split
from fusionlab.runs.image_sets import natural_order
from fusionlab.runs.pairing.matching import plain_form
from fusionlab.runs.pairing.single_folder import split_folder
from fusionlab.runs.pairing.subfolders import find_subfolders
from fusionlab.runs.pairing.templates import NamesInFolder, is_template, literal_folder

SEARCH_SECONDS = 0.5
"""How often a single folder is searched for what its sources are, until that is clear."""

MAX_WAITING = 10_000
"""So many files may wait, for their end or for the other sources; then the oldest is forgotten."""

MAX_FORGOTTEN = 1000
"""So many incomplete sets are told about by name; more are only counted."""

Signature = tuple[int, int]
"""Size and time of change of a file: both stay the same while nothing is written into it."""


@dataclass(frozen=True)
class ArrivedSet:
    """The files of one fusion: all of them are there, and none is written to any more."""

    name: str
    """Of the fusion: what the names of its sources have in common."""
    files: tuple[Path, ...]
    signatures: tuple[Signature, ...]
    arrived: float
    """When the last of them was written, by the clock of `Arrivals`; or the earliest that it can
    have been, where that is not known."""
    changed: float
    """When one of them was last seen to change."""
    existing: bool = False
    """Whether they were there at the start."""
    attempts: int = 0
    """How often it was read, and was not complete."""


@dataclass
class _File:
    """A file that was found, and may be written to still."""

    path: Path
    index: int
    """Of its source."""
    fusion: str
    existing: bool
    found: float
    signature: Signature | None = None
    arrived: float = 0
    changed: float = 0
    """When it was first seen with this signature."""
    not_before: float = 0
    """When to look at it again."""
    attempts: int = 0


@dataclass
class _Waiting:
    """Files of one fusion that wait for the others."""

    since: float
    files: dict[int, _File] = field(default_factory=dict)


class Arrivals:
    """Finds the sets of files that arrive in folders.

    Args:
        sources: one folder with the sub-folders `a/ b/ ...` or `ir/ vis/`, or with files named
            after sources, as `01_ir.png 01_vis.png`; or a folder or a template for each source.
        existing: whether files that are there at the start count, too.
        settle: for so many seconds a file must not have changed.
        patience: so many seconds after a file, those that go with it must have come.
        clock: returns seconds.

    Raises:
        FusionlabError: a template or a selection is wrong (codes `not-a-template`,
            `bad-selection`), a folder does not exist (code `unreadable`), or it is not clear what
            the sources in it are (codes as `find_image_set`).
    """

    def __init__(
        self,
        sources: Sequence[Path],
        *,
        existing: bool = False,
        settle: float = 0.02,
        patience: float = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given, self._selections = zip(*map(split, sources), strict=True)
        self._settle = settle
        self._patience = patience
        self.clock = clock
        self._sources: list[NamesInFolder] = []
        self._names: dict[Path, set[str]] = {}
        """Folder -> the names that were in it when it was last listed."""
        self._away: set[Path] = set()
        """The folders that cannot be read."""
        self._growing: dict[tuple[int, Path], _File] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._returned: SimpleQueue[tuple[ArrivedSet, float]] = SimpleQueue()
        self._last_look = clock()
        self._next_search = self._last_look
        self.incomplete = 0
        """How many sets were forgotten because not all of their files came."""
        self.forgotten: deque[tuple[str, tuple[Path, ...]]] = deque(maxlen=MAX_FORGOTTEN)
        """Their names and files; whoever reads them takes them out."""
        for path in self._given:
            _check_folder(literal_folder(path) if is_template(path) else path)
        self._find_sources()
        for folder in self._names:
            names = self._listed(folder)
            self._names[folder] = names
            if existing:
                self._add(folder, names, existing=True)

    @property
    def templates(self) -> tuple[str, ...]:
        """How the files of each source are named; empty as long as that is not clear."""
        return tuple(
            f"{source.template}[{selection}]" if str(selection) else source.template
            for source, selection in zip(self._sources, self._selected, strict=True)
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that hold sources, as far as they are clear."""
        return tuple(self._names) or self._given[:1]

    @property
    def is_busy(self) -> bool:
        """Whether a file is there that may be written to still, or a set to be tried again."""
        return bool(self._growing) or not self._returned.empty()

    def look(self, *, for_new: bool = True) -> list[ArrivedSet]:
        """Return the sets that are complete now, and were not before, in the order of arrival.

        Args:
            for_new: whether to look for new files, too.

        Raises:
            FusionlabError: it is not clear what the sources in the folder are.
        """
        now = self.clock()
        if for_new:
            self._look_for_new(now)
        while not self._returned.empty():
            self._take_back(*self._returned.get())
        complete = list(self._complete(now))
        self._forget(now)
        self._last_look = now
        return complete

    def give_up(self) -> None:
        """Forget the sets that wait for further files, and count them."""
        self._forget(float("inf"))

    def try_again(self, arrived: ArrivedSet, seconds: float) -> None:
        """Take back a set that is not complete after all: look at its files again after a time.

        May be called by any thread.
        """
        self._returned.put((arrived, self.clock() + seconds))

    # ------------------------------------------------------------------ sources

    @property
    def _selected(self) -> tuple[Selection, ...]:
        several = len(self._selections) == len(self._sources)
        return self._selections if several else (EVERYTHING,) * len(self._sources)

    def _find_sources(self) -> None:
        """Find out what the sources are; in a single folder, that may not be clear yet."""
        if len(self._given) > 1:
            self._sources = [NamesInFolder.of(path) for path in self._given]
        else:
            path, selection = self._given[0], self._selections[0]
            if is_template(path) or str(selection):
                raise FusionlabError(
                    f"{path} is one source, and a fusion needs at least two; give one for each, or "
                    "the folder that holds them all",
                    code="not-an-image-set",
                    path=path,
                )
            found = find_subfolders(path) or split_folder(path, growing=True)
            self._sources = [
                NamesInFolder.of(source.folder or Path(source.template))
                for source in (found.sources if found else ())
            ]
        self._names = {source.folder: set() for source in self._sources}

    # ------------------------------------------------------------------ files

    def _look_for_new(self, now: float) -> None:
        """Add the files that have come since the last look to those that are growing."""
        if not self._sources and now >= self._next_search:
            self._find_sources()
            self._next_search = now + SEARCH_SECONDS
        for folder, before in self._names.items():
            names = self._listed(folder)
            self._add(folder, names - before)
            self._names[folder] = names

    def _listed(self, folder: Path) -> set[str]:
        """Return the names in a folder; those of before, while it cannot be read.

        A file server may be away for a moment, and a folder may be made later; each time it is not
        there, a warning says so once.
        """
        try:
            with os.scandir(folder) as entries:
                names = {entry.name for entry in entries}
        except OSError as error:
            if folder not in self._away:
                self._away.add(folder)
                text = f"cannot read {folder}: {error.strerror}; looking for it again and again"
                warnings.warn(text, FusionlabWarning, stacklevel=2)
            return set() if isinstance(error, FileNotFoundError) else self._names[folder]
        self._away.discard(folder)
        return names

    def _add(self, folder: Path, names: set[str], *, existing: bool = False) -> None:
        """Add the files with new names to those that are growing."""
        if not names:
            return
        now = self.clock()
        for name in sorted(names, key=natural_order):
            for index, source in enumerate(self._sources):
                if source.folder == folder and (fusion := source.fusion_of(name)) is not None:
                    path = folder / name
                    self._growing[index, path] = _File(path, index, fusion, existing, now)

    def _take_back(self, arrived: ArrivedSet, not_before: float) -> None:
        """Add the files of a set to those that are growing."""
        parts = zip(arrived.files, arrived.signatures, strict=True)
        for index, (path, signature) in enumerate(parts):
            self._growing[index, file_of(path)] = _File(
                file_of(path),
                index,
                arrived.name,
                arrived.existing,
                self.clock(),
                signature,
                arrived.arrived,
                arrived.changed,
                not_before,
                arrived.attempts + 1,
            )

    def _complete(self, now: float) -> Iterator[ArrivedSet]:
        """Move files that do not grow any more to their sets, and yield the sets that have all."""
        for key, file in list(self._growing.items()):
            if now < file.not_before:
                continue
            try:
                status = file.path.stat()
            except FileNotFoundError:  # it was renamed, or removed
                del self._growing[key]
                continue
            except OSError:  # `_forget` ends this
                continue
            if not stat.S_ISREG(status.st_mode):
                del self._growing[key]
                continue
            self._update(file, (status.st_size, status.st_mtime_ns), now)
            if status.st_size and now - file.changed >= self._settle:
                del self._growing[key]
                waiting = self._waiting.setdefault(plain_form(file.fusion), _Waiting(now))
                waiting.files[file.index] = file
                if len(waiting.files) == len(self._sources):
                    del self._waiting[plain_form(file.fusion)]
                    yield self._set(waiting)

    def _update(self, file: _File, signature: Signature, now: float) -> None:
        """Note when a file has changed last.

        Its time of change is by the clock of the file system, which may be that of another
        computer: it counts as far as it lies between this look and the one before.
        """
        if signature == file.signature:
            return
        written = now - (time.time() - signature[1] / 1e9)
        file.signature = signature
        file.arrived = min(max(written, self._last_look), now)
        file.changed = now

    def _set(self, waiting: _Waiting) -> ArrivedSet:
        files = [waiting.files[index] for index in range(len(self._sources))]
        chosen = zip(files, self._selected, strict=True)
        return ArrivedSet(
            files[0].fusion,
            tuple(joined(file.path, selection) for file, selection in chosen),
            tuple(file.signature or (0, 0) for file in files),
            max(file.arrived for file in files),
            max(file.changed for file in files),
            any(file.existing for file in files),
            max(file.attempts for file in files),
        )

    def _forget(self, now: float) -> None:
        """Forget files that never end, and sets whose other files do not come."""
        for key, file in list(self._growing.items()):
            if max(file.found, file.changed) + self._patience >= now and self._fits():
                break  # those after it came later
            if now >= file.not_before:
                del self._growing[key]
                self._count_incomplete(file.fusion, (file.path,))
        for form, waiting in list(self._waiting.items()):
            if waiting.since + self._patience >= now and self._fits():
                break
            del self._waiting[form]
            files = [file for _, file in sorted(waiting.files.items())]
            self._count_incomplete(files[0].fusion, tuple(file.path for file in files))

    def _fits(self) -> bool:
        return len(self._growing) <= MAX_WAITING and len(self._waiting) <= MAX_WAITING

    def _count_incomplete(self, name: str, files: tuple[Path, ...]) -> None:
        self.incomplete += 1
        self.forgotten.append((name, files))


def signature_of(path: Path) -> Signature | None:
    """Return the signature of a file; None if it is not there."""
    try:
        status = file_of(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise FusionlabError(
            f"{folder} {reason}; give the folder that the images are written to",
            code="unreadable",
            path=folder,
        )
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise FusionlabError(
            f"cannot read {folder}: {error.strerror}", code="unreadable", path=folder
        ) from error
