"""One test for each law.

A test gets a subject, features `(k, N, C, h, w)` in float32 and a `draw` for whatever else it
needs, and raises `BrokenLawError`. Tolerances are in units of the largest feature or result, and
`EXACT` unless the test says otherwise: rules add up k <= 5 products and normalize over sums of
some hundred terms, and float32 does that to a few 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import assume, reject
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.errors import FusionlabError
from fusionlab.fusion import Fusion
from fusionlab.strategy import Law
from fusionlab.testing.cases import Draw, apart
from fusionlab.testing.subject import BrokenLawError, GrayLevels, Subject, TwoLevels

EXACT = 1e-5
ULP = torch.finfo(torch.float32).eps
DTYPES = {torch.float16: 2**-9, torch.bfloat16: 2**-6, torch.float32: 0.0, torch.float64: EXACT}
"""What a result may differ from that of single precision: two units in the last place."""

Test = Callable[[Subject, Tensor, Draw], None]
TESTS: dict[Law, Test] = {}


def _tests(law: Law) -> Callable[[Test], Test]:
    def register(test: Test) -> Test:
        TESTS[law] = test
        return test

    return register


# ------------------------------------------------------------------ what a rule may claim


@_tests(Law.PERMUTATION)
def permutation(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001  # as all tests
    """The sources turned round, and the last one in front."""
    expected = subject.fuse(x)
    _same(subject.fuse(x.flip(0)), expected, x, "with the sources turned round")
    _same(subject.fuse(x.roll(1, 0)), expected, x, "with the last source in front")


@_tests(Law.IDEMPOTENCE)
def idempotence(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """The first source in place of all others; its negative, too."""
    for one in (x[0], subject.opposite(x[0])):
        same = one.repeat(len(x), 1, 1, 1, 1)
        _same(subject.fuse(same), one, x, f"with {len(x)} times the first source")


@_tests(Law.CONVEXITY)
def convexity(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Up to 4 units in the last place of the largest value at that place."""
    fused, slack = subject.fuse(x), 4 * ULP * x.abs().amax(dim=0)
    _within(fused, x.amin(dim=0) - slack, x.amax(dim=0) + slack)


