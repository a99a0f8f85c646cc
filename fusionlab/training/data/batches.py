"""Batches as a function of seed and iteration number.

The images of an iteration, their crops and their flips depend on the seed and the number of the
iteration alone. A resumed run therefore sees exactly what an uninterrupted one would have seen,
and no random state has to be saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.training.data.image_cache import GrayImages
from fusionlab.training.settings import IMAGE_SIZE


@dataclass(frozen=True)
class Batches:
    """The batches of one run: random crops of its images.

    Every epoch is a new permutation of all images; an incomplete last batch is dropped. Crops
    are uniformly distributed over the image.
    """

    images: GrayImages
    batch: int
    seed: int
    flips: bool = False

    def __call__(self, iteration: int, size: int, rank: int = 0, world_size: int = 1) -> Tensor:
        """Return the crops of an iteration, `(batch / world_size, 1, size, size)` in 0..1.

        Args:
            iteration: its number, from 0.
            size: edge of the crops.
            rank: number of the calling process; each takes every `world_size`-th image.
            world_size: number of processes.
        """
        indices = images_of_iteration(len(self.images), iteration, self.batch, self.seed)
        corner_rng = np.random.default_rng([self.seed, 1, iteration])
        corners = corner_rng.integers(0, IMAGE_SIZE - size, size=(len(indices), 2), endpoint=True)
        steps = np.ones((len(indices), 2), dtype=int)  # -1: mirrored
        if self.flips:
            flip_rng = np.random.default_rng([self.seed, 2, iteration])
            steps -= 2 * flip_rng.integers(0, 2, steps.shape)
        crops = [
            self.images[index, top : top + size, left : left + size][::row_step, ::column_step]
            for index, (top, left), (row_step, column_step) in zip(
                indices, corners, steps, strict=True
            )
        ]
        return torch.from_numpy(np.stack(crops[rank::world_size]))[:, None].float() / 255


def images_of_iteration(count: int, iteration: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Return the indices of the images of an iteration, `(batch,)`, out of `count` images."""
    epoch, position = divmod(iteration, max(1, count // batch))
    return _permutation(seed, epoch, count)[position * batch : (position + 1) * batch]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)
