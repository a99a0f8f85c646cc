"""Frames as the pages of one TIFF: written page by page, and copied without decoding at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import tifffile

from fusionlab.imaging.formats import tiff
from fusionlab.imaging.writing import FORMATS
from fusionlab.sequences.writing.files import SegmentFile, SingleFileOutput, written
from fusionlab.sequences.writing.output import Layout, SegmentContent, SegmentWriter

if TYPE_CHECKING:
    from fusionlab.runs.file_fusion import Product


class StackOutput(SingleFileOutput):
    """A TIFF with a page for each frame, 8, 16 or 32 bits, lossless.

    It becomes a BigTIFF where the offsets of a classic one would not suffice.
    """

    suffixes = (".tif", ".tiff")
    format = replace(FORMATS[".tif"], alpha=False, holds=frozenset())

    @property
    def settings(self) -> Mapping[str, Any]:
        """The kind of the file."""
        return {"stack": "tiff"}

    def segment(self, number: int, layout: Layout) -> SegmentWriter:  # noqa: ARG002  # of the base
        """Begin a segment: a TIFF of its own."""
        return _Pages(self.parts, f"{number:06}.tif")

    def comment(self) -> str:
        """Return the description of the first page."""
        with tifffile.TiffFile(self.path, _multifile=False) as file:
            return str(file.pages.first.description)

    def write(
        self,
        file: BinaryIO,
        contents: Sequence[SegmentContent],
        layout: Layout,  # noqa: ARG002  # that of the pages
        comment: str,
    ) -> None:
        """Write the pages of all segments; see `SingleFileOutput`."""
        paths = [self.parts / name for content in contents for name in content["files"]]
        size = sum(path.stat().st_size for path in paths)
        with tifffile.TiffWriter(file, bigtiff=size > tiff.CLASSIC_BYTES) as writer:
            for path in paths:
                with tifffile.TiffFile(path, _multifile=False) as segment:
                    for page in tiff.pages_of(segment):
                        dtype = page.dtype
                        assert dtype is not None  # it is one of ours
                        strips = _strips(segment, page)
                        tiff.write_page(writer, strips, page.shape, dtype, comment)
                        comment = ""  # the first page has it


def _strips(segment: tifffile.TiffFile, page: tifffile.TiffPage) -> Iterator[bytes]:
    """Yield the compressed strips of a page."""
    strips: Any = segment.filehandle.read_segments(page.dataoffsets, page.databytecounts)
    for strip, _ in strips:
        yield strip


class _Pages(SegmentFile):
    """The pages of one segment, in a BigTIFF."""

    def begin(self) -> None:
        """Begin the file."""
        self._writer = tifffile.TiffWriter(self.file, bigtiff=True)

    def add(self, number: int, time: Fraction | None, product: Product) -> None:  # noqa: ARG002
        """Write a page."""
        pixels = np.asarray(product.fused.image)
        with written(self.path):
            tiff.write_page(self._writer, tiff.strips(pixels), pixels.shape, pixels.dtype)

    def finish(self) -> None:
        """Write the end of the file."""
        self._writer.close()
