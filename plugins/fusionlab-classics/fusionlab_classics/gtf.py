"""Gradient transfer: the gray levels of the infrared source with the gradients of the visible one.

S = A - B                                             A infrared, B visible, in 0..1
f = B + argmin_U  sum |U - S| + lam sum |grad U|      grad: forward differences, 0 at the last pixel
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy, histograms
from fusionlab_classics.common.cosine_transform import dct, idct

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

BINS = 1000
"""Bins of the histograms that give the thresholds of IRN."""

GRADIENT_STEP, FIDELITY_STEP = 30, 3
"""Penalties of the splitting, times mean |S|: 120 to 160 iterations on images of 3 to 100 thousand
pixels, for a gap of 0.2 %; twice or half of both takes up to a third more."""

RELAXATION = 1.8
"""Over-relaxation of the splitting; it converges for less than 2."""

CHECK_EVERY, MAX_ITERATIONS = 10, 5000
"""After how many iterations the gap is computed, and after how many the splitting stops anyway."""


@dataclass(frozen=True)
class GTF(Strategy):
    """Keep the gray levels of the infrared source and the gradients of the visible one.

    `solver=irn` is the authors' program: iteratively reweighted norms (Rodriguez and Wohlberg),
    stopped after 5 loops, whose linear systems are solved loosely by conjugate gradients. Each loop
    weights the terms by the result so far; magnitudes below a threshold from a histogram of 1000
    bins are raised to it. This is not the optimum: on four pairs the objective is 4 to 7 % above
    it, and the images differ by 1.6 to 7 gray levels on average. More `loops` need not come
    closer, because of the thresholds. The conjugate gradients amplify rounding: where a residual
    is as large as its limit, another order of sums may take one iteration more, and change
    pixels by up to 0.2 gray levels.

    `solver=optimal` minimizes the objective: alternating directions, over-relaxed, with one exact
    solution of a Poisson equation by cosine transforms per iteration. It stops where a lower bound
    proves that the objective is at most `tolerance` above its minimum: the dual problem with U
    in the range of S, which the minimum does not leave. It takes several times as long as `irn`.

    The default is `irn`, because the images that papers show and measure as GTF are those of that
    program, which a better solver does not reproduce.

    The sources have roles: infrared first, visible second. The result may leave the range of the
    sources; `range_policy=clip` cuts it off there, as the program does. All arithmetic is in
    float64. A pixel depends on the whole image, which is therefore never cut into tiles.

    References: Ma, Chen, Li and Huang, Infrared and visible image fusion via gradient transfer and
    total variation minimization, doi:10.1016/j.inffus.2016.02.001. Rodriguez and Wohlberg,
    Efficient minimization method for a generalized total variation functional, IEEE Transactions on
    Image Processing 18(2), 2009.
    """

    domain = "pixels"
    min_k = max_k = 2
    roles = ("infrared", "visible")

    lam: Annotated[
        float, Interval(ge=0.01, le=100), "Weight of the gradients, relative to the gray levels."
    ] = 4.0
    solver: Annotated[
        Literal["irn", "optimal"],
        "How to minimize: as in the authors' program, or up to a proven gap.",
    ] = "irn"
    loops: Annotated[int, Interval(ge=1, le=1000), "After how many loops irn stops."] = 5
    tolerance: Annotated[
        float,
        Interval(ge=1e-6, le=0.5),
        "How far above its minimum the objective of the optimal solver may be, relative to it.",
    ] = 2e-3

    @property
    def laws(self) -> frozenset[Law]:
        """The weights of the first loop of irn depend on the contrast."""
        laws = {Law.IDEMPOTENCE}
        if self.solver == "optimal":
            laws |= {Law.SCALE}
        return frozenset(laws)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        visible = features[1].double() / 255
        differences = features[0].double() / 255 - visible
        # plane by plane: the number of iterations depends on the image
        transferred = torch.stack([self._minimum(plane) for plane in differences.flatten(0, 1)])
        return (255 * (transferred.view_as(visible) + visible)).to(features.dtype)

    def _minimum(self, differences: Tensor) -> Tensor:
        """Return U for S `(h, w)`; for a constant S it is S itself."""
        if not _squared_gradient(differences.detach()).any():
            return differences
        if self.solver == "irn":
            return reweighted_norms(differences, self.lam, self.loops)
        return alternating_directions(differences, self.lam, self.tolerance)


# ------------------------------------------------- as published


def reweighted_norms(differences: Tensor, lam: float, loops: int) -> Tensor:
    """Approximate U for S `(h, w)`, by some loops of IRN."""
    import torch

    result = differences
    for _ in range(loops):
        distances = (result - differences).abs()
        squares = _squared_gradient(result)
        if not squares.any():
            break  # constant: no weight is finite
        if distances.any():
            lowest = _threshold(distances, 0.05, bins_further=1)
            fidelity = sqrt(0.5) * torch.maximum(distances, lowest).sqrt()
        else:
            fidelity = torch.full_like(differences, 2 * sqrt(0.1))
        roughness = 2 / torch.maximum(squares, _threshold(squares, 0.01)).sqrt()
        system = _System(lam * roughness, fidelity)
        del distances, squares, roughness
        result = result / fidelity
        result = fidelity * _conjugate_gradients(system, result, differences / fidelity)
    return result


def _threshold(values: Tensor, share: float, bins_further: int = 0) -> Tensor:
    """Return the center of the first bin up to which more than a share of the values lie.

    Or the first center further on that is more than 0.
    """
    import torch

    low, high = values.min(), values.max()
    steps = torch.arange(BINS, dtype=values.dtype, device=values.device)
    centers = low + steps * ((high - low) / (BINS - 1))
    edges = (centers[1:] + centers[:-1]).detach() / 2
    bins = torch.bucketize(values.detach().flatten(), edges)
    cumulative = histograms(bins[None], BINS)[0].cumsum(0)
    place = int((cumulative.double() / values.numel() <= share).sum()) + bins_further
    place = min(place, BINS - 1)
    return centers[place] if centers[place] > 0 else centers[min(place + 1, BINS - 1)]


class _System:
    """The matrix I + W_F grad' W_R grad W_F of one loop, as weights of neighboring pixels."""

    def __init__(self, roughness: Tensor, fidelity: Tensor) -> None:
        from torch.nn.functional import pad

        right, down = roughness[:, :-1], roughness[:-1]
        total = pad(right, (0, 1)) + pad(right, (1, 0))
        total = total + pad(down, (0, 0, 0, 1)) + pad(down, (0, 0, 1, 0))
        self.diagonal = 1 + fidelity.square() * total
        self.right = right * fidelity[:, :-1] * fidelity[:, 1:]
        self.down = down * fidelity[:-1] * fidelity[1:]

    def __matmul__(self, vector: Tensor) -> Tensor:
        product = self.diagonal * vector
        product[:, 1:].addcmul_(self.right, vector[:, :-1], value=-1)
        product[:, :-1].addcmul_(self.right, vector[:, 1:], value=-1)
        product[1:].addcmul_(self.down, vector[:-1], value=-1)
        product[:-1].addcmul_(self.down, vector[1:], value=-1)
        return product


