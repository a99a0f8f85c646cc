"""Make a set of focus brackets with truth: each region of a sharp image is sharp in one source.

The image is cut into k layers, from far to near, by a smooth random partition: level sets of
low-pass noise, or bands along a curved line. Source j is focused on layer j. As in a lens, each
other layer and the mask that it covers with are blurred together, and the layers are composited
from far to near in linear light. So a near layer that is out of focus spreads over the sharp one
behind it, and a far one ends behind a sharp edge. What a near layer hides is filled in smoothly.

The blur is a disk of random radius, or the Gaussian of the same variance; layers farther from the
focus are blurred at least as much. Sources get a little noise; `truth/` is the image itself.
`labels/` has the layer of each pixel, as gray level, and `samples.csv` what was drawn.

    python benchmarks/focus_set.py path/to/images -o focus --count 30 --seed 1
    python benchmarks/focus_set.py val-000.tar -o focus --sources 3 --radius 3 6
    fusionlab evaluate focus/ --method densefuse/l1norm

The same images, arguments and versions of the libraries give the same bytes.
"""

from __future__ import annotations

import argparse
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
from scipy.ndimage import convolve, gaussian_filter

Labels = NDArray[np.intp]


def partition(shape: tuple[int, int], k: int, rng: np.random.Generator) -> tuple[str, Labels]:
    """Return the kind of a random partition, and the layer of each pixel, 0 (far) to k - 1.

    Each layer has between half and one and a half times the area of an equal share.
    """
    edge = min(shape)
    if rng.random() < 0.5:
        kind, depth = "noise", smooth_field(shape, edge / 8, rng)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[: shape[0], : shape[1]] / edge
        bends = 0.12 * smooth_field(shape, edge / 10, rng)
        kind, depth = "line", x * np.cos(angle) + y * np.sin(angle) + bends
    shares = np.cumsum(rng.uniform(0.5, 1.5, k))
    thresholds = np.quantile(depth, shares[:-1] / shares[-1])
    return kind, np.searchsorted(thresholds, depth.ravel()).reshape(shape)


def draw_radii(
    k: int, bounds: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the radius of the blur of each layer (columns) in each source (rows), in pixels."""
    radii = np.zeros((k, k))
    for focus in range(k):
        radii[focus, :focus] = np.sort(rng.uniform(*bounds, focus))[::-1]
        radii[focus, focus + 1 :] = np.sort(rng.uniform(*bounds, k - 1 - focus))
    return radii


def blur(image: Array, radius: float, kind: str) -> Array:
    """Blur `(H, W)` or `(H, W, 3)` by a disk, or by the Gaussian of its variance."""
    if radius == 0:
        return image
    channels = image[..., None] if image.ndim == 2 else image
    if kind == "gaussian":
        result = gaussian_filter(channels, (radius / 2, radius / 2, 0), mode="nearest")
    else:
        result = convolve(channels, disk(radius)[..., None], mode="nearest")
    return np.asarray(result.reshape(image.shape))


def disk(radius: float) -> Array:
    """Return a disk with a soft edge one pixel wide, which sums to one."""
    half = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    weights = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(weights / weights.sum())


def fill(light: Array, known: NDArray[np.bool_]) -> Array:
    """Continue an image into the pixels that are not known, by ever wider averages."""
    mask = known.astype(float).reshape(known.shape + (1,) * (light.ndim - 2))
    result, missing = light * mask, 1 - mask
    sigma = 2.0
    while missing.any():
        axes = (sigma, sigma, 0)[: light.ndim]
        weight = gaussian_filter(mask, axes, mode="nearest", truncate=3)
        average = gaussian_filter(light * mask, axes, mode="nearest", truncate=3)
        near = missing * (weight > 1e-3)
        result = result + near * average / np.maximum(weight, 1e-3)
        missing, sigma = missing - near, 2 * sigma
    return result


def focused_on(focus: int, light: Array, labels: Labels, radii: Array, kind: str) -> Array:
    """Return the light that a lens collects that is focused on one layer.

    Args:
        focus: the layer that is sharp.
        light: the sharp image, `(H, W)` or `(H, W, 3)`.
        labels: the layer of each pixel, `(H, W)`.
        radii: of the blur of each layer.
        kind: "disk" or "gaussian".
    """
    result = np.zeros_like(light)
    for layer, radius in enumerate(radii):
        cover = (labels >= layer).astype(float)  # a layer continues behind the nearer ones
        alpha = blur(cover, radius, kind).reshape(labels.shape + (1,) * (light.ndim - 2))
        content = light if layer == focus else blur(fill(light, labels == layer), radius, kind)
        result = (1 - alpha) * result + alpha * content
    return result


def make_sample(
    image: ChosenImage, k: int, bounds: tuple[float, float], noise: float
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str]]:
    """Return subfolder -> image, and what was drawn for it."""
    rng, light = image.rng, to_light(image.levels)
    partition_kind, labels = partition(image.levels.shape[:2], k, rng)
    kind = str(rng.choice(["disk", "gaussian"]))
    radii = draw_radii(k, bounds, rng)
    sources = [
        add_noise(to_levels(focused_on(focus, light, labels, radii[focus], kind)), noise, rng)
        for focus in range(k)
    ]
    images = letters(sources) | {
        "truth": image.levels.astype(np.uint8),
        "labels": labels.astype(np.uint8),
    }
    drawn = {"image": image.name, "partition": partition_kind, "blur": kind}
    drawn["radii"] = " ".join(f"{radius:.2f}" for radius in radii[radii > 0])
    return images, drawn


def main() -> None:
    """Read the arguments and write the set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", nargs="+", type=Path, help="folders and .tar shards")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a/ b/ ... truth/ labels/")
    parser.add_argument("--count", type=int, default=30, help="how many samples")
    parser.add_argument("--sources", type=int, default=2, help="of each sample, 2 to 26")
    parser.add_argument("--radius", type=float, nargs=2, default=(2.0, 6.0), help="pixels, from to")
    parser.add_argument("--noise", type=float, default=1.0, help="gray levels")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = []
    for number, image in enumerate(choose_images(args.images, args.count, args.seed)):
        images, drawn = make_sample(image, args.sources, tuple(args.radius), args.noise)
        write_images(args.output, f"{number:03}", images)
        rows.append({"sample": f"{number:03}", **drawn})
    write_table(args.output, rows)
    print(f"{len(rows)} samples of {args.sources} sources in {args.output}")


if __name__ == "__main__":
    main()
