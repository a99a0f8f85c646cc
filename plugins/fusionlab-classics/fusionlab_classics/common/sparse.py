"""Joint sparse codes by orthogonal matching pursuit, for many patches at a time.

The patches x_1, ..., x_k of k sources at one place are a sum of few atoms: common ones, which all
of them share, and unique ones, which occur in one of them:

x_i = sum_j c_j d_j / sqrt k + sum_j u_ij d_j

That is the sparse code of the stacked vector (x_1, ..., x_k) in the joint dictionary of (1 + k) K
unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-14
"""Squared correlations, and squared distances of an atom from those chosen, that count as zero."""
TIE = 1e-9
"""Correlations whose ratio is this close to 1 are tied."""
COARSE_TIE = 1e-6
"""The same in float32, where sums of 49 products are off by some 1e-7."""


@dataclass(frozen=True)
class Codes:
    """Sparse codes of p patches, at most s atoms each; what is not used has the value 0."""

    atoms: Tensor
    """Which atom of the dictionary, `(s, p)` in 0..K-1."""
    parts: Tensor
    """0 for the common part, i for the unique part of source i in 1..k, `(s, p)`."""
    values: Tensor
    """Coefficients `(s, p)` in float64."""
    k: int
    """Number of sources."""

    def followed_by(self, other: Codes) -> Codes:
        """Return the codes of both."""
        import torch

        return Codes(
            torch.cat([self.atoms, other.atoms], dim=1),
            torch.cat([self.parts, other.parts], dim=1),
            torch.cat([self.values, other.values], dim=1),
            self.k,
        )

    def after(self, count: int) -> Codes:
        """Return the codes without the first `count` patches."""
        return Codes(self.atoms[:, count:], self.parts[:, count:], self.values[:, count:], self.k)


@dataclass(frozen=True, eq=False)
class JointDictionary:
    """A dictionary of K unit atoms of m pixels, joined for k sources."""

    atoms: Tensor
    """`(m, K)` in float64."""
    k: int
    fair: bool = True
    """Whether ties and zeros are treated alike in all sources; see `encode`."""

    @cached_property
    def products(self) -> Tensor:
        """Inner products of all joint atoms, `((1 + k)^2 K^2,)`."""
        import torch

        common = (self.atoms / self.k**0.5).repeat(self.k, 1)
        joint = torch.cat([common, torch.block_diag(*[self.atoms] * self.k)], dim=1)
        if self.fair:
            return (joint.mT @ joint).flatten()
        return torch.cat([ordered_sum(joint * vector[:, None]) for vector in joint.unbind(1)])

    @cached_property
    def coarse(self) -> Tensor:
        """The atoms in float32, `(m, K)`."""
        return self.atoms.float()


@lru_cache(maxsize=4)
def join(atoms: Tensor, k: int, fair: bool) -> JointDictionary:  # a cached key
    """Return the joint dictionary of the same tensor without making its products again."""
    return JointDictionary(atoms, k, fair)


def encode(patches: Tensor, dictionary: JointDictionary, sparsity: int) -> Codes:
    """Find the joint sparse codes of patches by orthogonal matching pursuit.

    The atom with the largest correlation with what is left comes next, until there are `sparsity`,
    or the correlation is zero, or the atom depends on those chosen. The matrix of their products is
    factored by Cholesky's method, row by row.

    As soon as a common atom is chosen, the correlations of the same atom with two sources are
    opposite, so ties are frequent. If the dictionary is `fair`, the positive one comes first, and
    the order of the sources does not matter; zeros are relative to the squared norm of the patch.
    Otherwise rounding decides, by sums in the order of the program that published results were made
    with, and zeros are absolute.

    The best atom is found in float32, and which of its parts it is in float64.

    Args:
        patches: `(k, m, p)` in float64.
        dictionary: for k sources.
        sparsity: the largest number of atoms of a code, s.
    """
    import torch

    k, _, count = patches.shape
    fair = dictionary.fair
    size, signals = dictionary.atoms.shape[1], patches.flatten(0, 1)
    limit = SMALLEST * signals.square().sum(dim=0) if fair else SMALLEST
    chosen = torch.full((sparsity, count), -1, device=patches.device)
    active = torch.ones(count, dtype=torch.bool, device=patches.device)
    work = torch.empty(1 + k, count, size, dtype=torch.float32, device=patches.device)
    sums = _FairSums(patches) if fair else _OrderedSums(patches)
    factor = signals.new_zeros(sparsity, sparsity, count)
    forward = signals.new_zeros(sparsity, count)
    rest = patches
    for n in range(sparsity):
        atoms = best_atoms(rest, dictionary.coarse, work, fair=fair)
        vectors = dictionary.atoms.index_select(1, atoms)
        correlations = sums.correlations(rest, vectors)
        part = choose_part(correlations, fair=fair)
        joint = atoms + size * part
        correlation = correlations.gather(0, part[None])[0]
        square = correlation.square()
        active = active & (square >= limit) & ~(chosen[:n] == joint).any(dim=0)
        pairs = chosen[:n].clamp(min=0) * ((1 + k) * size) + joint
        row = _solve_forward(factor[:n, :n], dictionary.products[pairs])
        height = 1 - row.square().cumsum(dim=0)[-1] if n else torch.ones_like(square)
        active = active & (height > SMALLEST)
        if not active.any():
            break
        factor[n, :n] = row * active
        factor[n, n] = torch.where(active, height, 1).sqrt()
        chosen[n] = torch.where(active, joint, -1)
        part_of_factor = factor[: n + 1, : n + 1]
        value = sums.add(vectors, part, correlation, part_of_factor, forward[:n])
        forward[n] = value * active / factor[n, n]
        rest = sums.rest(part_of_factor, forward[: n + 1])
    used = int((chosen >= 0).any(dim=1).sum())
    values = torch.zeros_like(forward)
    values[:used] = _solve_back(factor[:used, :used], forward[:used])
    chosen = chosen.clamp(min=0)
    return Codes(chosen % size, chosen // size, values, k)


class _FairSums:
    """What `encode` sums over the pixels of patches `(k, m, p)`, in any order."""

    def __init__(self, patches: Tensor) -> None:
        self.k = len(patches)
        self.left = patches.clone()
        self.basis: list[Tensor] = []

    def correlations(self, rest: Tensor, vectors: Tensor) -> Tensor:
        """Return the inner products of the rest with all parts of atoms `(m, p)`, `(1 + k, p)`."""
        import torch

        unique = torch.linalg.vecdot(rest, vectors[None], dim=1)
        return torch.cat([unique.sum(dim=0, keepdim=True) / self.k**0.5, unique])

    def add(
        self, vectors: Tensor, part: Tensor, correlation: Tensor, factor: Tensor, forward: Tensor
    ) -> Tensor:
        """Choose these parts of these atoms, and return the right side of their row, `(p,)`.

        What is left of the patches is orthogonal to all atoms before, so that is the correlation
        with it. The new atom is made orthogonal to them, too.

        Args:
            vectors: the atoms, `(m, p)`.
            part: which part of each, `(p,)`.
            correlation: their inner product with the rest, `(p,)`.
            factor: Cholesky's, with the row of this atom, `(n, n, p)`.
            forward: the solution with the rows before, `(n - 1, p)`.
        """
        import torch

        unique = torch.arange(1, 1 + self.k, device=part.device)[:, None] == part
        scales = torch.where(part == 0, self.k**-0.5, unique.to(vectors))
        *row, diagonal = factor[-1]
        direction = vectors * scales[:, None]
        for entry, earlier in zip(row, self.basis, strict=True):
            direction.addcmul_(earlier, entry, value=-1)
        self.basis.append(direction.div_(diagonal))
        return correlation

    def rest(self, factor: Tensor, forward: Tensor) -> Tensor:
        """Return what the chosen atoms leave of the patches; overwrites the last result."""
        return self.left.addcmul_(self.basis[-1], forward[-1], value=-1)


class _OrderedSums:
    """The same in the order of the authors' program, to the last bit."""

    def __init__(self, patches: Tensor) -> None:
        import torch

        self.patches = patches
        self.k = len(patches)
        self.terms: list[Tensor] = []
        self._sum, self._product = (torch.empty_like(patches.flatten(0, 1)) for _ in range(2))

    def correlations(self, rest: Tensor, vectors: Tensor) -> Tensor:
        """Return the inner products of the rest with all parts of atoms `(m, p)`, `(1 + k, p)`."""
        import torch

        size, count = vectors.shape
        products = rest.new_zeros(self.k, size, 1 + self.k, count)
        torch.mul(rest, vectors / self.k**0.5, out=products[:, :, 0])
        for i in range(self.k):
            torch.mul(rest[i], vectors, out=products[i, :, 1 + i])
        return ordered_sum(products.flatten(0, 1))

    def add(
        self, vectors: Tensor, part: Tensor, correlation: Tensor, factor: Tensor, forward: Tensor
    ) -> Tensor:
        """Choose these parts of these atoms, and return the right side of their row, `(p,)`."""
        import torch

        scaled = vectors / self.k**0.5
        blocks = [torch.where(part == 0, scaled, vectors * (part == i + 1)) for i in range(self.k)]
        self.terms.append(torch.cat(blocks))
        value = ordered_sum(self.patches.flatten(0, 1) * self.terms[-1])
        for entry, earlier in zip(factor[-1], forward, strict=False):
            value = value - entry * earlier
        return value

    def rest(self, factor: Tensor, forward: Tensor) -> Tensor:
        """Return the patches minus all chosen atoms times their values."""
        import torch

        values = _solve_back(factor, forward)
        total = torch.mul(self.terms[0], values[0], out=self._sum)
        for term, value in zip(self.terms[1:], values[1:], strict=True):
            total += torch.mul(term, value, out=self._product)
        return self.patches - total.view_as(self.patches)


