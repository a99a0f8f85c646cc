"""Find training images: files in folders, and members of tar shards."""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from threading import Lock

from fusionlab.errors import FusionlabError
from fusionlab.imaging.recognizing import has_image_suffix
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.data.hold_out import hold_out


@dataclass(frozen=True)
class ShardTable:
    """A CSV file with the columns `shard,name,source` that selects members of shards.

    `sources` is a pattern for the `source` column, for example `coco-*`.
    """

    path: Path
    sources: str = "*"

    def members(self) -> set[tuple[str, str]]:
        """Return the selected (shard, member) names.

        Raises:
            FusionlabError: the file is not such a table.
        """
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
                f"name and source ({error})",
                code="invalid-manifest",
                option="manifest",
                path=self.path,
            ) from error


@dataclass(frozen=True)
class ImageFile:
    """An image that has been found and not been read yet."""

    location: Path
    """The folder it was found in, or its shard."""
    name: str
    """Its path below the folder, or its name in the shard."""
    stamp: tuple[int, int]
    """Its size in bytes, and the modification time of the file or shard in nanoseconds."""
    shard: Shard | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """Real path of the file, or of the shard with the name of the member; unique."""
        if self.shard:
            return str(self.location.resolve()), self.name
        return str((self.location / self.name).resolve()), ""

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
            FusionlabError: it cannot be read (code `unreadable`).
        """
        try:
            if self.shard:
                return self.shard.read(self.name)
            return (self.location / self.name).read_bytes()
        except (OSError, tarfile.TarError, EOFError) as error:
            raise FusionlabError(f"cannot read {self}: {error}", code="unreadable") from error

    def __str__(self) -> str:
        """Return its name for messages."""
        return f"{self.name} in {self.location}"


@dataclass(eq=False)
class Shard:
    """An open tar file that several threads may read."""

    path: Path
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.tar = tarfile.open(self.path)  # noqa: SIM115  # stays open while its images are read
        self.members = {member.name: member for member in self.tar.getmembers() if member.isfile()}

    def __del__(self) -> None:
        if hasattr(self, "tar"):  # opening may have failed
            self.tar.close()

    def read(self, name: str) -> bytes:
        """Return the content of one member."""
        with self.lock:
            file = self.tar.extractfile(self.members[name])
            return file.read() if file else b""


@dataclass(frozen=True)
class TrainingFiles:
    """The images of a run: those to train on, and those to validate on."""

    training: list[ImageFile]
    validation: list[ImageFile]

    @classmethod
    def find(
        cls,
        data: Sequence[Path],
        validation: Sequence[Path] = (),
        manifest: Path | None = None,
        sources: str = "*",
    ) -> TrainingFiles:
        """Find the images of folders and shards.

        Args:
            data: folders and `.tar` shards of training images.
            validation: those of held-out images; where there are none, every tenth training image
                is held out, 1000 at most.
            manifest: a table that selects members of shards; see `ShardTable`.
            sources: the pattern of the table.

        Raises:
            FusionlabError: a folder or shard cannot be read or holds no images, or an image is
                used twice.
        """
        if sources != "*" and not manifest:
            raise FusionlabError(
                f"the sources {sources!r} are selected from a manifest, but there is none",
                code="no-manifest",
                option="manifest",
            )
        if manifest and all(location.is_dir() for location in (*data, *validation)):
            raise FusionlabError(
                "a manifest selects from tar shards, but there are only folders",
                code="no-shards",
                option="manifest",
            )
        table = ShardTable(manifest, sources) if manifest else None
        files = find_images(data, table)
        held_out = find_images(validation, table) if validation else []
        check_disjoint(files, held_out)
        return cls(files, held_out) if validation else cls(*hold_out(files))


def find_images(locations: Sequence[Path], table: ShardTable | None = None) -> list[ImageFile]:
    """List the images of folders (searched recursively) and `.tar` shards, sorted by name.

    Args:
        locations: folders and shards; their order is kept.
        table: restricts the shards to some of their members.

    Raises:
        FusionlabError: a location cannot be read, or holds no images (code `no-images`).
    """
    selected = table.members() if table else None
    files: list[ImageFile] = []
    for location in locations:
        is_folder = location.is_dir()
        images = list(_in_folder(location) if is_folder else _in_shard(location, selected))
        if not images:
            restriction = f" that {table.path} lists as {table.sources!r}" if table else ""
            raise FusionlabError(
                f"there are no images in {location}{'' if is_folder else restriction}",
                code="no-images",
                path=location,
            )
        files += images
    return files


def check_disjoint(training: Sequence[ImageFile], validation: Sequence[ImageFile]) -> None:
    """Check that no image is used twice.

    Raises:
        FusionlabError: a training image is listed twice, or held out too (code
            `duplicate-images`).
    """
    by_identity = {file.identity: file for file in training}
    if duplicates := len(training) - len(by_identity):
        raise FusionlabError(
            f"{duplicates} images are listed twice; name each folder and shard once",
            code="duplicate-images",
        )
    if both := [file for file in validation if file.identity in by_identity]:
        raise FusionlabError(
            f"{len(both)} images are both trained on and held out, for example {both[0]}; choose "
            "others to validate on",
            code="duplicate-images",
            option="validation",
        )


def sha256_of_files(files: Sequence[ImageFile]) -> str:
    """Return a SHA-256 that changes with the locations, names, sizes and times of the files."""
    lines = (f"{file.location.resolve()}\0{file.name}\0{file.stamp}\n" for file in files)
    return sha256_of_bytes("".join(lines).encode("utf-8", "surrogateescape"))


def _is_image(path: Path) -> bool:
    """Decide by the name; files whose name begins with a dot belong to the operating system."""
    return has_image_suffix(path) and not path.name.startswith(".")


def _in_folder(location: Path) -> Iterator[ImageFile]:
    paths: list[Path] = []
    visited: set[str] = set()
    for top, folders, names in os.walk(location, followlinks=True):
        if (real_path := os.path.realpath(top)) in visited:
            folders.clear()  # a symlink loop
            continue
        visited.add(real_path)
        paths += [Path(top, name) for name in names]
    for path in sorted(paths):
        if _is_image(path) and path.is_file():
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            yield ImageFile(location, str(path.relative_to(location)), stamp)


def _in_shard(location: Path, selected: set[tuple[str, str]] | None) -> Iterator[ImageFile]:
    try:
        shard, changed = Shard(location), location.stat().st_mtime_ns
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = str(error).partition("\n")[0].removesuffix(":")
        raise FusionlabError(
            f"cannot read {location}: expected a folder of images or a .tar shard ({reason})",
            code="unreadable",
            path=location,
        ) from error
    for name, member in sorted(shard.members.items()):
        if _is_image(Path(name)) and (selected is None or (location.name, name) in selected):
            yield ImageFile(location, name, (member.size, changed), shard)
