"""What JSR and JSRSD share: code the patches of all sources together, weight, put them back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Interval

from fusionlab import FusionlabError, Law, Strategy
from fusionlab_classics.common.dictionary import (
    cosine_dictionary,
    learn_once,
    patch_side,
    read_dictionary,
)
from fusionlab_classics.common.patches import Overlap, at_least, patches_of
from fusionlab_classics.common.sparse import Codes, JointDictionary, encode, join, refit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from fusionlab import Scene

SIDE = 7
"""Edge of a patch where the dictionary is learned, in pixels."""
FREQUENCIES = 16
"""A learned dictionary has the square of this number of atoms."""
STRIDE = 3
"""Distance between the patches that a dictionary is learned from."""
MOST_PATCHES = 20000
"""How many patches a dictionary is learned from at most."""
STRIP = 4096
"""How many patches are coded at a time, rounded to whole rows."""


@dataclass(frozen=True)
class JointSparse(Strategy):
    """Merge sources by their joint sparse codes.

    A subclass says how much the unique parts of each source weigh.
    """

    domain = "pixels"
    halo: ClassVar[int] = 0
    """How many patches away `unique_weights` looks."""

    dictionary: Annotated[
        str | None, "File of the dictionary, .npy or .npz (none: learned from the sources)."
    ] = None
    sparsity: Annotated[int, Interval(ge=1, le=64), "Largest number of atoms of a code."] = 16
    iterations: Annotated[int, Interval(ge=1, le=1000), "Steps of learning a dictionary."] = 20
    seed: Annotated[
        int, Interval(ge=0, le=2**32 - 1), "Decides what a learned dictionary starts with."
    ] = 0
    variant: Annotated[
        Literal["corrected", "authors"], "Overlapping patches averaged, or as published."
    ] = "corrected"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dictionary is not None and not Path(self.dictionary).is_file():
            raise FusionlabError(
                f"there is no dictionary {self.dictionary}",
                code="no-dictionary",
                option="dictionary",
                path=self.dictionary,
            )

    @property
    def support(self) -> int | None:
        if self.dictionary is None:
            return None
        return self._side - 1 + self.halo

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset()

    @abstractmethod
    def unique_weights(self, codes: Codes, grid: Grid) -> Tensor:
        """Return how much the unique part of each source weighs, `(k, rows, columns)`.

        NaN where the program of the authors divides zero by zero.

        Args:
            codes: of the patches of the grid, row by row.
            grid: which rows of patches these are, and how many columns there are.
        """

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:  # as all strategies
        import torch

        images = features.double() / 255
        with torch.autocast(features.device.type, enabled=False):
            planes = [self._fuse_plane(plane) for plane in images.flatten(1, 2).unbind(1)]
        return (255 * torch.stack(planes)).view(features.shape[1:]).to(features.dtype)

    @property
    def _side(self) -> int:
        """The edge of a patch."""
        return SIDE if self.dictionary is None else patch_side(read_dictionary(self.dictionary))

    def _fuse_plane(self, images: Tensor) -> Tensor:
        """Fuse one plane of each source, `(k, h, w)` in 0..1, to `(h, w)`."""
        import torch

        (k, height, width), side = images.shape, self._side
        images = at_least(images, side)
        averaged = self.variant == "corrected"
        # ties that rounding decides have no derivative
        fair = averaged or images.requires_grad
        dictionary = join(self._atoms(images.detach()), k, fair)
        fused = Overlap(images[0].new_zeros(images.shape[1:]), side, recursive=not averaged)
        for codes, grid in self._coded_strips(images, dictionary):
            unique = self.unique_weights(codes, grid)[:, grid.first : grid.last].flatten(1)
            undefined = unique.isnan().any(dim=0).view(-1, grid.columns)
            unique = unique.nan_to_num(0)
            inside = slice(grid.first * grid.columns, grid.last * grid.columns)
            parts, values = codes.parts[:, inside], codes.values[:, inside]
            common = torch.full_like(unique[:1], self._common_weight(k))
            values = values * torch.cat([common, unique]).gather(0, parts)
            merged = values.new_zeros(dictionary.atoms.shape[1], values.shape[1])
            merged = merged.scatter_add(0, codes.atoms[:, inside], values)
            patches = (dictionary.atoms @ merged).unflatten(1, (-1, grid.columns))
            fused.add(patches, grid.top + grid.first, undefined)
        return fused.image()[:height, :width]

    def _common_weight(self, k: int) -> float:
        """Return how much the common part weighs."""
        return float(k**-0.5)

    def _atoms(self, images: Tensor) -> Tensor:
        """Return the dictionary of these sources, `(m, K)`."""
        import torch

        if self.dictionary is not None:
            return read_dictionary(self.dictionary).to(images.device)
        patches = patches_of(images, SIDE, STRIDE).movedim(1, 0).flatten(1)
        if patches.shape[1] < 4 * FREQUENCIES**2 or not patches.any():
            return cosine_dictionary(SIDE, FREQUENCIES).to(images.device)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(patches.shape[1], generator=generator)
        return learn_once(
            patches[:, order[:MOST_PATCHES].to(patches.device)],
            FREQUENCIES**2,
            sparsity=self.sparsity,
            iterations=self.iterations,
            seed=self.seed,
        )

    def _coded_strips(
        self, images: Tensor, dictionary: JointDictionary
    ) -> Iterator[tuple[Codes, Grid]]:
        """Code the patches of images `(k, h, w)` in strips, each with the rows that it looks at."""
        side = patch_side(dictionary.atoms)
        rows, columns = (size - side + 1 for size in images.shape[1:])
        step = max(1, STRIP // columns)
        codes, top, done = None, 0, 0
        for first in range(0, rows, step):
            last = min(first + step, rows)
            strip = code(images[:, first : last + side - 1], dictionary, self.sparsity)
            codes = strip if codes is None else codes.followed_by(strip)
            complete = rows if last == rows else last - self.halo
            if complete > done:
                yield codes, Grid(top, done - top, complete - top, columns)
                done = complete
                codes = codes.after((max(done - self.halo, top) - top) * columns)
                top = max(done - self.halo, top)


@dataclass(frozen=True)
class Grid:
    """Rows of patches."""

    top: int
    """Which row of the image the first one is."""
    first: int
    """The first row that is wanted; those before it are neighbors."""
    last: int
    """The row after the last one that is wanted."""
    columns: int


def code(images: Tensor, dictionary: JointDictionary, sparsity: int) -> Codes:
    """Code the patches of images `(k, h, w)`, with gradients where the images have them."""
    import torch

    patches = patches_of(images, patch_side(dictionary.atoms))
    with torch.no_grad():
        codes = encode(patches, dictionary, sparsity)
    return refit(patches, dictionary, codes) if patches.requires_grad else codes


def unique_norms(codes: Codes) -> Tensor:
    """Return the l1-norms of the unique parts, `(k, p)`."""
    import torch

    magnitudes = codes.values.abs()
    return torch.stack([(magnitudes * (codes.parts == i + 1)).sum(dim=0) for i in range(codes.k)])


def shares_of_largest(activities: Tensor, *, guarded: bool) -> Tensor:
    """Return activities `(k, ...)` over the largest; if `guarded`, 0 where all are 0, else NaN."""
    import torch

    largest = activities.amax(dim=0)
    shares = activities / torch.where(largest > 0, largest, 1)
    return shares if guarded else torch.where(largest > 0, shares, torch.nan)
