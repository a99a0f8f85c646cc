"""Which images to train on: files of folders, members of tar shards."""

from __future__ import annotations

import csv
import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from threading import Lock

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import SUFFIXES

HOLD_OUT = 10
"""Without images of their own to validate on, every tenth is held out,"""
MOST_HELD_OUT = 1000
"""but no more than the paper's thousand."""


@dataclass(frozen=True)
class Manifest:
    """Which members of which shards to use: a CSV with columns `shard,name,source`.

    `sources` is a pattern of the `source` column, for example `coco-*`.
    """

    path: Path
    sources: str = "*"

    def members(self) -> set[tuple[str, str]]:
        """Return the chosen (shard, member) names."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                return {
                    (row["shard"], row["name"])
                    for row in csv.DictReader(file)
                    if fnmatch(row["source"], self.sources)
                }
        except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise FusionlabError(
                f"{self.path} is not a manifest: expected a CSV file with the columns shard, "
                f"name and source ({error})"
            ) from error


@dataclass(frozen=True)
class ImageFile:
    """An image that has been found and not yet been read."""

    place: Path
    """The folder it was found in, or its shard."""
    name: str
    """Its path below the folder, or its name in the shard."""
    stamp: tuple[int, int]
    """Size in bytes, and when it (or its shard) was changed, in nanoseconds."""
    shard: Shard | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What it has in common with no other image."""
        if self.shard:
            return str(self.place.resolve()), self.name
        return str((self.place / self.name).resolve()), ""

    def read(self) -> bytes:
        """Return the content of the file."""
        try:
            return (
                self.shard.read(self.name) if self.shard else (self.place / self.name).read_bytes()
            )
        except (OSError, tarfile.TarError, EOFError) as error:
            raise FusionlabError(f"cannot read {self}: {error}") from error

    def __str__(self) -> str:
        """Name it in a sentence."""
        return f"{self.name} in {self.place}"


@dataclass(eq=False)
class Shard:
    """An open tar file, read by several threads one after another."""

    path: Path
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.tar = tarfile.open(self.path)  # noqa: SIM115  # open as long as its images are read
        self.members = {member.name: member for member in self.tar.getmembers() if member.isfile()}

    def __del__(self) -> None:
        if hasattr(self, "tar"):  # it could be opened
            self.tar.close()

    def read(self, name: str) -> bytes:
        """Return the content of one member."""
        with self.lock:
            file = self.tar.extractfile(self.members[name])
            return file.read() if file else b""


def find_images(places: Sequence[Path], manifest: Manifest | None = None) -> list[ImageFile]:
    """List the images of folders (searched recursively) and `.tar` shards, sorted by name.

    Args:
        places: folders and shards; their order is kept.
        manifest: restricts the shards to some of their members.

    Raises:
        FusionlabError: a place cannot be read, or there is no image in it.
    """
    wanted = manifest.members() if manifest else None
    found: list[ImageFile] = []
    for place in places:
        some = list(_in_folder(place) if place.is_dir() else _in_shard(place, wanted))
        if not some:
            why = f" that {manifest.path} lists as {manifest.sources!r}" if manifest else ""
            raise FusionlabError(f"there are no images in {place}{'' if place.is_dir() else why}")
        found += some
    return found


def check_apart(training: Sequence[ImageFile], validation: Sequence[ImageFile]) -> None:
    """Make sure that no image is there twice.

    Raises:
        FusionlabError: one is, for training or for both.
    """
    seen = {file.identity: file for file in training}
    if len(seen) < len(training):
        raise FusionlabError(
            f"{len(training) - len(seen)} images are given twice; name each folder and shard once"
        )
    if both := [file for file in validation if file.identity in seen]:
        raise FusionlabError(
            f"{len(both)} images are both trained on and held out, for example {both[0]}; give "
            "others to --validation, or leave it out"
        )


def hold_out(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[ImageFile]]:
    """Split into images to train on and images to validate on: every tenth, 1000 at most.

    Raises:
        FusionlabError: there is only one image.
    """
    if len(files) < 2:
        raise FusionlabError(
            f"one image is not enough: some are trained on, others held out; got {files[0]}"
        )
    step = max(HOLD_OUT, -(-len(files) // MOST_HELD_OUT))
    held_out = files[::step]
    return [file for n, file in enumerate(files) if n % step], list(held_out)


def digest(files: Sequence[ImageFile]) -> str:
    """Return a name for these files as they are now."""
    lines = (f"{file.place.resolve()}\0{file.name}\0{file.stamp}\n" for file in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _is_image(path: Path) -> bool:
    """Judge by the name; what begins with a dot is some system's own."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _in_folder(place: Path) -> Iterator[ImageFile]:
    found: list[Path] = []
    visited: set[str] = set()
    for top, folders, names in os.walk(place, followlinks=True):
        if (real := os.path.realpath(top)) in visited:
            folders.clear()  # a link that leads back
            continue
        visited.add(real)
        found += [Path(top, name) for name in names]
    for path in sorted(found):
        if _is_image(path) and path.is_file():
            about = path.stat()
            stamp = (about.st_size, about.st_mtime_ns)
            yield ImageFile(place, str(path.relative_to(place)), stamp)


def _in_shard(place: Path, wanted: set[tuple[str, str]] | None) -> Iterator[ImageFile]:
    try:
        shard, changed = Shard(place), place.stat().st_mtime_ns
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = str(error).partition("\n")[0].removesuffix(":")
        raise FusionlabError(
            f"cannot read {place}: expected a folder of images or a .tar shard ({reason})"
        ) from error
    for name, member in sorted(shard.members.items()):
        if _is_image(Path(name)) and (wanted is None or (place.name, name) in wanted):
            yield ImageFile(place, name, (member.size, changed), shard)
