"""What the scripts that make sets share: choose images, draw smooth fields, write files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fusionlab.imaging.reading import decode_image
from fusionlab.training.data.image_files import find_images

Array = NDArray[np.float64]

MIN_EDGE = 64
"""Smaller images are skipped."""
GAMMA = 2.2
"""Gray levels are 255 v^(1/GAMMA) of light v in 0..1."""


@dataclass(frozen=True)
class ChosenImage:
    """An image that a sample is generated from."""

    name: str
    """Its file, or its member of a shard."""
    levels: Array
    """`(H, W)` or `(H, W, 3)`, 8-bit gray levels."""
    rng: np.random.Generator
    """Depends on the seed and the number of the sample only."""


def choose_images(locations: Sequence[Path], count: int, seed: int) -> Iterator[ChosenImage]:
    """Draw `count` images of folders and tar shards without replacement; the seed decides which.

    Images with an edge below `MIN_EDGE` and images of floats are passed over.
    """
    files = find_images(locations)
    drawn = 0
    for index in np.random.default_rng(seed).permutation(len(files)):
        if drawn == count:
            return
        file = files[index]
        pixels = np.asarray(decode_image(file.read(), str(file)).pixels)
        if min(pixels.shape[:2]) < MIN_EDGE or pixels.dtype.kind == "f":
            continue
        levels = pixels.astype(np.float64)
        if pixels.dtype == np.uint16:
            levels = np.floor(levels / 257 + 0.5)
        rng = np.random.default_rng((seed, drawn))
        yield ChosenImage(f"{file.location.name}/{file.name}", levels, rng)
        drawn += 1
    if drawn < count:
        raise SystemExit(f"{count} images were asked for, and only {drawn} of {len(files)} fit")


def smooth_field(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Array:
    """Return low-pass noise `(H, W)` with mean 0 and variance 1.

    Args:
        shape: height and width.
        sigma: of the Gaussian, in pixels.
        rng: where the noise comes from.
    """
    margin = int(3 * sigma)
    noise = rng.standard_normal((shape[0] + 2 * margin, shape[1] + 2 * margin))
    field = gaussian_filter(noise, sigma, mode="wrap")
    field = field[margin : margin + shape[0], margin : margin + shape[1]]
    return np.asarray((field - field.mean()) / field.std())


def to_light(levels: Array) -> Array:
    """Return the light in 0..1 that 8-bit gray levels stand for."""
    return np.asarray((levels / 255) ** GAMMA)


def to_levels(light: Array) -> Array:
    """Return the gray levels of light, which is clipped to 0..1 first; not rounded."""
    return np.asarray(255 * np.clip(light, 0, 1) ** (1 / GAMMA))


def add_noise(levels: Array, sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add Gaussian noise of `sigma` gray levels, and round to 8 bits."""
    noisy = levels + sigma * rng.standard_normal(levels.shape)
    return np.floor(np.clip(noisy, 0, 255) + 0.5).astype(np.uint8)


def write_images(folder: Path, stem: str, images: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write subfolder -> image as PNG."""
    for name, pixels in images.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        iio.imwrite(folder / name / f"{stem}.png", pixels)


def letters(sources: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """Return a -> first source, b -> second source, and so on."""
    return dict(zip(ascii_lowercase, sources, strict=False))


def write_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `samples.csv`: the image of each sample, and what was drawn for it."""
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
