"""An image to judge a registration by: the images over each other, before and after.

The upper row is a checkerboard of both images, in which lines continue from square to square where
they lie on each other. The lower row has the edges of the reference in green and those of the
moving image in magenta; where they meet they are white.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.resizing import resized
from fusionlab.registration.align import gray_image
from fusionlab.registration.transform import Transform
from fusionlab.registration.warp import warp

PANEL = 720
"""Each panel is at most so many pixels wide and high."""

SQUARES = 8
"""Squares of the checkerboard along the longer edge."""

EDGES = 95
"""Percentile of the gradient magnitude above which an edge is drawn at full strength."""

GAP, LINE, FONT_SIZE = 8, 22, 14
BACKGROUND = (255, 255, 255)


def overlay(moving: LoadedImage, fixed: LoadedImage, transform: Transform) -> NDArray[np.uint8]:
    """Draw two images over each other, before and after registration.

    Before, the moving image is stretched to the size of the reference, as far as their sizes
    differ. Images larger than a panel are reduced.

    Args:
        moving: the image that is resampled.
        fixed: the reference.
        transform: from the grid of the reference to that of the moving image.

    Returns:
        `(H, W, 3)`, 8 bits.
    """
    reference, _ = gray_image(fixed)
    other, valid = gray_image(moving)
    height, width = reference.shape
    shrink = max(1.0, max(height, width) / PANEL)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    reference = resized(reference, size[1], size[0])
    factors = np.diag([width / size[0], height / size[1], 1.0])
    factors[:2, 2] = (np.array([width / size[0], height / size[1]]) - 1) / 2
    there = Transform(transform.matrix @ factors, size, transform.moving, "homography")
    moved = warp(other, there, valid)
    panels = [
        _panels(reference, resized(other, size[1], size[0]), np.ones(reference.shape, bool)),
        _panels(reference, np.nan_to_num(moved.pixels), moved.valid),
    ]
    return _joined(panels)


def _panels(
    reference: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_]
) -> list[NDArray[np.uint8]]:
    """Return the checkerboard and the edges of two images of one size."""
    rows, columns = np.indices(reference.shape)
    square = max(1, -(-max(reference.shape) // SQUARES))
    board = np.where(((rows // square + columns // square) % 2 == 1) & valid, other, reference)
    green, magenta = _edges(reference), np.where(valid, _edges(other), 0)
    edges = np.stack([magenta, green, magenta], -1)
    return [_levels(np.stack([board] * 3, -1)), _levels(edges)]


def _edges(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the strength of edges in 0..1."""
    strength = np.asarray(ndimage.gaussian_gradient_magnitude(image, 1.0), np.float32)
    full = float(np.percentile(strength, EDGES)) or 1.0
    edges: NDArray[np.float32] = np.clip(strength / full, 0, 1)
    return edges


def _levels(image: NDArray[Any]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = (image * 255 + 0.5).astype(np.uint8)
    return levels


def _joined(columns: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put the panels of before and after side by side, with titles."""
    height, width = columns[0][0].shape[:2]
    sheet = Image.new("RGB", (3 * GAP + 2 * width, LINE + 3 * GAP + 2 * height), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for column, (title, panels) in enumerate(zip(("before", "after"), columns, strict=True)):
        left = GAP + column * (width + GAP)
        draw.text((left, GAP), title, "black", font)
        for row, panel in enumerate(panels):
            sheet.paste(Image.fromarray(panel), (left, LINE + GAP + row * (height + GAP)))
    return np.asarray(sheet)
