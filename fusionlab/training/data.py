"""Training images: decoded once, kept as grey bytes in memory, drawn by number.

Which images make up iteration i, and where they are cropped, is a function of (seed, i) and
of nothing else. A resumed run therefore sees exactly what an undisturbed one would have
seen, and no random state has to be saved.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import SUFFIXES, decode_image
from fusionlab.imaging.resizing import resized

EDGE = 256
"""Every image is resized to 256x256, as in the paper (Section III-A)."""


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
            with self.path.open(newline="", encoding="utf-8") as file:
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


def load_images(
    places: list[Path],
    manifest: Manifest | None = None,
    progress: Callable[[int], None] = lambda *_: None,
) -> NDArray[np.uint8]:
    """Read every image of some folders and tar shards as grey levels `(n, 256, 256)`.

    Colour becomes BT.601 luma; another size is resized (bicubic, antialiased).

    Args:
        places: folders (searched recursively) and `.tar` files, read in sorted order.
        manifest: restricts tar shards to some of their members.
        progress: called with the number of images read so far.

    Raises:
        FusionlabError: a place does not exist, a file is no 8-bit gray or RGB image, or nothing
            is left.
    """
    wanted = manifest.members() if manifest else None
    images: list[NDArray[np.uint8]] = []
    for place in places:
        for name, content in _files_of(place):
            if wanted is not None and (place.name, name) not in wanted:
                continue
            images.append(_decode(content, name, place))
            progress(len(images))
    if not images:
        raise FusionlabError(
            f"no training images in {', '.join(map(str, places))}"
            + (f" that {manifest.path} lists as {manifest.sources!r}" if manifest else "")
        )
    return np.stack(images)


def _files_of(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_dir():
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(place) as shard:
            for member in sorted(shard.getmembers(), key=lambda m: m.name):
                file = shard.extractfile(member)
                if file is not None:
                    yield member.name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise FusionlabError(
            f"cannot read {place}: expected a folder of images or a .tar shard ({error})"
        ) from error


def _decode(content: bytes, name: str, place: Path) -> NDArray[np.uint8]:
    pixels = decode_image(content, f"{name} in {place}").pixels
    if pixels.dtype != np.uint8:
        raise FusionlabError(
            f"{name} in {place} must be an 8-bit image to train on, got {pixels.dtype}; convert it "
            "to 8 bits first"
        )
    grey = np.array(PIL.Image.fromarray(pixels).convert("L"))  # BT.601, in integers
    return resized(grey, EDGE, EDGE)


def batch_of(images: NDArray[np.uint8], seed: int, iteration: int, batch: int, size: int) -> Tensor:
    """Return the images of one iteration, `(batch, 1, size, size)` in 0..1.

    Every epoch is a new permutation of all images (an incomplete last batch is dropped), every
    crop lies anywhere in its image; both depend on (seed, iteration) alone.
    """
    per_epoch = max(1, len(images) // batch)
    epoch, position = divmod(iteration, per_epoch)
    order = np.random.default_rng([seed, 0, epoch]).permutation(len(images))
    corners = np.random.default_rng([seed, 1, iteration])
    crops = []
    for index in order[position * batch : (position + 1) * batch]:
        top, left = corners.integers(0, EDGE - size, size=2, endpoint=True)
        crops.append(images[index, top : top + size, left : left + size])
    return torch.from_numpy(np.stack(crops))[:, None].float() / 255
