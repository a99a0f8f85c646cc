"""Training images, decoded once: gray bytes in a file that is mapped into memory.

An epoch costs no decoding, a resumed run starts at once, and processes and runs on one machine
share one copy. 80,000 images take 5.2 GB.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path

import numpy as np
import PIL.Image
from filelock import FileLock
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.resizing import resized
from fusionlab.storage.atomic import make_folder
from fusionlab.training.finding import ImageFile, digest
from fusionlab.training.settings import EDGE

Images = NDArray[np.uint8]
"""Gray levels, `(n, 256, 256)`."""

SPARE = 2**28
"""Bytes of disk that are left free."""


def load_images(
    files: Sequence[ImageFile],
    folder: Path | None = None,
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Images:
    """Return images as gray levels `(n, 256, 256)`, mapped from a file where there is room.

    Color becomes BT.601 luma; another size is resized, without keeping the proportions, as in
    the paper (bicubic, antialiased).

    Args:
        files: what `find_images` returned.
        folder: where to keep what has been decoded, as `images-HASH.npy`; the next call with the
            same files, as long as they are unchanged, maps it. None, or no room there: in memory.
        workers: threads that decode; 0: one for each processor.
        progress: called with the number of images decoded so far and of all.

    Raises:
        FusionlabError: a file is no 8-bit image, or the folder cannot be written.
    """
    pixels = _decoded(files, workers, progress)
    if folder is None:
        return _in_memory(pixels, len(files))
    make_folder(folder)
    name = f"images-{digest(files)[:16]}"
    path = folder / f"{name}.npy"
    with _locked(folder / f".{name}.lock"):  # whoever comes second finds the work done
        if (images := _mapped(path, len(files))) is not None:
            return images
        partial = folder / f".{name}.partial"
        try:
            _write(partial, pixels, len(files))
            partial.replace(path)
        except OSError as error:
            if error.errno == ENOSPC:
                return load_images(files, None, workers=workers, progress=progress)
            raise FusionlabError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
    images = _mapped(path, len(files))
    if images is None:
        raise FusionlabError(f"{path} has been changed by somebody else; delete it and try again")
    return images


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        with FileLock(path):
            yield
    except PermissionError as error:
        raise FusionlabError(f"cannot write {path}: {error.strerror}") from error


def _mapped(path: Path, count: int) -> Images | None:
    """Map what has been decoded; None if it is not there, or not whole."""
    try:
        images: Images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == (count, EDGE, EDGE) and images.dtype == np.uint8 else None


def _write(path: Path, pixels: Iterator[Images], count: int) -> None:
    if shutil.disk_usage(path.parent).free < count * EDGE * EDGE + SPARE:
        raise OSError(ENOSPC, "no room for the decoded images")
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, EDGE, EDGE)}
        np.lib.format.write_array_header_1_0(file, header)
        for image in pixels:  # written, not mapped: a full disk is then an error, no crash
            file.write(image.tobytes())


def _in_memory(pixels: Iterator[Images], count: int) -> Images:
    images = np.empty((count, EDGE, EDGE), np.uint8)
    for number, image in enumerate(pixels):
        images[number] = image
    return images


def _decoded(
    files: Sequence[ImageFile], workers: int, progress: Callable[[int, int], None]
) -> Iterator[Images]:
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, "decode") as pool:
        for number, image in enumerate(_in_order(pool, files), start=1):
            yield image
            progress(number, len(files))


def _in_order(pool: ThreadPoolExecutor, files: Sequence[ImageFile]) -> Iterator[Images]:
    """Decode ahead of the caller, but not so far that it would fill the memory."""
    ahead: deque[Future[Images]] = deque()
    try:
        for file in files:
            ahead.append(pool.submit(_gray, file))
            if len(ahead) >= 64:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


def _gray(file: ImageFile) -> Images:
    pixels = np.asarray(decode_image(file.read(), str(file)).pixels)
    if pixels.dtype != np.uint8:
        raise FusionlabError(
            f"{file} must be an 8-bit image to train on, got {pixels.dtype}; convert it to 8 bits "
            "first"
        )
    return resized(np.array(PIL.Image.fromarray(pixels).convert("L")), EDGE, EDGE)  # BT.601