def _conjugate_gradients(system: _System, start: Tensor, target: Tensor) -> Tensor:
    """Solve a system loosely: to a fifth of the residual at the start, in at most 500 iterations.

    A residual as large as the target or larger is not reduced to a fifth, but to that of the
    target, as MATLAB does with tolerances of 1 and more.
    """
    import torch

    solution = start
    residual = target - system @ solution
    square = _dot(residual, residual)
    norm = _dot(target, target).detach().sqrt()
    limit = torch.minimum(square.detach().sqrt() / 5, (1 - 2.0**-52) * norm)
    direction = residual
    del start, target
    for _ in range(500):
        if square.sqrt() <= limit:
            break
        product = system @ direction
        step = square / _dot(direction, product)
        solution = solution + step * direction
        residual = residual - step * product
        previous, square = square, _dot(residual, residual)
        direction = residual + (square / previous) * direction
    return solution


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Add up row by row: in an order that does not depend on the number of threads."""
    return (one * other).sum(dim=1).sum()


# ------------------------------------------------- the optimum


def alternating_directions(differences: Tensor, lam: float, tolerance: float) -> Tensor:
    """Minimize the objective for S `(h, w)`: split U - S = V and grad U = P.

    Each iteration minimizes over U, by a Poisson equation with free borders, which a DCT solves,
    then over V and P, pixel by pixel, and then updates the multipliers (Boyd et al., Distributed
    optimization and statistical learning via the alternating direction method of multipliers,
    2011, doi:10.1561/2200000016).
    """
    import torch

    unit = differences.abs().mean()
    step, data_step = GRADIENT_STEP / unit, FIDELITY_STEP / unit
    waves = [
        2 - 2 * torch.arange(size, dtype=unit.dtype, device=unit.device).mul(pi / size).cos()
        for size in differences.shape
    ]
    inverse = 1 / (step * (waves[0][:, None] + waves[1]) + data_step)
    # P and V before they are shrunk: `share` of P, and V within the limits, are the multipliers
    right, down = _gradient(differences)
    offset, share = torch.zeros_like(differences), torch.zeros_like(differences)
    negligible = 1e-9 * unit.detach() * differences.numel()
    for iteration in range(1, MAX_ITERATIONS + 1):
        limited = offset.clamp(-1 / data_step, 1 / data_step)
        pull = 1 - 2 * share
        result = step * _transposed_gradient(pull * right, pull * down)
        del pull
        result = result + data_step * (differences + offset - 2 * limited)
        result = dct(result)
        result = idct(inverse * result)
        offset = RELAXATION * (result - differences + limited) + (1 - RELAXATION) * offset
        kept = (1 - RELAXATION) + RELAXATION * share
        new_right, new_down = _gradient(result)
        right = torch.addcmul(RELAXATION * new_right, kept, right)
        down = torch.addcmul(RELAXATION * new_down, kept, down)
        del new_right, new_down, kept, limited
        length = (right.square() + down.square()).clamp(min=1e-200).sqrt()
        share = (lam / step / length).clamp(max=1)
        if iteration % CHECK_EVERY == 0:
            objective = _objective(result.detach(), differences.detach(), lam)
            field = (step * share * right).detach(), (step * share * down).detach()
            bound = _lower_bound(*field, differences.detach())
            if objective - bound <= tolerance * objective + negligible:
                break
    return result


def _objective(result: Tensor, differences: Tensor, lam: float) -> Tensor:
    return (result - differences).abs().sum() + lam * _squared_gradient(result).sqrt().sum()


def _lower_bound(right: Tensor, down: Tensor, differences: Tensor) -> Tensor:
    """Return the value of the dual problem for a field `(right, down)` no longer than lam.

    That is min_U sum |U - S| + sum grad U . field, with U in the range of S. It is piecewise
    linear in each pixel, so the minimum is at S or at an end of the range.
    """
    import torch

    slope = _transposed_gradient(right, down)
    low, high = differences.min(), differences.max()
    ends = torch.minimum(differences - low + slope * low, high - differences + slope * high)
    return torch.minimum(slope * differences, ends).sum()


# ------------------------------------------------- gradients


def _gradient(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to the next pixel to the right and below; 0 at the border."""
    from torch.nn.functional import pad

    return pad(maps.diff(dim=1), (0, 1)), pad(maps.diff(dim=0), (0, 0, 0, 1))


def _transposed_gradient(right: Tensor, down: Tensor) -> Tensor:
    from torch.nn.functional import pad

    right, down = right[:, :-1], down[:-1]
    total = pad(right, (1, 0))
    total[:, :-1] -= right
    total[1:] += down
    total[:-1] -= down
    return total


def _squared_gradient(maps: Tensor) -> Tensor:
    right, down = _gradient(maps)
    return right.square() + down.square()
