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
    approximation, product = torch.empty_like(signals), torch.empty_like(signals)
    work = torch.empty(1 + k, count, size, dtype=torch.float32, device=patches.device)
    factor: list[list[Tensor]] = []
    terms: list[Tensor] = []
    forward: list[Tensor] = []
    values: list[Tensor] = []
    rest = patches
    for n in range(sparsity):
        atoms = best_atoms(rest, dictionary.coarse, work)
        vectors = dictionary.atoms.index_select(1, atoms)
        correlations = correlate_parts(rest, vectors, fair=fair)
        part = choose_part(correlations, fair=fair)
        joint = atoms + size * part
        square = correlations.gather(0, part[None])[0].square()
        active = active & (square >= limit) & ~(chosen[:n] == joint).any(dim=0)
        pairs = chosen[:n].clamp(min=0) * ((1 + k) * size) + joint
        row = _solve_row(factor, dictionary.products[pairs])
        length = torch.zeros_like(square)
        for entry in row:
            length += entry.square()
        height = 1 - length
        active = active & (height > SMALLEST)
        if not active.any():
            break
        diagonal = torch.where(active, height, 1).sqrt()
        factor.append([*(entry * active for entry in row), diagonal])
        chosen[n] = torch.where(active, joint, -1)
        scaled = vectors / k**0.5
        blocks = [torch.where(part == 0, scaled, vectors * (part == i + 1)) for i in range(k)]
        terms.append(torch.cat(blocks))
        value = ordered_sum(signals * terms[-1]) * active
        for j in range(n):
            value = value - factor[n][j] * forward[j]
        forward.append(value / diagonal)
        values = _solve_back(factor, forward)
        approximation = torch.mul(terms[0], values[0], out=approximation)
        for term, value in zip(terms[1:], values[1:], strict=True):
            approximation += torch.mul(term, value, out=product)
        rest = torch.sub(signals, approximation, out=approximation).view_as(patches)
    chosen = chosen.clamp(min=0)
    values += [torch.zeros_like(signals[0])] * (sparsity - len(values))
    return Codes(chosen % size, chosen // size, torch.stack(values), k)


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


def best_atoms(rest: Tensor, coarse: Tensor, work: Tensor) -> Tensor:
    """Return the atom of largest correlation with `(k, m, p)`, common or unique, `(p,)`.

    Args:
        rest: what is left of the patches.
        coarse: the atoms `(m, K)` in float32.
        work: `(1 + k, p, K)` in float32; is overwritten.
    """
    import torch

    largest, correlations = work[0], work[1:]
    torch.bmm(rest.float().mT, coarse.expand(len(rest), -1, -1), out=correlations)
    torch.sum(correlations, dim=0, out=largest)
    largest.mul_(len(rest) ** -0.5).abs_()
    for source in correlations.abs_():
        torch.maximum(largest, source, out=largest)
    return largest.argmax(dim=1)


def correlate_parts(rest: Tensor, vectors: Tensor, *, fair: bool) -> Tensor:
    """Return the inner products of `(k, m, p)` with the joint atoms of `(m, p)`, `(1 + k, p)`."""
    import torch

    k, size, count = rest.shape
    if fair:
        unique = (rest * vectors).sum(dim=1)
        return torch.cat([unique.sum(dim=0, keepdim=True) / k**0.5, unique])
    products = rest.new_zeros(k, size, 1 + k, count)
    torch.mul(rest, vectors / k**0.5, out=products[:, :, 0])
    for i in range(k):
        torch.mul(rest[i], vectors, out=products[i, :, 1 + i])
    return ordered_sum(products.flatten(0, 1))


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


def _solve_row(factor: list[list[Tensor]], overlaps: Tensor) -> list[Tensor]:
    """Return the next row of the Cholesky factor, but for its diagonal."""
    row: list[Tensor] = []
    for i, overlap in enumerate(overlaps):
        value = overlap
        for j in range(i):
            value = value - factor[i][j] * row[j]
        row.append(value / factor[i][i])
    return row


def _solve_back(factor: list[list[Tensor]], forward: list[Tensor]) -> list[Tensor]:
    """Solve with the transposed Cholesky factor."""
    values = list(forward)
    for i in reversed(range(len(forward))):
        for j in range(i + 1, len(forward)):
            values[i] = values[i] - factor[j][i] * values[j]
        values[i] = values[i] / factor[i][i]
    return values
