"""How exactly a backbone reconstructs images, and what that means for fusions.

For each set of weights, in gray levels, before rounding:

* reconstruction of the sources of an image set: mean and 99.9-percentile absolute error, by source;
* homogeneity of the decoder, the mean of |dec(2 f) - 2 dec(f)|: why a sum of features is twice
  their mean;
* held-out images: mean squared error, PSNR of that, SSIM;
* fusions of the set with these weights against those with the first: mean and largest difference.

    python benchmarks/weights.py --set path/to/set
    python benchmarks/weights.py --set path/to/set --held-out val-000.tar --backbones \\
        densefuse@1e2 densefuse@runs/mine/mine.safetensors
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionlab import Fusion
from fusionlab.backbone import Backbone
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.factory import build_backbone
from fusionlab.plugins.host import installed
from fusionlab.runs.image_sets import find_image_set
from fusionlab.training.data.image_cache import load_images
from fusionlab.training.data.image_files import find_images
from fusionlab.training.losses import DATA_RANGE, ssim

STRATEGIES = ("addition", "l1norm")


def sources_of(folder: Path) -> list[list[Tensor]]:
    """Read an image set as gray images `(1, 1, H, W)` in 0..1."""
    return [
        [torch.from_numpy(gray(path))[None, None] for path in item.sources]
        for item in find_image_set([folder])
    ]


def gray(path: Path) -> np.ndarray:
    pixels = read_image(path).pixels
    if pixels.ndim == 3:  # stored as color, with equal channels
        pixels = pixels[..., 0]
    return (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)


def reconstruction(backbone: Backbone, images: list[Tensor]) -> dict[str, float]:
    """Return the errors over all pixels of all images; the mean is one of image means."""
    errors = [(backbone(image) - image).abs().mul(DATA_RANGE).flatten() for image in images]
    return {
        "mean": float(np.mean([error.mean().item() for error in errors])),
        "p99.9": float(np.percentile(torch.cat(errors).numpy(), 99.9)),
    }


def homogeneity(backbone: Backbone, images: list[Tensor]) -> float:
    """Return the mean of |dec(2 f) - 2 dec(f)| in gray levels."""
    differences = []
    for image in images:
        features = backbone.encode(image)
        doubled = backbone.decode(tuple(2 * level for level in features))
        differences.append(
            (doubled - 2 * backbone.decode(features)).abs().mean().item() * DATA_RANGE
        )
    return float(np.mean(differences))


def held_out(backbone: Backbone, images: np.ndarray) -> dict[str, float]:
    """Return the validation figures of `fusionlab train`."""
    square = similarity = 0.0
    for image in images:
        target = torch.tensor(image)[None, None].float()
        output = backbone(target / DATA_RANGE) * DATA_RANGE
        square += (output - target).square().mean().item() / len(images)
        similarity += ssim(output, target).item() / len(images)
    psnr = 10 * math.log10(DATA_RANGE**2 / square) if square else math.inf
    return {"images": len(images), "mse": square, "psnr": psnr, "ssim": similarity}


def fusions(backbone: Backbone, items: list[list[Tensor]], strategy: str) -> list[Tensor]:
    """Fuse with the default range policy of the strategy; gray levels, not rounded."""
    fusion = Fusion(backbone, strategy)
    return [fusion(item) * DATA_RANGE for item in items]


def difference(ours: list[Tensor], theirs: list[Tensor]) -> dict[str, float]:
    """Return the mean of image means, and the largest difference of all."""
    differences = [(a - b).abs() for a, b in zip(ours, theirs, strict=True)]
    return {
        "mean": float(np.mean([d.mean().item() for d in differences])),
        "max": max(d.max().item() for d in differences),
    }


def measure(args: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Measure all weights on the same images."""
    plugins = installed()
    names = args.backbones or [
        f"{registration.ref.name}@{tag}"
        for registration in plugins.backbones.registrations
        for tag in registration.ref.checkpoints
    ]
    items = sources_of(args.set)
    by_source = [list(images) for images in zip(*items, strict=True)]
    unseen = load_images(find_images([args.held_out])) if args.held_out else None
    results: dict[str, dict[str, object]] = {}
    first: dict[str, list[Tensor]] = {}
    for name in names:
        backbone = build_backbone(name, plugins)
        row: dict[str, object] = {}
        with torch.no_grad():
            for letter, images in zip("abcdefgh", by_source, strict=False):
                row[letter] = reconstruction(backbone, images)
            row["homogeneity"] = homogeneity(backbone, [i for images in by_source for i in images])
            if unseen is not None:
                row["held out"] = held_out(backbone, unseen)
            for strategy in STRATEGIES:
                fused = fusions(backbone, items, strategy)
                row[strategy] = difference(fused, first.setdefault(strategy, fused))
        results[name] = row
        print(name, json.dumps(row), file=sys.stderr)
    return results


def show(results: dict[str, dict[str, object]]) -> None:
    """Print a Markdown table."""

    def cells(row: dict[str, object]) -> list[tuple[str, str]]:
        return [
            (f"{name} {key}" if key else name, f"{value:.5g}")
            for name, values in row.items()
            for key, value in (values.items() if isinstance(values, dict) else [("", values)])
        ]

    heads = [head for head, _ in cells(next(iter(results.values())))]
    print("| weights |", " | ".join(heads), "|")
    print("|---" * (len(heads) + 1) + "|")
    for name, row in results.items():
        print(f"| `{name}` |", " | ".join(value for _, value in cells(row)), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", type=Path, required=True, help="a folder with a/ b/ ...")
    parser.add_argument("--held-out", type=Path, help="a folder or a .tar shard of images")
    parser.add_argument("--backbones", nargs="+", help="default: all that are installed")
    show(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
