"""Learn the projection matrix of `mdlatlrr` from photographs.

    python -m fusionlab_classics.learn_latlrr SHARD.tar ... --manifest TABLE.csv --sources 'coco-*'

Writes the matrix (.safetensors) and a card (.json) that says how it was made.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from fusionlab import FusionlabError, __version__
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.data.image_files import ImageFile, ShardTable, find_images
from fusionlab_classics.common.low_rank import LatentLowRank, latent_low_rank
from fusionlab_classics.mdlatlrr import PROJECTION, SIDE


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--manifest", type=click.Path(path_type=Path), help="Table that selects members.")
@click.option("--sources", default="*", help="Pattern of its column `source`.")
@click.option("--description", default="photographs", help="The images in words, for the card.")
@click.option("--output", type=click.Path(path_type=Path), default=PROJECTION)
@click.option("--images", default=500, help="How many images to draw.")
@click.option("--patches", default=2000, help="How many patches: half smooth, half detailed.")
@click.option("--lam", default=0.4, help="Weight of the sparse part.")
@click.option("--side", default=SIDE, help="Edge of a patch, in pixels; mdlatlrr has 16.")
@click.option("--seed", default=0, help="Decides which images and patches are drawn.")
def learn(
    data: tuple[Path, ...],
    manifest: Path | None,
    sources: str,
    description: str,
    output: Path,
    images: int,
    patches: int,
    lam: float,
    side: int,
    seed: int,
) -> None:
    """Learn the projection matrix of `mdlatlrr` from images in folders and tar shards."""
    started = time.perf_counter()
    try:
        files = find_images(data, ShardTable(manifest, sources) if manifest else None)
        generator = np.random.default_rng(seed)
        files = [files[n] for n in generator.permutation(len(files))[:images]]
        found = latent_low_rank(draw_patches(files, patches, side, generator), lam)
    except FusionlabError as error:
        raise click.ClickException(str(error)) from error
    projection = found.projection.float().contiguous()
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file({"projection": projection}, output)
    card = {
        "strategy": "mdlatlrr",
        "sha256": sha256_of_bytes(output.read_bytes()),
        "data": {
            "description": description,
            "images": len(files),
            "images_sha256": sha256_of_bytes("\n".join(map(_name, files)).encode()),
        },
        "settings": {"side": side, "patches": patches, "lam": lam, "seed": seed},
        "convergence": _convergence(found),
        "seconds": round(time.perf_counter() - started, 1),
        "made_with": {"fusionlab": __version__, "torch": version("torch"), "device": "cpu"},
    }
    output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{output}: {found.iterations} iterations, residual {found.residual:.2g}")


def draw_patches(
    files: list[ImageFile], count: int, side: int, generator: np.random.Generator
) -> Tensor:
    """Draw patches of gray images, `(side^2, count)` in 0..1, each read column by column.

    Four times as many are drawn, the same number from each image. Half of the result is taken
    from those whose standard deviation is above the median, half from the others.
    """
    from PIL import Image

    drawn = []
    for file in files:
        gray = np.asarray(Image.open(BytesIO(file.read())).convert("L"), dtype=np.float64) / 255
        for _ in range(-(-4 * count // len(files))):
            top, left = (generator.integers(0, size - side + 1) for size in gray.shape)
            drawn.append(gray[top : top + side, left : left + side].T.ravel())
    candidates = np.array(drawn)
    order = candidates.std(axis=1).argsort(kind="stable")
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    chosen = [generator.permutation(half)[: count // 2] for half in halves]
    return torch.from_numpy(candidates[np.concatenate(chosen)].T.copy())


def _name(file: ImageFile) -> str:
    return f"{file.location.name}/{file.name}"


def _convergence(found: LatentLowRank) -> dict[str, Any]:
    values = torch.linalg.svdvals(found.projection)
    return {
        "iterations": found.iterations,
        "residual": found.residual,
        "largest_sparse": float(found.sparse.abs().max()),
        "nuclear_norm": float(values.sum()),
        "largest_singular_value": float(values[0]),
    }


if __name__ == "__main__":
    learn()
