"""Write image files: which formats there are, what each can hold, and how it is encoded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging.depth import Depth, depth_of_array
from fusionlab.imaging.formats import pillow_formats
from fusionlab.imaging.given import given_array
from fusionlab.imaging.metadata import NOTHING, Metadata
from fusionlab.imaging.rows import BaseRows, Rows
from fusionlab.storage.atomic import Content, atomic_write_all


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and its encoder."""

    depths: tuple[Depth, ...]
    encode: Callable[[Rows, str, Metadata], bytes]
    """(pixels, record, metadata) -> content. A format that cannot store a record ignores it."""
    alpha: bool = False
    """Whether it can say by an alpha channel which pixels are no data."""
    write: Callable[[BinaryIO, Rows, str, Metadata], None] | None = None
    """(file, pixels, record, metadata): writes the same content with only a few rows in memory;
    None where the format must be encoded as a whole."""
    lossless: bool = True
    holds: frozenset[str] = frozenset()
    """The parts of `Metadata` that it can hold."""

    def nearest(self, depth: Depth) -> Depth:
        """Return the depth of this format that preserves most of `depth`."""
        return min(self.depths, key=lambda held: (held < depth, abs(held - depth)))


def _of_tiff(name: str) -> Callable[..., Any]:
    """Return a function of the module of TIFF, which is imported when it is first called."""

    def call(*args: Any) -> Any:
        from fusionlab.imaging.formats import tiff

        return getattr(tiff, name)(*args)

    return call


_SHOWN = frozenset({"icc", "exif", "resolution"})
_PNG = Format((8, 16), pillow_formats.encode_png, alpha=True, holds=_SHOWN)
_JPEG = Format(
    (8,),
    partial(pillow_formats.encode_with_pillow, extension=".jpg", quality=95, subsampling=0),
    lossless=False,
    holds=_SHOWN,
)
_BMP = Format(
    (8,),
    partial(pillow_formats.encode_with_pillow, extension=".bmp"),
    holds=frozenset({"resolution"}),
)
_TIFF = Format(
    (8, 16, 32),
    _of_tiff("encode"),
    alpha=True,
    write=_of_tiff("write"),
    holds=frozenset({"icc", "resolution", "geo"}),
)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _BMP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
"""Suffix -> format. More formats can be read: see `fusionlab.imaging.reading`."""