def refit(patches: Tensor, dictionary: JointDictionary, codes: Codes) -> Codes:
    """Return the codes with values that have gradients: least squares with the chosen atoms."""
    import torch

    k, signals = dictionary.k, patches.flatten(0, 1)
    vectors = dictionary.atoms[:, codes.atoms.flatten()].view(-1, *codes.atoms.shape)
    scales = [torch.where(codes.parts == 0, k**-0.5, codes.parts == i + 1) for i in range(k)]
    used = codes.values != 0
    terms = torch.cat([vectors * scale for scale in scales]) * used
    products = torch.einsum("msp,mtp->pst", terms, terms) + torch.diag_embed((~used).mT.to(terms))
    targets = torch.einsum("msp,mp->ps", terms, signals)
    return Codes(codes.atoms, codes.parts, torch.linalg.solve(products, targets).mT, k)


def ordered_sum(products: Tensor) -> Tensor:
    """Add up the first dimension in four interleaved partial sums, the remainder one by one."""
    blocks = len(products) // 4
    total = products[:4].clone()
    for block in range(1, blocks):
        total += products[4 * block : 4 * block + 4]
    result = (total[0] + total[1]) + (total[2] + total[3])
    for last in range(4 * blocks, len(products)):
        result = result + products[last]
    return result


