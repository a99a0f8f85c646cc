"""The joint distribution of two images, and what each tells of the other.

Linear windows on both sides instead of the cubic one of Mattes et al. 2003,
doi:10.1109/TMI.2003.809072. Values are replaced by their ranks before, so that every bin is used.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionlab_registration.fields import Image

BINS = 24


def ranked(image: Image, valid: Image) -> Image:
    """Return the image with its values replaced by their rank, 0..BINS - 1."""
    values = image[valid > 0.5]
    if not values.size:
        return np.zeros_like(image)
    counts, edges = np.histogram(values, 1024, (float(values.min()), float(values.max()) + 1e-6))
    below = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    ranks = np.interp(image.ravel(), edges, below).reshape(image.shape)
    return np.asarray(ranks * (BINS - 1), np.float32)


def joint(one: Image, other: Image) -> NDArray[np.float64]:
    """Return the joint distribution (BINS, BINS) of the ranks of the same pixels (N,)."""
    row = np.clip(one.astype(np.int32), 0, BINS - 2)
    column = np.clip(other.astype(np.int32), 0, BINS - 2)
    a, b = one - row, other - column
    at, size = row * BINS + column, BINS * BINS
    table = np.bincount(at, (1 - a) * (1 - b), size)
    table += np.bincount(at + 1, (1 - a) * b, size)
    table += np.bincount(at + BINS, a * (1 - b), size)
    table += np.bincount(at + BINS + 1, a * b, size)
    table = np.asarray(
        cv2.GaussianBlur(table.reshape(BINS, BINS), (0, 0), 0.8, borderType=cv2.BORDER_REFLECT)
    )
    return np.asarray(table / max(float(table.sum()), 1e-12))


def information(table: NDArray[np.float64]) -> float:
    """Return the mutual information of a joint distribution, in nats."""
    alone = np.outer(table.sum(axis=1), table.sum(axis=0))
    some = table > 0
    return float(np.sum(table[some] * np.log(table[some] / alone[some])))


def slopes(table: NDArray[np.float64]) -> Image:
    """Return by how much a pixel becomes likelier when its rank in the other image grows by one."""
    ratio = np.log(np.maximum(table, 1e-7) / np.maximum(table.sum(axis=0), 1e-7))
    return np.asarray(np.gradient(ratio, axis=1), np.float32)
