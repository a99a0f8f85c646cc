"""Contact sheets: the sources and the results of an image set side by side in one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import FULL_SCALE
from fusionlab.evaluation.result_folder import FolderMethod
from fusionlab.imaging.range_policy import GRAY_LEVELS, round_half_up
from fusionlab.imaging.reading import MAX_PIXELS, LoadedImage, read_image
from fusionlab.imaging.scale import Scale, parse_scales, scales_for, scales_of
from fusionlab.runs.image_sets import ImageSetItem, find_image_set

GAP = 6
"""Pixels between cells, and around the sheet."""
LINE = 20
"""Height of a line of text, in pixels."""
FONT_SIZE = 14
BACKGROUND = "gainsboro"
"""Neither black nor white, so that bright and dark images keep their borders."""
MAX_SHEET_PIXELS = 2**27
"""A larger sheet is refused: 400 MB of memory, and more than image viewers like."""


@dataclass(frozen=True)
class _Cell:
    """One image of the sheet, or the reason why there is none."""

    file: Path | None
    scale: Scale = FULL_SCALE
    problem: str = "none"


def contact_sheet(
    image_set: str | Path | Sequence[str | Path],
    fused: Mapping[str, str | Path] | None = None,
    *,
    samples: Sequence[str] = (),
    limit: int | None = None,
    cell: int = 240,
    scale: str | Scale | Sequence[str | Scale] = "auto",
    max_pixels: int | None = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> NDArray[np.uint8]:
    """Draw a row for each sample of an image set: its sources, then the results.

    Args:
        image_set: a folder with sub-folders `a/ b/ ...` whose files are paired by stem; or several
            folders or templates, one for each source; see `find_image_set`.
        fused: title of a column -> folder with one result for each stem, or `DIR/before{}after`.
        samples: the stems to show; empty: all.
        limit: show at most so many samples, evenly spaced over the set; None: all.
        cell: width of an image on the sheet, in pixels, 16 to 4096. Larger images are resampled
            (Lanczos), smaller ones keep their size.
        scale: which values of the sources are black and white, as for a `Fusion`. Results are
            shown in the full range of their type.
        max_pixels: refuse images that claim more; None: no limit.
        progress: called with (rows done, rows in all).

    Returns:
        The sheet, `(H, W, 3)`.

    Raises:
        FusionlabError: the set or a folder of results has no images, there is no sample of a given
            name (code `no-sample`), or the sheet would be too large (code `too-large`).
    """
    check_sheet(cell, limit)
    items = _chosen(find_image_set(image_set), samples, limit)
    stems = [item.stem for item in items]
    results = [
        FolderMethod.find(label, Path(folder), stems) for label, folder in (fused or {}).items()
    ]
    count = max(len(item.sources) for item in items)
    titles = [*_source_titles(items, count), *(method.label for method in results)]
    scales = parse_scales(scale)
    rows = []
    for number, item in enumerate(items):
        cells = [*_source_cells(item, scales, count), *(_result(m, item.stem) for m in results)]
        rows.append([_thumbnail(one_cell, cell, max_pixels) for one_cell in cells])
        progress(number + 1, len(items))
    return draw_sheet(titles, stems, rows, cell)


def check_sheet(cell: int, limit: int | None) -> None:
    """Raise `FusionlabError` (code `out-of-bounds`) unless cells and rows of a sheet make sense."""
    if not 16 <= cell <= 4096:
        raise FusionlabError(
            f"a cell must be 16 to 4096 pixels wide, got {cell}",
            code="out-of-bounds",
            option="cell",
        )
    if limit is not None and limit < 1:
        raise FusionlabError(
            f"the limit must be at least 1 sample, got {limit}",
            code="out-of-bounds",
            option="limit",
        )


def evenly_spaced(count: int, limit: int | None) -> list[int]:
    """Return at most `limit` numbers below `count`, each in the middle of its part."""
    if limit is None or limit >= count:
        return [*range(count)]
    return [(2 * n + 1) * count // (2 * limit) for n in range(limit)]


def _chosen(
    items: list[ImageSetItem], samples: Sequence[str], limit: int | None
) -> list[ImageSetItem]:
    """Return the samples to show, in the order of the image set."""
    stems = [item.stem for item in items]
    if unknown := [sample for sample in samples if sample not in stems]:
        raise FusionlabError(
            f"there is no sample {unknown[0]!r} in the image set; it has {', '.join(stems[:8])}"
            f"{', ...' if len(stems) > 8 else ''}",
            code="no-sample",
            option="samples",
        )
    chosen = [item for item in items if not samples or item.stem in samples]
    return [chosen[number] for number in evenly_spaced(len(chosen), limit)]


def _source_titles(items: Sequence[ImageSetItem], count: int) -> list[str]:
    """Return the names of the folders of the sources."""
    longest = max(items, key=lambda item: len(item.sources))
    return [longest.sources[number].parent.name for number in range(count)]


def _source_cells(item: ImageSetItem, scales: Sequence[Scale], count: int) -> list[_Cell]:
    own_scales = scales_for(scales, len(item.sources))
    cells = [_Cell(path, scale) for path, scale in zip(item.sources, own_scales, strict=True)]
    return [*cells, *[_Cell(None)] * (count - len(cells))]


def _result(method: FolderMethod, stem: str) -> _Cell:
    results = method.results
    return _Cell(results.files.get(stem), problem=results.problems.get(stem, "none"))


def _thumbnail(cell: _Cell, width: int, max_pixels: int | None) -> Image.Image | str:
    """Return an image in 8 bits, at most `width` pixels wide, or why there is none."""
    if cell.file is None:
        return cell.problem
    try:
        return thumbnail(read_image(cell.file, max_pixels), cell.scale, width)
    except FusionlabError as error:
        return str(error)


def thumbnail(image: LoadedImage, scale: Scale, width: int) -> Image.Image:
    """Return an image in 8 bits, at most `width` pixels wide.

    Raises:
        FusionlabError: its values have no black and white, or the scale has another unit.
    """
    (own_scale,) = scales_of([image], [scale])
    small = Image.fromarray(_eight_bits(np.asarray(image.pixels), own_scale, image.name))
    if small.width > width:
        height = max(1, round(small.height * width / small.width))
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    return small


def _eight_bits(pixels: NDArray[Any], scale: Scale, name: str) -> NDArray[np.uint8]:
    """Return `(H, W)` or `(H, W, 3)` pixels of any depth in 0..255."""
    planes = torch.from_numpy(pixels[None, None] if pixels.ndim == 2 else pixels[None])
    unit = scale.apply(planes, scale.limits(planes, name))
    levels: NDArray[np.uint8] = round_half_up(unit * GRAY_LEVELS).to(torch.uint8).numpy()[0]
    return levels[0] if pixels.ndim == 2 else levels


def draw_sheet(
    titles: Sequence[str],
    stems: Sequence[str],
    rows: Sequence[Sequence[Image.Image | str]],
    cell: int,
) -> NDArray[np.uint8]:
    """Put images, or why there are none, on a sheet, with the titles above and names of rows.

    Raises:
        FusionlabError: the sheet would be too large (code `too-large`).
    """
    heights = [max([0, *(i.height for i in row if isinstance(i, Image.Image))]) for row in rows]
    heights = [height or LINE for height in heights]
    size = (
        GAP + len(titles) * (cell + GAP),
        GAP + LINE + sum(LINE + height + GAP for height in heights),
    )
    if size[0] * size[1] > MAX_SHEET_PIXELS:
        raise FusionlabError(
            f"the sheet would have {size[0]}x{size[1]} pixels, more than {MAX_SHEET_PIXELS}; show "
            "fewer samples or smaller cells",
            code="too-large",
            option="cell",
        )
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    lefts = [GAP + number * (cell + GAP) for number in range(len(titles))]
    for left, title in zip(lefts, titles, strict=True):
        draw.text((left, GAP), _shortened(title, cell, font), "black", font)
    top = GAP + LINE
    for stem, row, height in zip(stems, rows, heights, strict=True):
        draw.text((GAP, top), _shortened(stem, size[0] - 2 * GAP, font), "dimgray", font)
        top += LINE
        for left, image in zip(lefts, row, strict=True):
            if isinstance(image, str):
                draw.text((left, top), _shortened(image, cell, font), "firebrick", font)
            else:
                sheet.paste(image, (left, top))
        top += height + GAP
    return np.asarray(sheet)


def _shortened(text: str, width: int, font: Any) -> str:
    """Return a text that is at most `width` pixels wide, shortened in its middle."""
    if font.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 1, -1):
        end = length // 2
        shorter = f"{text[: length - end]}...{text[len(text) - end :]}"
        if font.getlength(shorter) <= width:
            return shorter
    return ""
