"""Images for a training in one small file: gray, at most 256 pixels along each edge, as JPEG."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import PIL.Image

EDGE = 256
QUALITY = 92
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def write_tar(folders: Sequence[Path], path: Path, max_bytes: int) -> int:
    """Write as many images as fit into so many bytes, evenly chosen, always in the same order.

    Args:
        folders: of images, and tar files of them.
        path: the tar file.
        max_bytes: its largest size.

    Returns:
        How many images it holds.
    """
    count = sum(1 for _ in images(folders))
    if not count:
        raise SystemExit(f"there are no images in {', '.join(map(str, folders))}")
    chosen, step = list(_encoded(images(folders), 1)), 1
    while sum(map(_size, chosen)) + 10_240 > max_bytes:  # tar pads to blocks of 10 KiB
        step += 1
        chosen = list(_encoded(images(folders), step))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, content in enumerate(chosen):
            info = tarfile.TarInfo(f"{number:06}.jpg")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return len(chosen)


def images(folders: Sequence[Path]) -> Iterator[bytes]:
    """Yield the files of all images, in the order of their names."""
    for folder in folders:
        if folder.is_dir():
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in SUFFIXES:
                    yield path.read_bytes()
            continue
        with tarfile.open(folder) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and Path(member.name).suffix.lower() in SUFFIXES:
                    yield file.read()


def _encoded(contents: Iterator[bytes], step: int) -> Iterator[bytes]:
    """Yield every `step`-th image, encoded."""
    for number, content in enumerate(contents):
        if number % step == 0:
            yield _encode(content)


def _encode(content: bytes) -> bytes:
    with PIL.Image.open(io.BytesIO(content)) as image:
        gray = image.convert("L")
    gray.thumbnail((EDGE, EDGE), PIL.Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    gray.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return encoded.getvalue()


def _size(content: bytes) -> int:
    """Return the bytes that a file takes in a tar file."""
    return 512 + -(-len(content) // 512) * 512
