"""Fuse an image set into a folder: reading, computing and writing overlap, and runs resume."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

from fusionlab.errors import FusionlabError
from fusionlab.imaging.writing import check_writable
from fusionlab.runs.file_fusion import FileFusion, Product, Sources, alike
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.runs.manifest import RunManifest
from fusionlab.runs.read_ahead import read_ahead
from fusionlab.storage.atomic import atomic_write_all, make_folder, remove_partial
from fusionlab.storage.hashing import sha256_of_file, sha256_of_json

AHEAD = 3
"""How many fusions are read before their turn, and how many wait to be written, at least."""

MOST_AHEAD = 64
"""Even where thousands of tiny images are fused in one go, somebody waits for the outcomes."""


@dataclass(frozen=True)
class Outcome:
    """What became of one entry of an image set."""

    stem: str
    status: Literal["fused", "skipped", "failed"]
    output: Path
    problem: str = ""
    """Why it failed, a sentence."""
    notes: tuple[str, ...] = ()


@dataclass
class Seconds:
    """Where the time goes. Reading and writing happen while the fusion computes."""

    read: float = 0
    fuse: float = 0
    write: float = 0
    waited: float = 0
    """For reading: what overlapping could not hide."""


@dataclass
class FolderRun:
    """Fuses the entries of an image set, each into a file named after its stem.

    An entry that cannot be read or fused fails by itself; an output folder that cannot be
    written ends the run.

    Args:
        job: what is done to each entry.
        folder: where the pictures go; made if it is not there.
        suffix: their format, for example `.png`.
        resume: leave out what an earlier run with these settings and sources has finished.
        overwrite: replace files that are there.
    """

    job: FileFusion
    folder: Path
    suffix: str = ".png"
    resume: bool = False
    overwrite: bool = False
    seconds: Seconds = field(default_factory=Seconds)
    _ahead: int = field(default=AHEAD, init=False)

    def run(self, entries: Sequence[ImageSetItem]) -> Iterator[Outcome]:
        """Fuse all entries, in their order.

        Raises:
            FusionlabError: files are in the way, or the folder cannot be written.
        """
        manifest = RunManifest(self.folder)
        self._check(entries, manifest)
        self._prepare()
        manifest.tidy()
        settings = sha256_of_json({**self.job.describe(), "depth": self.job.depth})
        reader = ThreadPoolExecutor(2, "read")
        writer = ThreadPoolExecutor(1, "write")
        writes: deque[Future[Outcome]] = deque()
        try:
            reads = self._reads(entries, manifest, settings, reader)
            for entry, outcome in self._fused(self._groups(reads)):
                if isinstance(outcome, Outcome):
                    while writes:  # keep the order of the entries
                        yield writes.popleft().result()
                    yield outcome
                    continue
                writes.append(writer.submit(self._write, entry, outcome, manifest, settings))
                if len(writes) > self._ahead:
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()
        except KeyboardInterrupt:  # what has been fused is worth its few milliseconds
            while writes:
                yield writes.popleft().result()
            raise
        finally:  # also when the caller stops asking, and at Ctrl-C
            reader.shutdown(cancel_futures=True)
            writer.shutdown(cancel_futures=True)
        manifest.tidy()

    def output(self, entry: ImageSetItem) -> Path:
        """Return where the picture of an entry goes."""
        return self.folder / f"{entry.stem}{self.suffix}"

    def _check(self, entries: Sequence[ImageSetItem], manifest: RunManifest) -> None:
        """Refuse to replace sources, and what no earlier run of ours has written."""
        sources = [source for entry in entries for source in entry.sources]
        places = {os.path.realpath(source.parent) for source in sources}
        for folder in filter(None, (self.folder, self.job.maps)):
            if os.path.realpath(folder) in places:
                raise FusionlabError(
                    f"{folder} holds sources; choose another folder for the results"
                )
        originals = set(map(os.path.realpath, sources))
        strange = []
        for entry in entries:
            for path in self.job.outputs(self.output(entry), entry.sources):
                if entry.problem or not os.path.lexists(path):
                    continue
                if os.path.realpath(path) in originals:
                    raise FusionlabError(f"{path} is a link to a source; remove it first")
                check_writable(path, overwrite=True)
                if not (self.resume and manifest.has_file(entry.stem, path)):
                    strange.append(path.name)
        if strange and not self.overwrite:
            told = f"{self.folder} holds {len(strange)} of the files to be written already, such "
            if self.resume:
                raise FusionlabError(
                    f"{told}as {strange[0]}, which no earlier run has noted; add --overwrite to "
                    "replace them, or choose another folder"
                )
            raise FusionlabError(
                f"{told}as {strange[0]}; use --resume to go on with an interrupted run, "
                "--overwrite to replace them"
            )

    def _prepare(self) -> None:
        for folder in filter(None, (self.folder, self.job.maps)):
            make_folder(folder)
            if self.resume:
                remove_partial(folder)

    def _reads(
        self,
        entries: Sequence[ImageSetItem],
        manifest: RunManifest,
        settings: str,
        reader: ThreadPoolExecutor,
    ) -> Iterator[tuple[ImageSetItem, Future[tuple[Sources | None, float]]]]:
        """Read ahead of the fusion, but never more than a few entries."""
        return read_ahead(
            entries,
            lambda entry: reader.submit(self._read, entry, manifest, settings),
            lambda: self._ahead,
        )

    def _read(
        self, entry: ImageSetItem, manifest: RunManifest, settings: str
    ) -> tuple[Sources | None, float]:
        """Read the sources of an entry, or None if it is finished; and tell the seconds taken."""
        if entry.problem:
            raise FusionlabError(entry.problem)
        started = perf_counter()
        if self.resume:
            hashes = [_sha256(path) for path in entry.sources]
            outputs = self.job.outputs(self.output(entry), entry.sources)
            if manifest.is_finished(entry.stem, _key(settings, hashes), outputs):
                return None, perf_counter() - started
        sources = self.job.load(entry.sources)
        return sources, perf_counter() - started

    def _groups(
        self, reads: Iterator[tuple[ImageSetItem, Future[tuple[Sources | None, float]]]]
    ) -> Iterator[list[tuple[ImageSetItem, Sources]] | tuple[ImageSetItem, Outcome]]:
        """Put together what is fused in one go: small images that follow each other and are alike.

        What has failed already, and what is there already, comes in between, in its place.
        """
        group: list[tuple[ImageSetItem, Sources]] = []
        for entry, reading in reads:
            found = self._received(entry, reading)
            if group and (isinstance(found, Outcome) or not alike(group[0][1], found)):
                yield group
                group = []
            if isinstance(found, Outcome):
                yield entry, found
                continue
            group.append((entry, found))
            most = self.job.at_once(found)
            self._ahead = min(max(self._ahead, 2 * most), MOST_AHEAD)
            if len(group) >= most:
                yield group
                group = []
        if group:
            yield group

    def _received(
        self, entry: ImageSetItem, reading: Future[tuple[Sources | None, float]]
    ) -> Sources | Outcome:
        """Wait for the sources of an entry."""
        output, started = self.output(entry), perf_counter()
        try:
            sources, seconds = reading.result()
        except FusionlabError as error:
            return _failed(entry, output, error)
        self.seconds.read += seconds
        self.seconds.waited += perf_counter() - started
        return Outcome(entry.stem, "skipped", output) if sources is None else sources

    def _fused(
        self, groups: Iterator[list[tuple[ImageSetItem, Sources]] | tuple[ImageSetItem, Outcome]]
    ) -> Iterator[tuple[ImageSetItem, Outcome | Product]]:
        """Fuse group by group; those of a group that fails, one by one."""
        for group in groups:
            if isinstance(group, tuple):
                yield group
                continue
            started = perf_counter()
            entries, several = zip(*group, strict=True)
            found: list[Outcome | Product] = []
            if len(group) > 1:
                with suppress(FusionlabError):  # it will be said of the picture it is about
                    found += self.job.fuse_alike(several, [self.output(one) for one in entries])
            if not found:
                found += [self._alone(entry, sources) for entry, sources in group]
            self.seconds.fuse += perf_counter() - started
            yield from zip(entries, found, strict=True)

    def _alone(self, entry: ImageSetItem, sources: Sources) -> Outcome | Product:
        output = self.output(entry)
        try:
            return self.job.fuse(sources, output)
        except FusionlabError as error:
            return _failed(entry, output, error)

    def _write(
        self, entry: ImageSetItem, product: Product, manifest: RunManifest, settings: str
    ) -> Outcome:
        started = perf_counter()
        output, notes = product.output, product.notes
        try:
            files = self.job.encode(product)
        except FusionlabError as error:  # too large for its format; the next may not be
            return Outcome(entry.stem, "failed", output, f"{entry.stem}: {error}", notes)
        key = _key(settings, [picture.sha256 for picture in product.sources.pictures])
        with atomic_write_all(files) as written:
            manifest.add(entry.stem, key, written)
        self.seconds.write += perf_counter() - started
        return Outcome(entry.stem, "fused", output, notes=notes)


def _failed(entry: ImageSetItem, output: Path, error: FusionlabError) -> Outcome:
    return Outcome(entry.stem, "failed", output, entry.problem or f"{entry.stem}: {error}")


def _key(settings: str, hashes: Sequence[str]) -> str:
    """Return what a picture is a function of."""
    return sha256_of_json({"settings": settings, "sources": list(hashes)})


def _sha256(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise FusionlabError(f"cannot read {path}: {error.strerror}") from error