@_tests(Law.SCALE)
def scale(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """By 1/1024, 2 and 1024, without rounding in floats; the sources stay the same."""
    sources = subject.scene(x).sources
    fused = subject.fuse(x, sources=sources)
    for c in (1 / 2, 1 / 1024) if subject.pixels else (2, 1024, 1 / 1024):
        found = subject.fuse(c * x, sources=sources)
        _same(found, c * fused, c * x, f"with features {c:g} times as large")


@_tests(Law.TRANSLATION)
def translation(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """By one row and two columns; the surround is wider than the rule looks."""
    reach = 4 if subject.rule.support is None else subject.rule.support
    here = pad(x, (reach, reach + 2, reach, reach + 1))
    expected = subject.fuse(here).roll((1, 2), (-2, -1))
    found = subject.fuse(here.roll((1, 2), (-2, -1)))
    _same(found, expected, x, "moved by one row and two columns")


@_tests(Law.FLIPS)
def flips(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Left to right, and by a quarter turn: the other symmetries of the square follow."""
    fused = subject.fuse(x)
    _same(subject.fuse(x.flip(-1)), fused.flip(-1), x, "mirrored left to right")
    turned = torch.rot90(fused, 1, (-2, -1))
    _same(subject.fuse(torch.rot90(x, 1, (-2, -1))), turned, x, "turned by 90 degrees")


@_tests(Law.DUPLICATES)
def duplicates(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """The first source once more; also where the second is its negative, and as active."""
    assume(subject.rule.max_k is None or len(x) < subject.rule.max_k)
    for y in (x, torch.cat([x[:1], subject.opposite(x[:1]), x[2:]])):
        twice = torch.cat([y, y[:1]])
        _same(subject.fuse(twice), subject.fuse(y), y, "with the first source twice")


@_tests(Law.DOMINANCE)
def dominance(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """A source a million times as active leaves the others less than a thousandth.

    All features are made 64 to 255 large. Rules that look at changes see a change everywhere: the
    signs are made a checkerboard, and no feature stands alone.
    """
    x = x.abs().remainder(192).add(64).repeat(1, 1, 1, 2, 2)
    odd = (torch.arange(x.shape[-2])[:, None] + torch.arange(x.shape[-1])).remainder(2)
    x *= 1 - 0.75 * odd if subject.pixels else 1 - 2 * odd
    strong = torch.cat([x[:1], 1e-6 * x[1:]] if subject.pixels else [1e6 * x[:1], x[1:]])
    how = "made 64 to 255 in a checkerboard, the first source 1e6 times"
    _same(subject.fuse(strong), strong[0], strong, how, 1e-3)


# ------------------------------------------------------------------ what every rule owes


@_tests(Law.SHAPE)
def shape(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """In half, single and double precision, and on the GPU where there is one."""
    x = subject.in_range(x.clamp(-1e3, 1e3))
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for dtype in DTYPES:
            given = x.to(device, dtype)
            found, expected = subject.attempt(given), given[0]
            if _kind(found) != _kind(expected):
                raise BrokenLawError(
                    f"expected {_kind(expected)} for features {_kind(given)}, got {_kind(found)}"
                )


@_tests(Law.PRECISION)
def precision(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """In half precision with whole numbers up to 255, which it knows exactly."""
    for dtype, tolerance in DTYPES.items():
        whole = x.round().remainder(256)
        for y in (x,) if dtype.itemsize > 2 else ((whole / 8).floor(), whole):
            expected = subject.fuse(y)
            found = subject.attempt(y.to(dtype)).float()
            _same(found, expected, y, f"in {str(dtype).removeprefix('torch.')}", tolerance)


@_tests(Law.FINITE)
def finite(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Features as they are, a million large, and zero."""
    size = 255 if subject.pixels else 1e6
    largest = x.abs().max()
    for y in (x, x * (size / largest) if largest else x, 0 * x):
        _finite(subject.attempt(y), f"values for features up to {y.abs().max():g}")
        if subject.weighted:
            _finite(subject.weights(y), f"weights for features up to {y.abs().max():g}")


@_tests(Law.PARTITION)
def partition(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """To 1e-6: float32 adds up k <= 5 weights. Of rules that give weights.

    Also of nearly plain features: what subtracts squares or means is left with rounding there.
    """
    for kind, y in (("features", x), ("100.1 + features / 65536", 100.1 + x / 2**16)):
        weights = subject.weights(y)
        if not weights.isfinite().all():
            reject()
        if not (weights >= 0).all():
            raise BrokenLawError(
                f"expected weights of at least 0 for {kind}, got {weights.min():g}"
            )
        total = weights.sum(dim=0)
        _same(total, torch.ones_like(total), torch.ones(1), f"the sum of weights for {kind}", 1e-6)


@_tests(Law.GRADIENTS)
def gradients(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Of the sum of the squares of the result; for features as they are, and for zeros."""
    for y in (x, 0 * x):
        y.requires_grad_()
        fused = subject.fuse(y)
        if not fused.requires_grad:
            raise BrokenLawError("the result has no gradient")
        with subject.held_to_account():
            (gradient,) = torch.autograd.grad(fused.square().sum(), y)
        _finite(gradient, f"gradients for features up to {y.abs().max():g}")


@_tests(Law.DERIVATIVE)
def derivative(subject: Subject, x: Tensor, draw: Draw) -> None:
    """By `torch.autograd.gradcheck`, in float64, of features that all differ.

    Its fast mode, a random projection of all derivatives, where there are more than 16 features.
    Sources and statistics count as constants.
    """
    small = (len(x), 1, min(2, x.shape[2]), min(3, x.shape[3]), min(3, x.shape[4]))
    given = apart(small, draw(st.integers(0, 9))).requires_grad_()
    sources = subject.scene(given).sources
    subject.fuse(given, sources=sources)  # what it refuses or raises is not gradcheck's business
    try:
        torch.autograd.gradcheck(
            lambda y: subject.fuse(y, sources=sources), (given,), fast_mode=given.numel() > 16
        )
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise BrokenLawError(f"with features {_numbers(given)}: {text[:200]}") from error


@_tests(Law.BATCH)
def batch(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Each image alone gives what it gives beside its negative, and beside a brighter one."""
    x = torch.cat([x, subject.opposite(x), subject.in_range(x + 100)], dim=1)
    together = subject.fuse(x)
    for n in range(x.shape[1]):
        alone = x[:, n : n + 1]
        _same(subject.fuse(alone), together[n : n + 1], alone, f"image {n + 1} of the batch alone")


@_tests(Law.UNTOUCHED)
def untouched(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Bit by bit; of features as they are, and of their negatives."""
    for y in (x, subject.opposite(x)):
        given, sources = y.clone(), subject.scene(y).sources
        before = sources.clone()
        subject.attempt(given, sources=sources)
        if subject.weighted:
            subject.weights(given, sources=sources)
        for what, found, expected in (("features", given, y), ("sources", sources, before)):
            if not torch.equal(found, expected):
                raise BrokenLawError(
                    f"it changed the {what} it was given: {_worst(found, expected)}"
                )


@_tests(Law.DETERMINISM)
def determinism(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Bit by bit, with something else fused in between."""
    first = subject.fuse(x)
    subject.fuse(subject.in_range(x.flip(0) + 1))
    again = subject.fuse(x)
    if not torch.equal(again, first):
        raise BrokenLawError(f"the second time it gave something else: {_worst(again, first)}")


@_tests(Law.SUPPORT)
def support(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """What lies just beyond the support changes, on all sides, by something else in each source.

    What is gathered by `statistics` stays the same.
    """
    reach = subject.rule.support
    assert reach is not None
    x = x.clamp(-1e3, 1e3)
    near = pad(x, [reach + 1] * 4)
    ring = pad(torch.zeros_like(x), [reach] * 4)
    numbers = torch.arange(1, len(x) + 1).view(-1, 1, 1, 1, 1)
    steps = 250 / numbers if subject.pixels else 500.0 * numbers
    far = near + steps * pad(ring, [1] * 4, value=1)
    known = subject.statistics(near)
    inner = ..., slice(reach + 1, -reach - 1), slice(reach + 1, -reach - 1)
    before, after = (subject.fuse(y, statistics=known)[inner] for y in (near, far))
    _same(after, before, x, f"with other features {reach + 1} pixels away")


@_tests(Law.TILES)
def tiles(subject: Subject, x: Tensor, draw: Draw) -> None:
    """Of images of any size, through a backbone of two levels: to 1e-3 of a gray level.

    Of pixel strategies, through one that leaves images as they are.
    """
    height, width = draw(st.tuples(*[st.integers(2, 40)] * 2))
    longer = max(height, width)
    edge = draw(st.integers(max(2, longer // 5), max(2, longer // 2)))  # at most 7 tiles in a row
    images = x[:, :, :1].abs().remainder(256) / 255
    images = images.repeat(1, 1, 1, 40, 40)[..., :height, :width]
    steps = 0.37 + 0.11 * torch.arange(len(x)).view(-1, 1, 1, 1, 1)  # no two sources alike
    images = (images + steps * torch.arange(height)[:, None] * torch.arange(width)).remainder(1)
    backbone = GrayLevels() if subject.pixels else TwoLevels()
    networks = subject.networks(backbone.levels, images)

    def fused(tile: int) -> Tensor:
        fusion = Fusion(backbone, subject.rule, range_policy=None, tile=tile, networks=networks)
        return fusion.fuse_planes(images)[0]

    size = f"an image of {width}x{height}"
    try:
        whole = fused(max(height, width, 2))
    except FusionlabError as error:
        if error.__cause__ is not None:  # it raised something else, and the pipeline says so
            raise BrokenLawError(f"{size}: {error}") from error
        subject.refusal = str(error)
        reject()  # the rule refuses these images, in one piece
    how = f"{size} in tiles of {edge}"
    try:
        cut = fused(edge)
    except FusionlabError as error:
        raise BrokenLawError(f"{how}: {error}") from error
    _same(cut, whole, torch.ones(1), how, 1e-3 / 255)


@_tests(Law.AUTOCAST)
def autocast(subject: Subject, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With whole numbers, from 0 and from 200; to a few units in the last place of bfloat16."""
    for lowest in (0, 200):
        y = lowest + x.round().remainder(256 - lowest)
        expected = subject.fuse(y)
        with torch.autocast("cpu", torch.bfloat16):
            found = subject.fuse(y)
        if found.dtype != y.dtype:
            raise BrokenLawError(f"expected {y.dtype}, got {found.dtype}")
        _same(found, expected, y, f"within autocast, features from {lowest}", 2**-6)


# ------------------------------------------------------------------ comparing


def _same(found: Tensor, expected: Tensor, x: Tensor, how: str, tolerance: float = EXACT) -> None:
    if found.shape != expected.shape:
        raise BrokenLawError(f"{how}: expected {tuple(expected.shape)}, got {tuple(found.shape)}")
    _finite(found, "values")
    size = torch.maximum(x.abs().max(), expected.abs().max())
    if not ((found - expected).abs() <= tolerance * size).all():
        raise BrokenLawError(f"{how}: {_worst(found, expected)}")


def _within(found: Tensor, low: Tensor, high: Tensor) -> None:
    excess = torch.maximum(low - found, found - high)
    if not (excess <= 0).all():
        at = excess.nan_to_num(torch.inf).argmax()
        low, high, value = (t.flatten()[at] for t in (low, high, found))
        raise BrokenLawError(f"expected {low:.7g} to {high:.7g}, got {value:.7g}")


def _finite(found: Tensor, what: str) -> None:
    if not found.isfinite().all():
        value = found[~found.isfinite()][0]
        raise BrokenLawError(f"expected finite {what}, got {value:g}")


def _worst(found: Tensor, expected: Tensor) -> str:
    at = (found.double() - expected.double()).abs().nan_to_num(torch.inf).argmax()
    return f"expected {expected.flatten()[at]:.7g}, got {found.flatten()[at]:.7g}"


def _kind(maps: object) -> str:
    if not isinstance(maps, Tensor):
        return type(maps).__name__
    return f"{tuple(maps.shape)} {str(maps.dtype).removeprefix('torch.')} on {maps.device.type}"


def _numbers(x: Tensor) -> str:
    return " ".join(f"{value:g}" for value in x.flatten().tolist())