def format_of(path: Path) -> Format:
    """Return the format that the suffix of a file name selects.

    Raises:
        FusionlabError: no format with this suffix can be written (code `output-format`).
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise FusionlabError(
            f"cannot write {path}: the name must end in one of {', '.join(FORMATS)}",
            code="output-format",
            path=path,
        ) from None


def write_image(
    path: str | Path, image: object, valid: object = None, metadata: Metadata = NOTHING
) -> None:
    """Write an image to a file, exactly as it is: the counterpart of `fusionlab.read_image`.

        fusionlab.write_image("fused.png", fusion(sources))

    PNG, TIFF, BMP and JPEG, by the suffix of the name; an existing file is replaced once the new
    one is complete. Floats are written as float32.

    Args:
        path: the file.
        image: an array `(H, W)` or `(H, W, 3)`, a tensor of one image, or anything else that
            `fusionlab.Fusion` takes as a source: uint8, uint16 or floats.
        valid: which pixels are data, `(H, W)`, such as `fused.valid`; the others become transparent
            in PNG and TIFF of integers. None: all.
        metadata: color profile, EXIF, resolution and georeference, such as those of a
            `LoadedImage`; what the format cannot hold is left out.

    Raises:
        FusionlabError: the image is none (code `not-an-image`), the format cannot hold its depth
            (code `depth`) or is unknown (code `output-format`), or the file cannot be written.
    """
    path = Path(path)
    output_format = format_of(path)
    _, pixels = given_array(image, "the image")
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise FusionlabError(
            f"{path} can hold uint8, uint16 or floats, got {pixels.dtype}; convert the image first",
            code="depth",
            path=path,
        )
    depth = depth_of_array(pixels.dtype)
    if depth not in output_format.depths:
        raise FusionlabError(
            f"{path} cannot hold {pixels.dtype}; write a .tif, or fuse with "
            f"depth={output_format.nearest(depth)}",
            code="depth",
            path=path,
        )
    if valid is not None:
        valid = np.asarray(valid).reshape(pixels.shape[:2])
    with atomic_write_all({path: encode_image(pixels, path, output_format, "", valid, metadata)}):
        pass


def encode_image(
    pixels: Rows,
    path: Path,
    output_format: Format,
    record: str = "",
    valid: Rows | None = None,
    metadata: Metadata = NOTHING,
) -> Content:
    """Return the content of an image file.

    Rows of a file are encoded only when the content is written, if the format allows it. What is no
    data is transparent in integers, if the format allows it, and NaN in floats.

    Args:
        pixels: an array, or rows of a file.
        path: of the image, for error messages.
        output_format: of the file.
        record: text to store in the file, in ASCII.
        valid: which pixels are data, `(H, W)`; None: all.
        metadata: of the image; what the format cannot hold is left out.

    Raises:
        FusionlabError: the image does not fit into the format (code `encoding`).
    """
    metadata = metadata.only(output_format.holds)
    write = output_format.write
    if valid is not None and output_format.alpha and pixels.dtype.kind != "f":
        pixels = with_alpha(pixels, valid)
    if write is None or isinstance(pixels, np.ndarray):
        with _encoding_errors(path):
            return output_format.encode(pixels, record, metadata)

    def write_rows(file: BinaryIO) -> None:
        with _encoding_errors(
            path, passed_through=(FusionlabError, OSError)
        ):  # bad rows, or a full disk
            write(file, pixels, record, metadata)

    return write_rows


class _AlphaRows(BaseRows):
    """Rows of an image with an alpha channel: opaque where it is data, else transparent."""

    def __init__(self, pixels: Rows, valid: Rows) -> None:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        super().__init__((*pixels.shape[:2], channels + 1), pixels.dtype)
        self._pixels, self._valid = pixels, valid

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        return _stacked(self._pixels[top:bottom], self._valid[top:bottom])


def with_alpha(pixels: Rows, valid: Rows) -> Rows:
    """Return integers with an alpha channel, `(H, W, 2)` or `(H, W, 4)`, rows if they are rows."""
    if isinstance(pixels, np.ndarray):
        return _stacked(pixels, np.asarray(valid))
    return _AlphaRows(pixels, valid)


def _stacked(pixels: NDArray[Any], valid: NDArray[Any]) -> NDArray[Any]:
    opaque = np.iinfo(pixels.dtype).max
    return np.dstack([pixels, np.where(valid != 0, opaque, 0).astype(pixels.dtype)])


def encode_weight_map(weights: Rows) -> bytes:
    """Encode a weight map `(H, W)` or `(H, W, 3)` of floats in 0..1 as an 8-bit PNG."""
    levels: NDArray[Any] = np.clip(weights, 0, 1) * 255 + 0.5
    return pillow_formats.encode_png(levels.astype(np.uint8))


def _encode_npz(maps: Sequence[Rows], names: Sequence[str]) -> bytes:
    file = io.BytesIO()
    weights = np.stack([np.asarray(map_, np.float32) for map_ in maps])
    np.savez_compressed(file, weights=weights, sources=np.array(names))
    return file.getvalue()


WEIGHTS: dict[str, Callable[[Sequence[Rows], Sequence[str]], bytes]] = {
    ".tif": _of_tiff("encode_pages"),
    ".tiff": _of_tiff("encode_pages"),
    ".npz": _encode_npz,
}
"""Suffix -> encoder of one file for the weight maps of all sources, float32: (maps, names of the
sources) -> content. An .npz holds `weights`, `(k, H, W)` or `(k, H, W, 3)`, and `sources`."""


@contextmanager
def _encoding_errors(
    path: Path, passed_through: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Wrap any exception of an encoder: JPEG, for example, is limited to sides of 65,535 pixels."""
    try:
        yield
    except passed_through:
        raise
    except Exception as error:
        raise FusionlabError(
            f"cannot write {path}: {one_line(error)}; choose another format, such as .tif",
            code="encoding",
            path=path,
        ) from error
