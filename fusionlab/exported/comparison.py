"""Compare an exported model with the pipeline, in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.errors import one_line
from fusionlab.exported.metadata import DTYPES, ModelMetadata
from fusionlab.exported.sessions import NotExportable, load
from fusionlab.fusion import Fusion

if TYPE_CHECKING:
    import onnx

SIZES = ((1, 1), (2, 9), (17, 5), (40, 31), (64, 97))
"""Heights and widths at which a model is compared, unless it takes only one size."""
HALF_A_LEVEL = 0.5 / 255
"""Differences that are larger are counted."""
MOST_DIFFERING = 0.05
"""Share of the pixels that may differ by more: a strategy that chooses between sources decides
otherwise where they are equal but for rounding."""


@dataclass(frozen=True)
class Difference:
    """How far a model is from the pipeline."""

    largest: float
    """In 0..1, or in levels of an integer image."""
    share: float
    """Of the pixels, those that differ by more than half a gray level of 255."""


def compare(
    fusion: Fusion,
    model: onnx.ModelProto,
    metadata: ModelMetadata,
    sizes: Sequence[tuple[int, int]],
    progress: Callable[[], None],
) -> Difference:
    """Fuse generated images by the pipeline and by the model.

    Args:
        fusion: the pipeline.
        model: the model.
        metadata: of the model.
        sizes: heights and widths of the images.
        progress: called after each size.

    Raises:
        NotExportable: onnxruntime does not run the model, or the two disagree.
    """
    session = load(model.SerializeToString())
    largest, beyond, pixels = 0.0, 0, 0
    for number, (height, width) in enumerate(sizes):
        images = [
            generated_images(metadata, seed, 1 + number % 2, height, width)
            for seed in range(metadata.sources)
        ]
        expected = _by_pipeline(fusion, images, metadata)
        try:
            (fused,) = session.run(None, dict(zip(metadata.inputs, images, strict=True)))
        except Exception as error:
            raise NotExportable(
                f"its graph fails for images of {width}x{height}: {one_line(error)}"
            ) from error
        away = np.abs(fused.astype(np.float64) - expected)
        white = np.iinfo(fused.dtype).max if fused.dtype.kind == "u" else 1
        largest = max(largest, float(away.max()))
        beyond += int((~(away <= HALF_A_LEVEL * white)).sum())  # NaN, too
        pixels += away.size
        progress()
    if beyond > MOST_DIFFERING * pixels:
        raise NotExportable(
            f"its graph differs from the pipeline by up to {largest:.3g}, and at "
            f"{100 * beyond / pixels:.0f} % of the pixels by more than half a gray level"
        )
    return Difference(largest, beyond / pixels)


def generated_images(
    metadata: ModelMetadata, seed: int, count: int, height: int, width: int
) -> NDArray[Any]:
    """Return images `(count, 1, H, W)` for one source: smooth, with noise and a flat part.

    Their values are those of 8 bits, spread over the range of the type that the graph takes.
    """
    random = np.random.default_rng([seed, height, width])
    rows = np.linspace(0, 3, height)[:, None] + random.uniform(0, 6)
    columns = np.linspace(0, 4, width) + random.uniform(0, 6)
    smooth = 0.5 + 0.3 * np.sin(rows) * np.cos(columns)
    images = smooth + random.normal(0, 0.08, (count, 1, height, width))
    images[..., : height // 4, : width // 4] = 0.25 + 0.5 * seed / metadata.sources
    levels = np.round(255 * images.clip(0, 1))
    depth = 32 if metadata.depths is None else metadata.depths[seed]
    if depth == 32:
        return (levels / 255).astype(np.float32)
    return (levels * (257 if depth == 16 else 1)).astype(DTYPES[depth])


def _by_pipeline(
    fusion: Fusion, images: Sequence[NDArray[Any]], metadata: ModelMetadata
) -> NDArray[Any]:
    """Return what the pipeline makes of images `(N, 1, H, W)` for each source."""
    tensors = [torch.from_numpy(image) for image in images]
    if metadata.depths is None:
        fused, _ = fusion.fuse_planes(torch.stack(tensors))
    else:
        with torch.no_grad():
            fused = fusion(tensors)
    expected: NDArray[Any] = fused.numpy()
    return expected.astype(np.float64)
