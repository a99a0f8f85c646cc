"""From files to a file: read the sources, fuse them, encode the picture, write it.

The steps are apart so that in a folder of many the reading of one, the computing of another
and the writing of a third go on at the same time (`fusionlab.runs.folder_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.fusion import Fused, Fusion
from fusionlab.imaging.depth import Depth, depth_of
from fusionlab.imaging.raster import encode_png
from fusionlab.imaging.reading import MAX_PIXELS, LoadedImage, decode_image, read_image
from fusionlab.imaging.resizing import resized
from fusionlab.imaging.rows import Rows, bands
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.writing import check_writable, format_of
from fusionlab.plugins.registry import Plugins
from fusionlab.runs import record
from fusionlab.storage.atomic import Content

SEEN = 0.05
"""Of a 16-bit source that uses less of its range than this, hardly anything is seen."""

Resize = Literal["first", "smallest"]


@dataclass(frozen=True)
class Sources:
    """The sources of one fusion, read and of one size."""

    pictures: tuple[LoadedImage, ...]
    notes: tuple[str, ...]
    """What the user should know, a sentence each."""


@dataclass(frozen=True)
class Product:
    """A fused picture on its way to a file."""

    sources: Sources
    output: Path
    fused: Fused[Rows]
    notes: tuple[str, ...]


class FileFusion:
    """A fusion with everything that concerns files.

    Args:
        fusion: the method and its settings.
        plugins: who offers what, for the record.
        depth: bits per sample of the results; None: as the deepest source of each.
        resize: bring sources of different sizes to that of the first, or of the one with the
            fewest pixels; None: refuse them.
        record: write how each picture was made beside it, and into it where the format has room.
        maps: folder for weight maps; None: none are written.
        max_pixels: refuse sources that claim more; None: no limit.
    """

    def __init__(
        self,
        fusion: Fusion,
        plugins: Plugins,
        *,
        depth: Depth | None = None,
        resize: Resize | None = None,
        record: bool = False,
        maps: Path | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        self.fusion = fusion
        self.plugins = plugins
        self.depth = depth
        self.resize = resize
        self.record = record
        self.maps = maps
        self.max_pixels = max_pixels

    def describe(self) -> record.Record:
        """Return what a record says of this fusion, whatever its sources."""
        return {**record.describe_method(self.fusion, self.plugins), "resize": self.resize}

    def outputs(self, output: Path, sources: Sequence[Path]) -> list[Path]:
        """Return every file that fusing `sources` to `output` writes, the picture first."""
        maps = [
            self.maps / f"{output.stem}-weights-{number}-{path.stem}.png"
            for number, path in enumerate(sources, start=1)
            if self.maps is not None
        ]
        return [output, *([record.path_beside(output)] if self.record else []), *maps]

    def check(self, output: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
        """Raise `FusionlabError` if the files cannot be written: asked before the work."""
        format_of(output)
        for path in self.outputs(output, sources):
            if self.maps is None or path.parent != self.maps or self.maps.exists():
                check_writable(path, overwrite=overwrite)
            for source in sources:
                if path.exists() and source.exists() and path.samefile(source):
                    raise FusionlabError(
                        f"{path} is the source {source} itself; choose another name for the output"
                    )

    def load(self, sources: Sequence[Path]) -> Sources:
        """Read the sources and bring them to one size if asked to.

        Raises:
            FusionlabError: one cannot be read.
        """
        pictures = [read_image(path, self.max_pixels) for path in sources]
        notes = [note for picture in pictures for note in picture.notes]
        first = {picture.sha256: picture for picture in reversed(pictures)}
        notes += [
            f"{picture.name} is the same image as {twin.name}"
            for picture in pictures
            if (twin := first[picture.sha256]) is not picture
        ]
        if self.resize and pictures:
            pictures, more = _of_one_size(pictures, self.resize)
            notes += more
        return Sources(tuple(pictures), tuple(notes))

    def fuse(
        self,
        sources: Sources,
        output: Path,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Product:
        """Fuse sources at the depth that they have and the format of `output` can hold.

        Raises:
            FusionlabError: as `Fusion.fuse`, or memory does not suffice.
        """
        depth = self._depth(sources, output)
        with _enough_memory(output):
            fused = self.fusion.fuse(
                [picture.pixels for picture in sources.pictures],
                weights=self.maps is not None,
                depth=depth,
                names=[picture.name for picture in sources.pictures],
                progress=progress,
            )
        return self._product(sources, output, fused)

    def at_once(self, sources: Sources) -> int:
        """Return how many pictures with sources like these are best fused in one go."""
        if not all(isinstance(picture.pixels, np.ndarray) for picture in sources.pictures):
            return 1
        height, width = sources.pictures[0].pixels.shape[:2]
        return self.fusion.at_once(len(sources.pictures), height, width)

    def fuse_alike(self, several: Sequence[Sources], outputs: Sequence[Path]) -> list[Product]:
        """Fuse the sources of several pictures in one go; see `alike`.

        On a GPU the batch is filled up, since other sizes may take other kernels: so a picture does
        not depend on how many others there are. On a CPU it does not anyway.

        Raises:
            FusionlabError: as `fuse`; it does not say which of them.
        """
        first = several[0]
        missing = self.at_once(first) - len(several) if self.fusion.device.type != "cpu" else 0
        stacks = [
            np.stack([one.pictures[number].pixels for one in (*several, *[first] * missing)])
            for number in range(len(first.pictures))
        ]
        batches = [torch.from_numpy(pixels) for pixels in stacks]
        with torch.no_grad(), _enough_memory(outputs[0]):
            fused = self.fusion.fuse(
                [b.movedim(-1, 1) if b.ndim == 4 else b[:, None] for b in batches],
                weights=self.maps is not None,
                depth=self._depth(first, outputs[0]),
            )
        return [
            self._product(one, output, _of_batch(fused, number))
            for number, (one, output) in enumerate(zip(several, outputs, strict=True))
        ]

    def _depth(self, sources: Sources, output: Path) -> Depth:
        """Return the depth of a picture: what is wanted, or the nearest that its format holds."""
        return format_of(output).nearest(self._wanted(sources))

    def _wanted(self, sources: Sources) -> Depth:
        return self.depth or max(_depth_of(picture.pixels) for picture in sources.pictures)

    def _product(self, sources: Sources, output: Path, fused: Fused[Any]) -> Product:
        """Say what there is to say about a fused picture."""
        pictures, notes = sources.pictures, list(sources.notes)
        wanted, depth = self._wanted(sources), self._depth(sources, output)
        if depth != wanted:
            notes.append(
                f"{output} is written with {_bits(depth)} instead of {_bits(wanted)}: "
                f"{output.suffix} can hold no more, .tif can"
            )
        if fused.tile:
            notes.append(
                f"memory did not suffice for the tiles that were planned; {output.name} is fused "
                f"in tiles of {fused.tile} pixels"
            )
        scales = scales_for(self.fusion.scale, len(pictures))
        for picture, scale, limits in zip(pictures, scales, fused.limits[:, 0], strict=True):
            if note := _unseen(picture, scale, *limits.tolist()):
                notes.append(note)
        return Product(sources, output, fused, tuple(notes))

    def encode(self, product: Product) -> dict[Path, Content]:
        """Return the content of every file of a product, the picture first.

        A picture that lies in a file itself, and a format that takes it row by row, stay apart
        until it is written.

        Raises:
            FusionlabError: the picture does not fit into its format.
        """
        output, pixels = product.output, product.fused.image
        paths = self.outputs(output, [Path(p.name) for p in product.sources.pictures])
        text, beside = "", []
        if self.record:
            if not format_of(output).lossless:  # record what a reader gets
                read = decode_image(_encoded(pixels, output), output.name, None)
                pixels = np.asarray(read.pixels)
            made = record.describe_run(product.sources.pictures, product.fused, pixels, output)
            made = {**self.describe(), **made}
            text = record.to_json(made)
            beside = [f"{record.to_json(made, indent=2)}\n".encode()]
        content = _content(product.fused.image, output, text)
        maps = [
            encode_png((np.clip(weights, 0, 1) * 255 + 0.5).astype(np.uint8))
            for weights in product.fused.weights
        ]
        return dict(zip(paths, [content, *beside, *maps], strict=True))


def _content(pixels: Rows, output: Path, text: str) -> Content:
    write = format_of(output).write
    if isinstance(pixels, np.ndarray) or write is None:
        return _encoded(pixels, output, text)

    def written(file: BinaryIO) -> None:
        try:
            write(file, pixels, text)
        except (FusionlabError, OSError):  # of rows that cannot be read, and of the disk
            raise
        except Exception as error:
            raise _unwritable(output, error) from error

    return written


def _encoded(pixels: Rows, output: Path, text: str = "") -> bytes:
    try:
        return format_of(output).encode(pixels, text)
    except Exception as error:
        raise _unwritable(output, error) from error


def _unwritable(output: Path, error: Exception) -> FusionlabError:
    """Say that an encoder, which raises what it likes, fails: at sides of 65,536 for JPEG."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return FusionlabError(f"cannot write {output}: {reason}; choose another format, such as .tif")


