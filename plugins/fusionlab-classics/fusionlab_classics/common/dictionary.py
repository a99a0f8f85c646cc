"""Dictionaries of patches: read from files, a fixed one, and K-SVD learning.

A patch is a vector of its pixels, column by column; a dictionary has one unit atom per column.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab import FusionlabError
from fusionlab_classics.common.sparse import JointDictionary, encode

if TYPE_CHECKING:
    from torch import Tensor

COHERENT = 0.99
"""Two atoms whose inner product is larger are one."""
RARE = 4
"""An atom that fewer patches use is replaced."""
MOST_LEARNED = 8
"""How many learned dictionaries are kept, 100 kB each: those of a few planes and threads."""
_LEARNED: dict[tuple[object, ...], Tensor] = {}
"""Learned dictionaries, the oldest first."""


def read_dictionary(path: str) -> Tensor:
    """Read a dictionary `(m, K)` from a `.npy` file, or the first array of a `.npz` file.

    Atoms are scaled to unit norm where they do not have it.

    Raises:
        FusionlabError: the file is not a dictionary of square patches.
    """
    return _read(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: str, changed: int) -> Tensor:  # noqa: ARG001  # part of the key
    import numpy as np
    import torch

    try:
        content: Any = np.load(path, allow_pickle=False)
        array = np.asarray(content[content.files[0]] if hasattr(content, "files") else content)
        atoms = torch.from_numpy(array.astype(np.float64))
        norms = atoms.norm(dim=0)
        valid = atoms.ndim == 2 and patch_side(atoms) ** 2 == len(atoms) and bool((norms > 0).all())
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise FusionlabError(
            f"cannot read the dictionary {path}: {error}", code="invalid-dictionary", path=path
        ) from error
    if not valid or not atoms.isfinite().all():
        raise FusionlabError(
            f"{path} is not a dictionary: expected one atom of n x n pixels in each column, finite "
            f"and not zero, got an array of shape {tuple(array.shape)}",
            code="invalid-dictionary",
            path=path,
        )
    return atoms if bool(((norms - 1).abs() < 1e-9).all()) else atoms / norms


def patch_side(atoms: Tensor) -> int:
    """Return the edge of the patches of a dictionary, in pixels."""
    return round(len(atoms) ** 0.5)


@lru_cache(maxsize=4)
def cosine_dictionary(side: int, frequencies: int) -> Tensor:
    """Return an overcomplete cosine dictionary, `(side^2, frequencies^2)` in float64."""
    import torch

    places, waves = torch.arange(side), torch.arange(frequencies)
    lines = torch.cos(places[:, None] * waves * torch.pi / frequencies).double()
    lines[:, 1:] -= lines[:, 1:].mean(dim=0)
    lines = lines / lines.norm(dim=0)
    return torch.kron(lines, lines)


def learn_dictionary(
    patches: Tensor, count: int, *, sparsity: int, iterations: int, seed: int
) -> Tensor:
    """Learn a dictionary of `count` atoms by K-SVD, `(m, count)` in float64.

    Starts with random patches. In each iteration the patches are coded by orthogonal matching
    pursuit; then each atom, in random order, and its coefficients are fitted to what the other
    atoms leave of the patches that use it, by one step of the power method. An atom that is hardly
    used, or nearly equals another one, is replaced by the patch that is represented worst.

    Reference: Aharon, Elad and Bruckstein, K-SVD, doi:10.1109/TSP.2006.881199.

    Args:
        patches: `(m, p)` in float64, with p at least `count`.
        count: number of atoms.
        sparsity: atoms per patch.
        iterations: how often to code and fit.
        seed: decides the first atoms and the order of the fits.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    patches = patches[:, patches.norm(dim=0) > 0]
    order = torch.randperm(patches.shape[1], generator=generator)[:count]
    atoms = patches[:, order.to(patches.device)]
    atoms = atoms / atoms.norm(dim=0)
    for _ in range(iterations):
        codes = encode(patches[None], JointDictionary(atoms, 1), sparsity)
        weights = patches.new_zeros(count, patches.shape[1])
        weights.scatter_add_(0, codes.atoms, codes.values)
        atoms = _fit_atoms(patches, atoms, weights, generator)
        atoms = _replace_atoms(patches, atoms, weights)
    return atoms


def learn_once(patches: Tensor, count: int, *, sparsity: int, iterations: int, seed: int) -> Tensor:
    """Return what `learn_dictionary` learned from equal patches lately, or let it learn.

    So the rows of several methods learn one dictionary for each image.
    """
    content = hashlib.sha256(patches.cpu().numpy().tobytes()).hexdigest()
    key = content, tuple(patches.shape), count, sparsity, iterations, seed
    known = _LEARNED.get(key)
    if known is not None:
        return known.to(patches.device)
    learned = learn_dictionary(patches, count, sparsity=sparsity, iterations=iterations, seed=seed)
    _LEARNED[key] = learned.cpu()
    for oldest in list(_LEARNED)[:-MOST_LEARNED]:
        _LEARNED.pop(oldest, None)
    return learned


def _fit_atoms(patches: Tensor, atoms: Tensor, weights: Tensor, generator: Any) -> Tensor:
    """Fit each atom and its weights to the rest of the patches that use it; changes `weights`."""
    import torch

    rest, fitted = patches - atoms @ weights, atoms.clone()
    for n in torch.randperm(atoms.shape[1], generator=generator).tolist():
        users = weights[n].nonzero()[:, 0]
        if not len(users):
            continue
        share = rest[:, users] + fitted[:, n : n + 1] * weights[n, users]
        atom = share @ weights[n, users]
        length = atom.norm()
        if length > 0:
            fitted[:, n] = atom / length
            weights[n, users] = fitted[:, n] @ share
        rest[:, users] = share - fitted[:, n : n + 1] * weights[n, users]
    return fitted


def _replace_atoms(patches: Tensor, atoms: Tensor, weights: Tensor) -> Tensor:
    """Replace atoms that are hardly used, or nearly equal another one, by patches coded badly."""
    useless = _redundant(atoms) | ((weights.abs() > 1e-7).sum(dim=1) < RARE)
    places = useless.nonzero()[:, 0]
    errors = (patches - atoms @ weights).square().sum(dim=0)
    worst = patches[:, errors.topk(min(len(places), len(errors))).indices]
    atoms = atoms.clone()
    atoms[:, places[: worst.shape[1]]] = worst / worst.norm(dim=0)
    return atoms


def _redundant(atoms: Tensor) -> Tensor:
    """Return which atoms to give up so that no two are nearly equal, those like most others first.

    Otherwise one constant atom would survive in place of many smooth ones.
    """
    import torch

    similar = (atoms.mT @ atoms).abs() > COHERENT
    similar.fill_diagonal_(False)
    redundant = torch.zeros_like(similar[0])
    while similar.any():
        worst = similar.sum(dim=0).argmax()
        redundant[worst] = True
        similar[worst] = False
        similar[:, worst] = False
    return redundant
