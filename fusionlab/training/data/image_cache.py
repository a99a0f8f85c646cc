"""Decode training images once, into a file of gray bytes that is mapped into memory.

An epoch then needs no decoding, a resumed run starts at once, and processes and runs on one
machine share one copy. 80,000 images take 5.2 GB.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image
from filelock import FileLock
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.resizing import resized
from fusionlab.runs.read_ahead import read_ahead
from fusionlab.storage.atomic import make_folder
from fusionlab.storage.own_files import check_own_file
from fusionlab.threads import available_cores
from fusionlab.training.data.bad_images import BadImages
from fusionlab.training.data.image_files import ImageFile, sha256_of_files
from fusionlab.training.settings import IMAGE_SIZE

GrayImages = NDArray[np.uint8]
"""Gray levels, `(n, 256, 256)`."""

RESERVED_BYTES = 2**28
"""Disk space that is left free."""
_LEFT_OUT = "-without-{}"
"""End of the name of a file in which some images are left out: how many."""
IMAGES_AHEAD = 64
"""How many images may be decoded ahead of their use."""


def load_images(
    files: Sequence[ImageFile],
    folder: Path | None = None,
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> GrayImages:
    """Return images as gray levels `(n, 256, 256)`, mapped from a file where the disk has room.

    An image that cannot be used is left out with a warning, see `BadImages`; n is the number of
    the others.

    Color becomes BT.601 luma. Images of another size are resized (bicubic, antialiased), without
    keeping their proportions, as in the paper.

    Args:
        files: what `find_images` returned.
        folder: where to keep the decoded images, as `images-HASH.npy`; the next call with the
            same, unchanged files maps it. None, or a full disk: in memory.
        workers: threads that decode; 0: one per processor.
        progress: called with the number of images decoded so far, and of all.

    Raises:
        FusionlabError: too many files are not 8-bit images (code `too-many-bad-images`), or the
            folder cannot be written.
    """
    pixels = _decoded(files, workers, progress)
    if folder is None:
        return _in_memory(pixels, len(files))
    make_folder(folder)
    name = f"images-{sha256_of_files(files)[:16]}"
    with _locked(folder / f".{name}.lock"):  # a second process waits, and maps the result
        if (images := _found(folder, name, len(files))) is not None:
            return images
        partial = folder / f".{name}.partial"
        try:
            left_out = len(files) - _write(partial, pixels, len(files))
            path = folder / f"{name}{_LEFT_OUT.format(left_out) if left_out else ''}.npy"
            partial.replace(path)
        except OSError as error:
            if error.errno == ENOSPC:
                return load_images(files, None, workers=workers, progress=progress)
            raise FusionlabError(
                f"cannot write {name}.npy in {folder}: {error.strerror or error}",
                code="unwritable",
                path=folder / f"{name}.npy",
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    images = _mapped(path, len(files) - left_out)
    if images is None:
        raise FusionlabError(
            f"{path} was changed by another program; delete it and try again", path=path
        )
    return images


def _found(folder: Path, name: str, count: int) -> GrayImages | None:
    """Map what an earlier run has decoded; None if there is nothing, or it is damaged."""
    if (images := _mapped(folder / f"{name}.npy", count)) is not None:
        return images
    for path in sorted(folder.glob(f"{name}{_LEFT_OUT.format('*')}.npy")):
        number = path.stem.rpartition("-")[2]
        images = _mapped(path, count - int(number)) if number.isdecimal() else None
        if images is not None:
            text = f"{number} of {count} images were left out when they were decoded into {path}"
            warnings.warn(text, FusionlabWarning, stacklevel=3)
            return images
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        with FileLock(path):
            yield
    except PermissionError as error:
        raise FusionlabError(
            f"cannot write {path}: {error.strerror}", code="unwritable", path=path
        ) from error


def _mapped(path: Path, count: int) -> GrayImages | None:
    """Map the decoded images; None if the file is missing or incomplete."""
    check_own_file(path, reading=True)
    try:
        images: GrayImages = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    complete = images.shape == (count, IMAGE_SIZE, IMAGE_SIZE) and images.dtype == np.uint8
    return images if complete else None


def _write(path: Path, pixels: Iterator[GrayImages], count: int) -> int:
    """Write images, `count` at most, and return how many there were."""
    if shutil.disk_usage(path.parent).free < count * IMAGE_SIZE**2 + RESERVED_BYTES:
        raise OSError(ENOSPC, "no room for the decoded images")
    with path.open("wb") as file:
        _write_header(file, count)
        written = 0
        for image in pixels:  # written, not mapped: a full disk then raises instead of crashing
            file.write(image.tobytes())
            written += 1
        file.seek(0)
        _write_header(file, written)  # as long as the first one: it is padded
        file.flush()
        os.fsync(file.fileno())
    return written


def _write_header(file: BinaryIO, count: int) -> None:
    shape = (count, IMAGE_SIZE, IMAGE_SIZE)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _in_memory(pixels: Iterator[GrayImages], count: int) -> GrayImages:
    images = np.empty((count, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    read = 0
    for image in pixels:
        images[read] = image
        read += 1
    return images[:read]


def _decoded(
    files: Sequence[ImageFile], workers: int, progress: Callable[[int, int], None]
) -> Iterator[GrayImages]:
    with ThreadPoolExecutor(workers or available_cores(), "decode") as pool:
        decoded = read_ahead(files, lambda file: pool.submit(_gray, file), IMAGES_AHEAD)
        bad = BadImages(len(files))
        for number, (_, future) in enumerate(decoded, start=1):
            try:
                image = future.result()
            except FusionlabError as error:
                bad.leave_out(error)
            else:
                yield image
            progress(number, len(files))
        bad.report()


def _gray(file: ImageFile) -> GrayImages:
    pixels = np.asarray(decode_image(file.read(), str(file)).pixels)
    if pixels.dtype != np.uint8:
        raise FusionlabError(
            f"{file} must be an 8-bit image to train on, got {pixels.dtype}; convert it to 8 bits "
            "first",
            code="depth",
        )
    luma = np.array(PIL.Image.fromarray(pixels).convert("L"))  # BT.601
    return resized(luma, IMAGE_SIZE, IMAGE_SIZE)