def alike(one: Sources, other: Sources) -> bool:
    """Return whether sources have the same sizes and depths, each as its counterpart."""
    kinds = [
        [(picture.pixels.shape, picture.pixels.dtype) for picture in sources.pictures]
        for sources in (one, other)
    ]
    return kinds[0] == kinds[1]


def _of_batch(fused: Fused[torch.Tensor], number: int) -> Fused[NDArray[Any]]:
    """Return one picture of a batch as an array."""

    def array(images: torch.Tensor) -> NDArray[Any]:
        pixels: NDArray[Any] = images[number].numpy()
        return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))

    maps = [array(one) for one in fused.weights]
    return Fused(array(fused.image), maps, fused.limits[:, number : number + 1], fused.tile)


@contextmanager
def _enough_memory(output: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise FusionlabError(f"there is not enough memory to fuse {output.name}") from error


def _of_one_size(
    pictures: list[LoadedImage], resize: Resize
) -> tuple[list[LoadedImage], list[str]]:
    """Resample every picture to the size of one of them, and say of which."""
    model = pictures[0] if resize == "first" else min(pictures, key=lambda p: _area(p.pixels))
    height, width = model.pixels.shape[:2]
    notes, same = [], []
    for picture in pictures:
        rows, columns = picture.pixels.shape[:2]
        if (rows, columns) != (height, width):
            change = abs(rows * width / (columns * height) - 1)
            distorted = (
                f"; its sides change their proportion by {change:.1%}" if change > 0.01 else ""
            )
            notes.append(
                f"{picture.name} is resized from {columns}x{rows} to {width}x{height}{distorted}"
            )
        pixels = resized(np.asarray(picture.pixels), height, width)
        same.append(LoadedImage(picture.name, pixels, picture.sha256, picture.notes))
    return same, notes


def _unseen(picture: LoadedImage, scale: Scale, black: float, white: float) -> str:
    """Say if a scale leaves nothing, or next to nothing, of a source; else the empty text."""
    pixels, name = picture.pixels, picture.name
    if scale.kind == "full" and pixels.dtype != np.uint16:
        return ""  # floats have been looked at, and 8 bits are what they are
    extremes = np.array([(band.min(), band.max()) for band in bands(pixels)])
    least, most = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    if scale.kind == "full":
        share = (most - least) / (white - black)
        if 0 < share < SEEN:
            return (
                f"{name} uses {share:.1%} of its 16 bits, {least:g} to {most:g}; give it a scale, "
                "such as minmax, to see more of it"
            )
    elif black == white:
        if least == most:
            return f"{name} has one value only, {most:g}, and nothing is seen of it"
        return f"{name} is cut to black and white: both ends of its scale are {black:g}"
    elif most <= black or least >= white:
        color = "black" if most <= black else "white"
        return (
            f"{name} is all {color}: its values, {least:g} to {most:g}, lie outside its scale, "
            f"{black:g} to {white:g}"
        )
    return ""


def _area(pixels: Rows) -> int:
    height, width = pixels.shape[:2]
    return int(height * width)


def _depth_of(pixels: Rows) -> Depth:
    return depth_of(torch.from_numpy(np.empty(0, pixels.dtype)).dtype)


def _bits(depth: Depth) -> str:
    return "32-bit floats" if depth == 32 else f"{depth} bits"