def best_atoms(rest: Tensor, coarse: Tensor, work: Tensor, *, fair: bool) -> Tensor:
    """Return the atom of largest correlation with `(k, m, p)`, common or unique, `(p,)`.

    Args:
        rest: what is left of the patches.
        coarse: the atoms `(m, K)` in float32.
        work: `(1 + k, p, K)` in float32; is overwritten.
        fair: the first of atoms that are tied in float32, not the one that rounding prefers.
    """
    import torch

    largest, correlations = work[0], work[1:]
    torch.bmm(rest.float().mT, coarse.expand(len(rest), -1, -1), out=correlations)
    torch.sum(correlations, dim=0, out=largest)
    largest.mul_(len(rest) ** -0.5).abs_()
    for source in correlations.abs_():
        torch.maximum(largest, source, out=largest)
    if not fair:
        return largest.argmax(dim=1)
    threshold = (1 - COARSE_TIE) * largest.amax(dim=1, keepdim=True)
    return (largest >= threshold).view(torch.uint8).argmax(dim=1)


def choose_part(correlations: Tensor, *, fair: bool) -> Tensor:
    """Return the part of largest magnitude, the positive one of tied ones if `fair`, `(p,)`."""
    import torch

    measures = correlations.abs() if fair else correlations.square()
    best, largest = torch.zeros_like(measures[0], dtype=torch.long), measures[0]
    for part in range(1, len(measures)):
        better = measures[part] > largest
        if fair:
            tied = (measures[part] - largest).abs() <= TIE * largest
            exceeds = correlations[part] > correlations.gather(0, best[None])[0]
            better = torch.where(tied, exceeds, better)
        best = torch.where(better, part, best)
        largest = torch.where(better, measures[part], largest)
    return best


def _solve_forward(factor: Tensor, targets: Tensor) -> Tensor:
    """Solve with a lower triangular factor `(n, n, p)` for targets `(n, p)`, in index order."""
    values = targets.clone()
    for j in range(len(values)):
        values[j] /= factor[j, j]
        values[j + 1 :] -= factor[j + 1 :, j] * values[j]
    return values


def _solve_back(factor: Tensor, forward: Tensor) -> Tensor:
    """Solve with the transposed factor, in index order."""
    values = forward.clone()
    for i in reversed(range(len(values))):
        for j in range(i + 1, len(values)):
            values[i] -= factor[j, i] * values[j]
        values[i] /= factor[i, i]
    return values
