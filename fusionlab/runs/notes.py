"""Notes: what the user should know about the sources and the result of a fusion.

Each note is a complete sentence, without a full stop, that begins with the name of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from fusionlab.fused import Fused
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.given import given_sources
from fusionlab.imaging.metadata import PARTS, Metadata
from fusionlab.imaging.nodata import Nodata, nodata_for
from fusionlab.imaging.range_use import range_use
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.rows import Rows
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.sources import MaskedImage
from fusionlab.imaging.writing import FORMATS
from fusionlab.runs.destination import Destination


def note_duplicates(images: Sequence[LoadedImage]) -> list[LoadedImage]:
    """Add a note to every image that is a copy of an earlier one."""
    first = {image.identity: image for image in reversed(images)}
    return [
        image
        if first[image.identity] is image
        else image.with_note(f"{image.name} is the same image as {first[image.identity].name}")
        for image in images
    ]


def note_reduced_depth(output: Path, wanted: Depth, depth: Depth) -> list[str]:
    """Return a note if the format cannot hold the depth that was wanted."""
    if depth == wanted:
        return []
    note = (
        f"{output} is written with {_bits(depth)} instead of {_bits(wanted)}: {output.suffix} can "
        "hold no more, .tif can"
    )
    return [note]


def note_smaller_tiles(output: Path, tile: int | None) -> list[str]:
    """Return a note if the image had to be fused in smaller tiles than planned."""
    if not tile:
        return []
    note = (
        f"{output.name} was fused in tiles of {tile} pixels because memory did not suffice for the "
        "planned ones"
    )
    return [note]


def note_lost_metadata(
    images: Sequence[LoadedImage], metadata: Metadata, destination: Destination
) -> list[str]:
    """Return a note for what the format of the result cannot hold of what it would keep."""
    notes = []
    for part in ("icc", "exif", "geo"):
        if part in metadata.parts - destination.format.holds:
            source = next(image for image in images if part in image.metadata.parts)
            able = [suffix for suffix, other in FORMATS.items() if part in other.holds]
            notes.append(
                f"{destination.image} cannot hold the {PARTS[part]} of {source.name}, "
                f"{' and '.join(able[:1])} can"
            )
    return notes


def note_windows(images: Sequence[LoadedImage], scales: Sequence[Scale]) -> list[str]:
    """Return a note for every source whose black and white its file has chosen."""
    notes = []
    for image, scale in zip(images, scales_for(scales, len(images)), strict=True):
        if scale.kind == "auto" and image.window is not None:
            black, white = (f"{limit:g}{image.unit}" for limit in image.window)
            notes.append(f"{image.name} is scaled to the window in its file, {black},{white}")
    return notes


def note_unused_range(
    images: Sequence[LoadedImage],
    scales: Sequence[Scale],
    fused: Fused[Any],
    nodata: Nodata = (None,),
) -> list[str]:
    """Return a note for every source of which its scale leaves nothing, or next to nothing."""
    notes = []
    given, _ = given_sources(images, nodata=nodata)
    for image, pixels, scale, limits, extremes in zip(
        images, given, scales, fused.limits[:, 0], fused.extremes[:, 0], strict=True
    ):
        (black, white), (minimum, maximum) = limits.tolist(), extremes.tolist()
        note = _note_unused_range(image, pixels, scale, black, white, minimum, maximum)
        notes += [note] if note else []
    return notes


def note_no_data(
    images: Sequence[LoadedImage],
    destination: Destination,
    fused: Fused[Any],
    nodata: Nodata,
) -> list[str]:
    """Return a note for every source with NaN, and if the format cannot say what is no data."""
    notes = []
    counts = [0] * len(images) if fused.no_data is None else fused.no_data[:, 0].tolist()
    values = nodata_for(nodata, len(images))
    for image, count, value in zip(images, counts, values, strict=True):
        if count and image.valid is None and value is None:
            size = prod(image.pixels.shape[:2])
            notes.append(f"{image.name} holds NaN at {count} of {size} pixels, which are no data")
    if fused.valid is not None and not destination.format.alpha:
        suffix = destination.image.suffix or "it"
        notes.append(
            f"{destination.image.name} is black where no source is data: {suffix} cannot say so, "
            ".png and .tif can"
        )
    return notes


def _note_unused_range(
    image: LoadedImage,
    pixels: Rows | MaskedImage,
    scale: Scale,
    black: float,
    white: float,
    minimum: float,
    maximum: float,
) -> str:
    if scale.kind == "auto":
        use = range_use(pixels)
        if use is not None and use.too_little:
            return f"{image.name} {use.advice}"
    elif scale.kind == "full":
        return ""
    elif black == white:
        if minimum == maximum:
            return f"{image.name} has only one value, {minimum:g}, and will contribute nothing"
        return f"{image.name} becomes only black and white: both limits of its scale are {black:g}"
    elif maximum <= black or minimum >= white:
        color = "black" if maximum <= black else "white"
        return (
            f"{image.name} is all {color}: its values, {minimum:g} to {maximum:g}, lie outside its "
            f"scale, {black:g} to {white:g}"
        )
    return ""


def _bits(depth: Depth) -> str:
    return "32-bit floats" if depth == 32 else f"{depth} bits"
