"""Tests that every backbone must pass, as a test class for the repositories of backbones."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import ClassVar, NamedTuple
from unittest import SkipTest

import torch
from torch import Tensor

from fusionlab.backbone import Backbone
from fusionlab.engine.tiling import Box, Tile, plan
from fusionlab.errors import FusionlabError

DOUBLE, SINGLE = 1e-9, 1e-4
"""Largest relative difference that counts as rounding, in float64 and in float32."""
BFLOAT16 = 0.1
"""Likewise in bfloat16, which has 8 significant bits, over several layers."""


class BackboneLaws:
    """Tests of a backbone: derive from this class and set `backbone` to yours.

        class TestMine(BackboneLaws):
            backbone = Mine

    `backbone` is a class whose parameters all have defaults, or an instance. For unittest, derive
    from `unittest.TestCase`, too. A class is instantiated with random weights from a fixed seed;
    use an instance with trained weights where random ones are too small to show a difference.
    """

    backbone: ClassVar[type[Backbone] | Backbone]

    def test_levels_are_as_declared(self) -> None:
        """`encode` returns a tensor per level with its channels and stride, finest first."""
        backbone = _built(self)
        divisor, levels = backbone.size_divisor, backbone.levels
        strides = [level.stride for level in levels]
        _require(strides == sorted(strides), f"levels must be finest first, got strides {strides}")
        for stride in strides:
            _require(
                divisor % stride == 0,
                f"the size divisor {divisor} must be a multiple of the stride {stride}",
            )
        height, width = 3 * divisor, 4 * divisor
        features = backbone.encode(_images(2, height, width))
        _require(isinstance(features, tuple), f"`encode` must return a tuple, got {type(features)}")
        expected = [
            (2, level.channels, height // level.stride, width // level.stride) for level in levels
        ]
        shapes = [tuple(maps.shape) for maps in features]
        _require(shapes == expected, f"`levels` declares features {expected}, got {shapes}")

    def test_every_multiple_of_the_size_divisor_is_encoded_and_decoded(self) -> None:
        """The decoded image has the size of the encoded one, and is finite."""
        backbone = _built(self)
        for rows, columns in ((1, 1), (1, 5), (4, 1), (3, 7)):
            height, width = rows * backbone.size_divisor, columns * backbone.size_divisor
            for name, image in _kinds(height, width):
                decoded = backbone.decode(backbone.encode(image))
                _require(
                    decoded.shape == image.shape,
                    f"an image {tuple(image.shape)} is decoded to {tuple(decoded.shape)}",
                )
                _require(
                    bool(decoded.isfinite().all()),
                    f"{name} of {width}x{height} is decoded to values that are not finite",
                )

    def test_the_receptive_field_of_the_encoder_is_as_declared(self) -> None:
        """Pixels beyond it change no feature."""
        backbone, image, probe = _probe(self, stage=0)
        before = backbone.encode(image)
        # another content everywhere else
        outside = 1 - image.roll((1, 1), (-2, -1))
        outside[..., *probe.allowed.slices] = image[..., *probe.allowed.slices]
        after = backbone.encode(outside)
        for number, level in enumerate(backbone.levels):
            slices = probe.block.divided(level.stride).slices
            _require_equal(
                after[number][..., *slices],
                before[number][..., *slices],
                f"features of level {number} depend on pixels more than {probe.radius} away",
                scale=before[number],
            )

    def test_the_receptive_field_of_the_decoder_is_as_declared(self) -> None:
        """Features beyond it change no pixel."""
        backbone, image, probe = _probe(self, stage=1)
        features = backbone.encode(image)
        before = backbone.decode(features)
        changed = []
        for maps, level in zip(features, backbone.levels, strict=True):
            modified = maps.flip(1).roll((1, 1), (-2, -1)) + maps.abs().max() / 2
            # features that cover a pixel within the receptive field
            top, left, bottom, right = probe.allowed
            covering = Box(
                top // level.stride,
                left // level.stride,
                -(-bottom // level.stride),
                -(-right // level.stride),
            )
            modified[..., *covering.slices] = maps[..., *covering.slices]
            changed.append(modified)
        after = backbone.decode(tuple(changed))
        _require_equal(
            after[..., *probe.block.slices],
            before[..., *probe.block.slices],
            f"decoded pixels depend on features more than {probe.radius} pixels away",
            scale=before,
        )

    def test_tiles_equal_the_whole_image(self) -> None:
        """`encode_tile` and `decode_tile` crop what lies beyond the tile, and no more."""
        backbone = _double(_built(self))
        if backbone.receptive_field is None:
            raise SkipTest("a backbone that sees the whole image is never cut into tiles")
        halos, divisor = backbone.halos(0), backbone.size_divisor
        edge = 2 * divisor
        image = _images(1, 4 * edge + 2 * sum(halos), 3 * edge + sum(halos)).to(_dtype(backbone))
        whole = backbone.encode(image)
        decoded = backbone.decode(whole)
        for tile in _tiles(image, edge, halos, divisor):
            features = backbone.encode_tile(image[..., *tile.outer.slices], tile.borders)
            for number, level in enumerate(backbone.levels):
                expected = whole[number][..., *tile.encoded.divided(level.stride).slices]
                _require_equal(
                    features[number],
                    expected,
                    f"`encode_tile` of {tile.outer} differs from the whole image at level {number}",
                    scale=whole[number],
                )
            _require_equal(
                backbone.decode_tile(features, tile.borders),
                decoded[..., *tile.decoded.slices],
                f"`decode_tile` of {tile.merged} differs from the whole image",
                scale=decoded,
            )

    def test_images_of_a_batch_do_not_influence_each_other(self) -> None:
        """A batch gives what its images give alone."""
        backbone = _double(_built(self))
        size = 4 * backbone.size_divisor
        images = _images(3, size, size).to(_dtype(backbone))
        images[2] *= 0.1
        batched = backbone.encode(images)
        decoded = backbone.decode(batched)
        for number in range(3):
            part = slice(number, number + 1)
            alone = backbone.encode(images[part])
            for level, maps in enumerate(batched):
                message = f"features of level {level} depend on the other images of the batch"
                _require_equal(maps[part], alone[level], message, scale=maps)
            single = backbone.decode(tuple(maps[part] for maps in batched))
            message = "decoded images depend on the other images of the batch"
            _require_equal(decoded[part], single, message, scale=decoded)

    def test_the_same_input_gives_the_same_result(self) -> None:
        """Bit for bit, whatever was computed in between."""
        backbone = _built(self)
        divisor = backbone.size_divisor
        image = _images(2, 3 * divisor, 3 * divisor)
        first = backbone.encode(image)
        first_decoded = backbone.decode(first)
        backbone.decode(backbone.encode(_images(1, 2 * divisor, 5 * divisor, seed=1)))
        second = backbone.encode(image)
        unchanged = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        _require(unchanged, "`encode` gives different features for the same image")
        second_decoded = backbone.decode(second)
        _require(torch.equal(first_decoded, second_decoded), "`decode` gives different images")

    def test_nothing_is_changed_by_a_fusion(self) -> None:
        """Parameters, buffers, images and features stay as they are; parameters are frozen."""
        backbone = _built(self)
        _require(not backbone.training, "`freeze` must switch to evaluation mode")
        for name, parameter in backbone.named_parameters():
            _require(not parameter.requires_grad, f"`freeze` must freeze the parameter {name}")
        size = 3 * backbone.size_divisor
        image = _images(2, size, size)
        before, original = _digest(backbone), image.clone()
        features = backbone.encode(image)
        copies = [maps.clone() for maps in features]
        backbone.decode(features)
        _require(_digest(backbone) == before, "a parameter or a buffer has changed")
        _require(torch.equal(image, original), "`encode` changes the images it is given")
        unchanged = all(torch.equal(a, b) for a, b in zip(features, copies, strict=True))
        _require(unchanged, "`decode` changes the features it is given")

    def test_gradients_reach_the_sources(self) -> None:
        """Through encoder and decoder, finite, and not zero everywhere."""
        backbone = _built(self)
        size = 3 * backbone.size_divisor
        image = _images(1, size, size).requires_grad_()
        features = backbone.encode(image)
        for number, maps in enumerate(features):
            _require(maps.requires_grad, f"the features of level {number} have no gradient")
        backbone.decode(features).square().sum().backward()
        gradient = image.grad
        _require(gradient is not None, "no gradient reaches the images")
        assert gradient is not None
        _require(bool(gradient.isfinite().all()), "the gradient of an image is not finite")
        _require(bool(gradient.any()), "the gradient of an image is zero everywhere")

    def test_precisions_agree(self) -> None:
        """float32 and bfloat16 give features and images of their own dtype, and similar ones."""
        single = _built(self)
        half = copy.deepcopy(single).to(torch.bfloat16)
        size = 3 * single.size_divisor
        image = _images(2, size, size)
        expected, features = single.encode(image), half.encode(image.to(torch.bfloat16))
        pairs = [*zip(features, expected, strict=True)]
        decoded = half.decode(tuple(maps.to(torch.bfloat16) for maps in expected))
        pairs.append((decoded, single.decode(expected)))
        for actual, reference in pairs:
            _require(
                (actual.dtype, reference.dtype) == (torch.bfloat16, torch.float32),
                f"results must have the dtype of the input, got {actual.dtype}, {reference.dtype}",
            )
            message = "bfloat16 differs from float32 by more than its rounding"
            _require_equal(actual.float(), reference, message, scale=reference, limit=BFLOAT16)

    def test_pixels_are_gray_levels(self) -> None:
        """A backbone whose domain is `pixels` has one channel, the image in 0..255."""
        backbone = _built(self)
        if backbone.domain != "pixels":
            raise SkipTest("the domain of the backbone is not 'pixels'")
        size = 2 * backbone.size_divisor
        image = _images(2, size, size)
        (pixels,) = backbone.encode(image)
        _require_equal(pixels, image * 255, "features are not gray levels 0..255", scale=pixels)
        decoded = backbone.decode((pixels,))
        _require_equal(decoded, image, "`decode` does not invert `encode`", scale=image)


class _Probe(NamedTuple):
    """A block of `size_divisor` pixels in the middle of an image, and what may influence it."""

    block: Box
    allowed: Box
    radius: int


def _probe(laws: BackboneLaws, stage: int) -> tuple[Backbone, Tensor, _Probe]:
    """Return the backbone, an image large enough for its receptive field, and the probe."""
    backbone = _double(_built(laws))
    if backbone.receptive_field is None:
        raise SkipTest("the receptive field is the whole image")
    radius, divisor = backbone.receptive_field[stage], backbone.size_divisor
    blocks = -(-radius // divisor) + 2
    start, size = blocks * divisor, (2 * blocks + 1) * divisor
    block = Box(start, start, start + divisor, start + divisor)
    allowed = Box(start - radius, start - radius, block.bottom + radius, block.right + radius)
    return backbone, _images(1, size, size).to(_dtype(backbone)), _Probe(block, allowed, radius)


def _built(laws: BackboneLaws) -> Backbone:
    """Return the backbone of a test class, frozen; of a class, with the same random weights."""
    declared: object = getattr(laws, "backbone", None)
    if isinstance(declared, Backbone):
        return declared.freeze()
    if not (isinstance(declared, type) and issubclass(declared, Backbone)):
        raise FusionlabError(
            f"{type(laws).__name__} must name a backbone, a class or an instance: backbone = Mine"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return declared().freeze()


def _double(backbone: Backbone) -> Backbone:
    """Return a copy in float64, whose rounding hides nothing; the backbone itself if it cannot."""
    double = copy.deepcopy(backbone).double()
    size = backbone.size_divisor
    try:
        features = double.encode(_images(1, size, size).double())
        double.decode(features)
    except RuntimeError:  # a dtype is fixed somewhere
        return backbone
    exact = all(maps.dtype == torch.float64 for maps in features)
    return double if exact else backbone


def _dtype(backbone: Backbone) -> torch.dtype:
    """Return the dtype that `_double` has chosen."""
    parameter = next(backbone.parameters(), None)
    return torch.float64 if parameter is None else parameter.dtype


def _images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Return random images `(count, 1, height, width)` in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 1, height, width), generator=generator)


def _kinds(height: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """Yield images of different content, with a name."""
    yield "noise", _images(1, height, width)
    yield "black", torch.zeros(1, 1, height, width)
    yield "white", torch.ones(1, 1, height, width)


def _tiles(
    image: Tensor, edge: int, halos: tuple[int, int, int], size_divisor: int
) -> Iterator[Tile]:
    height, width = image.shape[-2:]
    for row in plan(height, width, edge, halos, size_divisor):
        yield from row


def _digest(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _require_equal(
    actual: Tensor, expected: Tensor, message: str, *, scale: Tensor, limit: float | None = None
) -> None:
    """Require equality up to rounding, relative to the largest value of `scale`."""
    if actual.shape != expected.shape:
        raise AssertionError(
            f"{message}: expected the shape {tuple(expected.shape)}, got {tuple(actual.shape)}"
        )
    if limit is None:
        limit = DOUBLE if expected.dtype == torch.float64 else SINGLE
    difference = float((actual - expected).abs().max())
    largest = float(scale.abs().max())
    if not difference <= limit * largest:
        raise AssertionError(f"{message}: by {difference:.3g}, where values reach {largest:.3g}")
