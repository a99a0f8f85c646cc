"""One test for each law.

A test gets the strategy under test, features `(k, N, C, h, w)` in float32 and a `draw` function for
anything else it needs, and raises `BrokenLawError`. Tolerances are relative to the largest feature
or result, and `EXACT` unless the test says otherwise: strategies add k <= 5 products and normalize
by sums of some hundred terms, which float32 does to a few 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import torch
from hypothesis import assume, reject
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad
from torch.overrides import TorchFunctionMode

from fusionlab.engine.merging import weights_decide
from fusionlab.errors import FusionlabError, PluginError
from fusionlab.fusion import Fusion
from fusionlab.strategy import Law
from fusionlab.temporal import TemporalConsistency
from fusionlab.testing.cases import Draw, distinct_features
from fusionlab.testing.under_test import BrokenLawError, GrayLevels, StrategyUnderTest, TwoLevels

EXACT = 1e-5
ULP = torch.finfo(torch.float32).eps
LONG = 1.0
"""Seconds after which a thread that waits for another is taken to wait for its lock."""
DTYPES = {torch.float16: 2**-9, torch.bfloat16: 2**-6, torch.float32: 0.0, torch.float64: EXACT}
"""Tolerance relative to single precision: two units in the last place."""

Test = Callable[[StrategyUnderTest, Tensor, Draw], None]
TESTS: dict[Law, Test] = {}


def _tests(law: Law) -> Callable[[Test], Test]:
    def register(test: Test) -> Test:
        TESTS[law] = test
        return test

    return register


# ------------------------------------------------------------------ laws that may be declared


@_tests(Law.PERMUTATION)
def permutation(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001  # as all tests
    """The sources in reverse order, and with the last one first."""
    expected = tested.fuse(x)
    _same(tested.fuse(x.flip(0)), expected, x, "with the sources in reverse order")
    _same(tested.fuse(x.roll(1, 0)), expected, x, "with the last source first")


@_tests(Law.IDEMPOTENCE)
def idempotence(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With k copies of the first source, and of its negative."""
    for source in (x[0], tested.opposite(x[0])):
        copies = source.repeat(len(x), 1, 1, 1, 1)
        _same(tested.fuse(copies), source, x, f"with {len(x)} times the first source")


