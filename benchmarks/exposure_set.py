"""Make a set of exposure brackets: one scene of high dynamic range, seen at several exposures.

The gray levels of an image are turned into light by the inverse of a response curve (gamma 2.2).
A smooth random field of illumination, several stops from its darkest to its brightest place, makes
it a scene that no single exposure can hold. Each source exposes it by a number of stops more or
less, clips it, applies the response curve and adds a little noise. All channels of a color image
are lit and exposed alike.

There is no true image: what a display should show of such a scene is a matter of taste. Judge with
metrics that compare with the sources. `samples.csv` has what was drawn.

    python benchmarks/exposure_set.py path/to/images -o exposure --count 20 --seed 1
    python benchmarks/exposure_set.py val-000.tar -o exposure --stops -3 -1 1 3 --range 7
    fusionlab evaluate exposure/ --method densefuse/l1norm

The same images, arguments and versions of the libraries give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from generated_sets import (
    Array,
    ChosenImage,
    add_noise,
    choose_images,
    letters,
    smooth_field,
    to_levels,
    to_light,
    write_images,
    write_table,
)
from numpy.typing import NDArray


def illumination(shape: tuple[int, int], stops: float, rng: np.random.Generator) -> Array:
    """Return a smooth field of gains `(H, W)` from 2^(-stops/2) to 2^(stops/2)."""
    field = smooth_field(shape, min(shape) / 6, rng)
    centered = (field - field.min()) / (field.max() - field.min()) - 0.5
    return np.asarray(2.0 ** (stops * centered))


def expose(radiance: Array, stops: float) -> Array:
    """Return the gray levels of an exposure, not rounded; 0 stops shows light of 1 as white."""
    return to_levels(radiance * 2.0**stops)


def make_sample(
    image: ChosenImage, exposures: Sequence[float], stops: float, noise: float
) -> dict[str, NDArray[np.uint8]]:
    """Return subfolder -> image."""
    gains = illumination(image.levels.shape[:2], stops, image.rng)
    radiance = to_light(image.levels) * gains.reshape(gains.shape + (1,) * (image.levels.ndim - 2))
    return letters([add_noise(expose(radiance, e), noise, image.rng) for e in exposures])


def main() -> None:
    """Read the arguments and write the set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", nargs="+", type=Path, help="folders and .tar shards")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a/ b/ c/ ...")
    parser.add_argument("--count", type=int, default=20, help="how many samples")
    parser.add_argument("--stops", type=float, nargs="+", default=(-2.0, 0.0, 2.0))
    parser.add_argument("--range", type=float, default=6.0, help="of the illumination, in stops")
    parser.add_argument("--noise", type=float, default=1.0, help="gray levels")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = []
    for number, image in enumerate(choose_images(args.images, args.count, args.seed)):
        write_images(
            args.output, f"{number:03}", make_sample(image, args.stops, args.range, args.noise)
        )
        rows.append({"sample": f"{number:03}", "image": image.name})
    write_table(args.output, rows)
    print(f"{len(rows)} samples of {len(args.stops)} exposures in {args.output}")


if __name__ == "__main__":
    main()
