"""Batches drawn by number.

Which images make up iteration i, and how they are cropped and mirrored, is a function of
(seed, i) and of nothing else. A resumed run therefore sees exactly what an undisturbed one would
have seen, and no random state has to be saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.training.settings import EDGE
from fusionlab.training.store import Images


@dataclass(frozen=True)
class Batches:
    """The batches of one run.

    Every epoch is a new permutation of all images (an incomplete last batch is dropped); a crop
    lies anywhere in its image.
    """

    images: Images
    batch: int
    seed: int
    flips: bool = False

    def __call__(self, iteration: int, size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the images of an iteration, `(batch / world, 1, size, size)` in 0..1.

        Args:
            iteration: its number, from 0.
            size: edge of the crops.
            rank: which of several processes asks; each takes every `world`-th image.
            world: how many processes there are.
        """
        epoch, position = divmod(iteration, max(1, len(self.images) // self.batch))
        order = _order(self.seed, epoch, len(self.images))
        chosen = order[position * self.batch : (position + 1) * self.batch]
        corners = np.random.default_rng([self.seed, 1, iteration])
        places = corners.integers(0, EDGE - size, size=(len(chosen), 2), endpoint=True)
        mirrors = np.ones((len(chosen), 2), dtype=int)
        if self.flips:
            mirrors -= 2 * np.random.default_rng([self.seed, 2, iteration]).integers(
                0, 2, mirrors.shape
            )
        crops = [
            self.images[index, top : top + size, left : left + size][::down, ::right]
            for index, (top, left), (down, right) in zip(chosen, places, mirrors, strict=True)
        ]
        return torch.from_numpy(np.stack(crops[rank::world]))[:, None].float() / 255


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)