@_tests(Law.CONVEXITY)
def convexity(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Up to 4 units in the last place of the largest value at that place."""
    fused, slack = tested.fuse(x), 4 * ULP * x.abs().amax(dim=0)
    _within(fused, x.amin(dim=0) - slack, x.amax(dim=0) + slack)


@_tests(Law.SCALE)
def scale(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With c = 1/1024, 2 and 1024, which multiply floats without rounding; same sources."""
    sources = tested.scene(x).sources
    fused = tested.fuse(x, sources=sources)
    for c in (1 / 2, 1 / 1024) if tested.pixels else (2, 1024, 1 / 1024):
        result = tested.fuse(c * x, sources=sources)
        _same(result, c * fused, c * x, f"with features {c:g} times as large")


@_tests(Law.TRANSLATION)
def translation(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """By one row and two columns, in a surround wider than the support."""
    surround = 4 if tested.strategy.support is None else tested.strategy.support
    padded = pad(x, (surround, surround + 2, surround, surround + 1))
    expected = tested.fuse(padded).roll((1, 2), (-2, -1))
    result = tested.fuse(padded.roll((1, 2), (-2, -1)))
    _same(result, expected, x, "moved by one row and two columns")


@_tests(Law.FLIPS)
def flips(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Left to right, and by a quarter turn: the other symmetries of the square follow."""
    fused = tested.fuse(x)
    _same(tested.fuse(x.flip(-1)), fused.flip(-1), x, "mirrored left to right")
    rotated = torch.rot90(fused, 1, (-2, -1))
    _same(tested.fuse(torch.rot90(x, 1, (-2, -1))), rotated, x, "turned by 90 degrees")


@_tests(Law.DUPLICATES)
def duplicates(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With the first source twice, also where the second is its negative."""
    assume(tested.strategy.max_k is None or len(x) < tested.strategy.max_k)
    for y in (x, torch.cat([x[:1], tested.opposite(x[:1]), x[2:]])):
        twice = torch.cat([y, y[:1]])
        _same(tested.fuse(twice), tested.fuse(y), y, "with the first source twice")


@_tests(Law.DOMINANCE)
def dominance(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """A source a million times as active leaves the others less than a thousandth.

    Magnitudes are mapped to 64..255, with the signs of a checkerboard, so that strategies that look
    at differences see one everywhere.
    """
    x = x.abs().remainder(192).add(64).repeat(1, 1, 1, 2, 2)
    odd = (torch.arange(x.shape[-2])[:, None] + torch.arange(x.shape[-1])).remainder(2)
    x *= 1 - 0.75 * odd if tested.pixels else 1 - 2 * odd
    strong = torch.cat([x[:1], 1e-6 * x[1:]] if tested.pixels else [1e6 * x[:1], x[1:]])
    context = "made 64 to 255 in a checkerboard, the first source 1e6 times"
    _same(tested.fuse(strong), strong[0], strong, context, 1e-3)


# ------------------------------------------------------------------ laws that are required


@_tests(Law.SHAPE)
def shape(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """In half, single and double precision, and on the GPU where there is one."""
    x = tested.in_range(x.clamp(-1e3, 1e3))
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for dtype in DTYPES:
            features = x.to(device, dtype)
            result, expected = tested.fuse_unchecked(features), features[0]
            if _kind(result) != _kind(expected):
                raise BrokenLawError(
                    f"expected {_kind(expected)} for features {_kind(features)}, "
                    f"got {_kind(result)}"
                )


@_tests(Law.PRECISION)
def precision(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """In half precision with integers up to 255, which it represents exactly."""
    for dtype, tolerance in DTYPES.items():
        integers = x.round().remainder(256)
        for y in (x,) if dtype.itemsize > 2 else ((integers / 8).floor(), integers):
            expected = tested.fuse(y)
            result = tested.fuse_unchecked(y.to(dtype)).float()
            _same(result, expected, y, f"in {str(dtype).removeprefix('torch.')}", tolerance)


@_tests(Law.FINITE)
def finite(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """For the features, for features up to a million, and for zeros."""
    size = 255 if tested.pixels else 1e6
    largest = x.abs().max()
    for y in (x, x * (size / largest) if largest else x, 0 * x):
        _finite(tested.fuse_unchecked(y), f"values for features up to {y.abs().max():g}")
        if tested.weighted:
            _finite(tested.weights(y), f"weights for features up to {y.abs().max():g}")


@_tests(Law.PARTITION)
def partition(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """To 1e-6, since float32 adds k <= 5 weights; for weighting strategies only.

    Also for nearly constant features, where differences of squares or means are mostly rounding.
    """
    for kind, y in (("features", x), ("100.1 + features / 65536", 100.1 + x / 2**16)):
        weights = tested.weights(y)
        if not weights.isfinite().all():
            reject()
        if not (weights >= 0).all():
            raise BrokenLawError(
                f"expected weights of at least 0 for {kind}, got {weights.min():g}"
            )
        total = weights.sum(dim=0)
        _same(total, torch.ones_like(total), torch.ones(1), f"the sum of weights for {kind}", 1e-6)


@_tests(Law.GRADIENTS)
def gradients(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Of the sum of squares of the result; for the features, and for zeros."""
    for y in (x, 0 * x):
        y.requires_grad_()
        fused = tested.fuse(y)
        if not fused.requires_grad:
            raise BrokenLawError("the result has no gradient")
        with tested.translated_errors():
            (gradient,) = torch.autograd.grad(fused.square().sum(), y)
        _finite(gradient, f"gradients for features up to {y.abs().max():g}")


@_tests(Law.DERIVATIVE)
def derivative(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:
    """By `torch.autograd.gradcheck` in float64, at features that all differ.

    In its fast mode: a random projection of all derivatives. Sources and statistics are constants.
    """
    largest = max(3, tested.strategy.min_size)
    small = (len(x), 1, min(2, x.shape[2]), *(min(largest, edge) for edge in x.shape[3:]))
    features = distinct_features(small, draw(st.integers(0, 9))).requires_grad_()
    sources = tested.scene(features).sources
    tested.fuse(features, sources=sources)  # refusals and errors are handled here
    try:
        torch.autograd.gradcheck(
            lambda y: tested.fuse(y, sources=sources),
            (features,),
            check_undefined_grad=False,  # a matter of functions with several results
            fast_mode=True,
        )
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise BrokenLawError(f"with features {_numbers(features)}: {text[:200]}") from error


@_tests(Law.BATCH)
def batch(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Each image gives the same result alone as with its negative and a brighter image."""
    x = torch.cat([x, tested.opposite(x), tested.in_range(x + 100)], dim=1)
    batched = tested.fuse(x)
    for n in range(x.shape[1]):
        alone = x[:, n : n + 1]
        _same(tested.fuse(alone), batched[n : n + 1], alone, f"image {n + 1} of the batch alone")


@_tests(Law.UNTOUCHED)
def untouched(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Bit for bit; for the features, and for their negatives."""
    for y in (x, tested.opposite(x)):
        features, sources = y.clone(), tested.scene(y).sources
        before = sources.clone()
        tested.fuse_unchecked(features, sources=sources)
        if tested.weighted:
            tested.weights(features, sources=sources)
        for what, result, expected in (("features", features, y), ("sources", sources, before)):
            if not torch.equal(result, expected):
                raise BrokenLawError(
                    f"it changed the {what} it was given: {_worst(result, expected)}"
                )


@_tests(Law.DETERMINISM)
def determinism(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Bit for bit, with other features fused in between."""
    first = tested.fuse(x)
    tested.fuse(tested.in_range(x.flip(0) + 1))
    second = tested.fuse(x)
    if not torch.equal(second, first):
        raise BrokenLawError(f"the second result differs: {_worst(second, first)}")


@_tests(Law.CONCURRENCY)
def concurrency(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Bit for bit, with other features fused by another thread between two calls of torch."""
    y = tested.in_range(x.flip(0) + 1)
    expected = {"it": tested.fuse(x), "the other fusion": tested.fuse(y)}
    with _Between() as counted:
        tested.fuse(x)
    with ThreadPoolExecutor(1) as thread:
        others: list[Future[Tensor]] = []

        def fuse_other() -> None:
            others.append(thread.submit(tested.fuse, y))
            wait(others, LONG)  # one that lets only one thread fuse comes later

        # another place for other features
        place = int(x.abs().sum(dtype=torch.float64)) % max(1, counted.calls)
        with _Between(place, fuse_other):
            result = tested.fuse(x)
        results = {"it": result}
        if others:
            results["the other fusion"] = others[0].result()
    for what, fused in results.items():
        if not torch.equal(fused, expected[what]):
            raise BrokenLawError(f"{what} gave another result: {_worst(fused, expected[what])}")


class _Between(TorchFunctionMode):
    """Counts the calls of torch in the block, and calls a function before one of them."""

    def __init__(self, place: int = -1, function: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.calls = 0
        self._place, self._function = place, function

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.calls == self._place:
            self._function()
        self.calls += 1
        return func(*args, **(kwargs or {}))


@_tests(Law.SUPPORT)
def support(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Features just beyond the support change on all sides, differently in each source.

    The `statistics` stay the same.
    """
    radius = tested.strategy.support
    assert radius is not None
    x = x.clamp(-1e3, 1e3)
    near = pad(x, [radius + 1] * 4)
    ring = pad(torch.zeros_like(x), [radius] * 4)
    numbers = torch.arange(1, len(x) + 1).view(-1, 1, 1, 1, 1)
    steps = 250 / numbers if tested.pixels else 500.0 * numbers
    far = near + steps * pad(ring, [1] * 4, value=1)
    statistics = tested.statistics(near)
    inner = ..., slice(radius + 1, -radius - 1), slice(radius + 1, -radius - 1)
    before, after = (tested.fuse(y, statistics=statistics)[inner] for y in (near, far))
    _same(after, before, x, f"with other features {radius + 1} pixels away")


@_tests(Law.TILES)
def tiles(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:
    """For images of any size, with a backbone of two levels: to 1e-3 of a gray level.

    For pixel strategies, with a backbone that returns the image.
    """
    smallest = max(2, tested.strategy.min_size)
    height, width = draw(st.tuples(*[st.integers(smallest, smallest + 38)] * 2))
    longer = max(height, width)
    min_edge = max(smallest, longer // 3)  # at most 5 tiles in a row
    edge = draw(st.integers(min_edge, max(min_edge, longer // 2)))
    images = x[:, :, :1].abs().remainder(256) / 255
    images = images.repeat(1, 1, 1, 40, 40)[..., :height, :width]
    steps = 0.37 + 0.11 * torch.arange(len(x)).view(-1, 1, 1, 1, 1)  # no two sources are equal
    images = (images + steps * torch.arange(height)[:, None] * torch.arange(width)).remainder(1)
    backbone = GrayLevels() if tested.pixels else TwoLevels()
    networks = tested.networks(backbone.levels, images)

    def fused(tile: int) -> Tensor:
        fusion = Fusion(backbone, tested.strategy, range_policy=None, tile=tile, networks=networks)
        return fusion.fuse_planes(images)[0]

    size = f"an image of {width}x{height}"
    whole = _in_pipeline(tested, size, lambda: fused(max(height, width, 2)))
    context = f"{size} in tiles of {edge}"
    try:
        tiled = fused(edge)
    except FusionlabError as error:
        raise BrokenLawError(f"{context}: {error}") from error
    _same(tiled, whole, torch.ones(1), context, 1e-3 / 255)


@_tests(Law.MASKS)
def masks(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With a mask that leaves out nothing; and with NaN and 1e30 in place of masked pixels.

    Bit for bit; the latter in a pipeline whose backbone returns the image.
    """
    everything = torch.ones_like(x[:, :, :1], dtype=torch.bool)
    expected, result = tested.fuse(x), tested.fuse(x, valid=everything)
    if not torch.equal(result, expected):
        raise BrokenLawError(f"with a mask that leaves out nothing: {_worst(result, expected)}")
    images, valid = _images(x), _mask(x)
    levels = GrayLevels()
    fusion = Fusion(
        levels,
        tested.strategy,
        range_policy=None,
        networks=tested.networks(levels.levels, images),
    )
    odd = torch.where(images > 0.5, torch.nan, 1e30)
    first, second = (
        _in_pipeline(tested, "with masked pixels", partial(fusion, [*y], [*valid]))
        for y in (images, torch.where(valid, images, odd))
    )
    if not torch.equal(first.nan_to_num(-1), second.nan_to_num(-1)):
        context = "with NaN and 1e30 in place of masked pixels"
        raise BrokenLawError(f"{context}: {_worst(second.nan_to_num(), first.nan_to_num())}")


@_tests(Law.MASKED_TILES)
def masked_tiles(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """For images of 40x12 pixels in three tiles."""
    height, width = (max(edge, tested.strategy.min_size) for edge in (12, 40))
    images, valid = _images(x), _mask(x)
    images, valid = (
        y.repeat(1, 1, 1, height, width)[..., :height, :width] for y in (images, valid)
    )
    columns = torch.arange(width)
    images = (images + 0.37 * torch.arange(height)[:, None] * columns).remainder(1)
    valid = valid & ((columns < width // 2) | (torch.arange(len(x)) > 0).view(-1, 1, 1, 1, 1))
    backbone = GrayLevels() if tested.pixels else TwoLevels()
    networks = tested.networks(backbone.levels, images)

    def fused(tile: int) -> Tensor:
        fusion = Fusion(backbone, tested.strategy, range_policy=None, tile=tile, networks=networks)
        image: Tensor = fusion([*images], [*valid])
        return image.nan_to_num(-1)

    whole = _in_pipeline(tested, "the whole image", lambda: fused(max(height, width)))
    edge = max(16, tested.strategy.min_size)
    try:
        tiled = fused(edge)
    except FusionlabError as error:
        raise BrokenLawError(f"in tiles of {edge}: {error}") from error
    _same(tiled, whole, torch.ones(1), f"in tiles of {edge}", 1e-3 / 255)


@_tests(Law.SEQUENCES)
def sequences(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """Three frames in a pipeline, each bit for bit as the frame alone.

    Weights keep 0.8 of the frame before, where they alone decide about the result.
    """
    images = _images(x)[:, :1]
    backbone = GrayLevels() if tested.pixels else TwoLevels()
    networks = tested.networks(backbone.levels, images)
    fusion = Fusion(backbone, tested.strategy, range_policy=None, networks=networks)
    smoothing = 0.8 if weights_decide(tested.strategy) else 0.0
    temporal = TemporalConsistency(smoothing=smoothing)
    expected = _in_pipeline(tested, "a frame alone", lambda: fusion([*images]))

    def next_frame() -> Tensor:
        image: Tensor = fusion.fuse([*images], temporal=temporal).image
        return image

    for number in range(1, 4):
        result = _in_pipeline(tested, f"frame {number}", next_frame)
        if not torch.equal(result, expected):
            raise BrokenLawError(f"frame {number}: {_worst(result, expected)}")


@_tests(Law.AUTOCAST)
def autocast(tested: StrategyUnderTest, x: Tensor, draw: Draw) -> None:  # noqa: ARG001
    """With integers from 0 and from 200; to a few units in the last place of bfloat16."""
    for lowest in (0, 200):
        y = lowest + x.round().remainder(256 - lowest)
        expected = tested.fuse(y)
        with torch.autocast("cpu", torch.bfloat16):
            result = tested.fuse(y)
        if result.dtype != y.dtype:
            raise BrokenLawError(f"expected {y.dtype}, got {result.dtype}")
        _same(result, expected, y, f"within autocast, features from {lowest}", 2**-6)


# ------------------------------------------------------------------ fusing images


def _images(x: Tensor) -> Tensor:
    """Return the first channel of features as images in 0..1."""
    return x[:, :, :1].abs().remainder(256) / 255 % 1


def _mask(x: Tensor) -> Tensor:
    """Return a mask that leaves out about a third of the pixels, but not the first."""
    valid = x[:, :, :1].abs().floor().remainder(3) > 0
    valid[..., 0, 0] = True
    return valid


def _in_pipeline(tested: StrategyUnderTest, what: str, fuse: Callable[[], Tensor]) -> Tensor:
    """Fuse images; discard them if the strategy refuses them."""
    try:
        return fuse()
    except FusionlabError as error:
        if isinstance(error, PluginError):  # it failed, or broke its contract
            raise BrokenLawError(f"{what}: {error}") from error
        tested.refusal = str(error)
        reject()


# ------------------------------------------------------------------ comparing


def _same(
    result: Tensor, expected: Tensor, x: Tensor, context: str, tolerance: float = EXACT
) -> None:
    if result.shape != expected.shape:
        raise BrokenLawError(
            f"{context}: expected {tuple(expected.shape)}, got {tuple(result.shape)}"
        )
    _finite(result, "values")
    size = torch.maximum(x.abs().max(), expected.abs().max())
    if not ((result - expected).abs() <= tolerance * size).all():
        raise BrokenLawError(f"{context}: {_worst(result, expected)}")


def _within(result: Tensor, low: Tensor, high: Tensor) -> None:
    violation = torch.maximum(low - result, result - high)
    if not (violation <= 0).all():
        at = violation.nan_to_num(torch.inf).argmax()
        low, high, value = (t.flatten()[at] for t in (low, high, result))
        raise BrokenLawError(f"expected {low:.7g} to {high:.7g}, got {value:.7g}")


def _finite(result: Tensor, what: str) -> None:
    if not result.isfinite().all():
        value = result[~result.isfinite()][0]
        raise BrokenLawError(f"expected finite {what}, got {value:g}")


def _worst(result: Tensor, expected: Tensor) -> str:
    at = (result.double() - expected.double()).abs().nan_to_num(torch.inf).argmax()
    return f"expected {expected.flatten()[at]:.7g}, got {result.flatten()[at]:.7g}"


def _kind(maps: object) -> str:
    if not isinstance(maps, Tensor):
        return type(maps).__name__
    return f"{tuple(maps.shape)} {str(maps.dtype).removeprefix('torch.')} on {maps.device.type}"


def _numbers(x: Tensor) -> str:
    return " ".join(f"{value:g}" for value in x.flatten().tolist())
