"""Pixels that are no data, from the entrance to the result: weights, features, range and output."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Scene, WeightedStrategy

RNG = np.random.default_rng(5)
FIRST, SECOND, THIRD = RNG.integers(0, 256, (3, 24, 40), dtype=np.uint8)
LEFT, TOP = np.ones((2, 24, 40), bool)
LEFT, TOP = LEFT.copy(), TOP.copy()
LEFT[:, :12] = False
TOP[:8] = False
"""Masks whose first columns, and rows, are no data."""


@dataclass(frozen=True)
class Share(WeightedStrategy):
    """Weights 0.2, 0.3, 0.5, ..., and what it was shown."""

    support = 0

    def weights(self, features, scene):
        parts = torch.tensor([2.0, 3, 5])[: len(features)]
        return (parts / parts.sum()).view(-1, 1, 1, 1, 1).expand(-1, *features.shape[1:2], 1, 1, 1)


def fuse(strategy, sources, valid=None, **settings):
    return Fusion("identity", strategy, **settings).fuse(sources, valid=valid, weights=True)


def test_weights_are_zero_where_a_source_is_no_data_and_sum_to_one():
    fused = fuse(Share(), [FIRST, SECOND, THIRD], [LEFT, TOP, None])
    parts = np.array([0.2, 0.3, 0.5]).reshape(3, 1, 1)
    expected = parts * np.stack([LEFT, TOP, np.ones_like(TOP)])
    expected /= expected.sum(0)
    assert np.allclose(fused.weights, expected, atol=1e-6)
    # half a gray level, and what float32 adds to it
    mixed = (expected * np.stack([FIRST, SECOND, THIRD])).sum(0)
    assert np.abs(fused.image - mixed).max() <= 0.5 + 1e-4
    assert fused.valid is None
    assert fused.no_data.tolist() == [[24 * 12], [8 * 40], [0]]


def test_sources_that_got_no_weight_share_it_where_the_others_are_no_data():
    """The maximum of `choose_max` is no data; the two others are equal there."""
    sources = [np.full_like(FIRST, 200), np.full_like(FIRST, 90), np.full_like(FIRST, 90)]
    fused = fuse("choose_max", sources, [LEFT, None, None])
    assert np.array_equal(fused.image, np.where(LEFT, 200, 90))
    assert np.allclose(np.array(fused.weights)[:, ~LEFT].T, [0, 0.5, 0.5])


@pytest.mark.parametrize(
    "strategy",
    [
        "max",
        "mean",
        "l1norm",
        "majority",
        "laplacian_pyramid",
        "two_scale",
        "dwt",
        "gff",
        "nestfuse",
    ],
)
def test_where_one_source_is_data_the_result_is_that_source(strategy):
    """Also for strategies that merge more than a pixel at a time; up to rounding."""
    fused = Fusion("identity", strategy)([FIRST, SECOND], valid=[LEFT, TOP])
    assert np.abs(fused.astype(int) - FIRST)[~TOP & LEFT].max() <= 1
    assert np.abs(fused.astype(int) - SECOND)[~LEFT & TOP].max() <= 1


def test_a_sum_of_filled_features_is_as_bright_as_its_surroundings():
    """Half as bright where one source is data would be an edge that nothing in the scene has."""
    fusion = Fusion("identity", "addition", range_policy="clip")
    assert np.array_equal(fusion([FIRST // 4] * 2, valid=[LEFT, None]), FIRST // 4 * 2)


@pytest.mark.parametrize("strategy", ["l1norm", "addition", "max"])
@pytest.mark.parametrize("policy", ["clip", "minmax"])
def test_where_no_source_is_data_nor_is_the_result(strategy, policy):
    neither = ~LEFT & ~TOP
    floats = [FIRST / np.float32(255), SECOND / np.float32(255)]
    for sources, empty in (([FIRST, SECOND], 0), (floats, np.nan)):
        fused = Fusion("identity", strategy, range_policy=policy).fuse(sources, valid=[LEFT, TOP])
        assert np.array_equal(fused.valid, ~neither)
        assert np.array_equal(fused.image[neither], np.full(neither.sum(), empty), equal_nan=True)
        assert np.isfinite(fused.image[~neither]).all()
    if strategy == "l1norm":
        weights = np.stack(fuse(strategy, floats, [LEFT, TOP]).weights)
        assert np.array_equal(weights.sum(0) > 0.5, ~neither)


def test_what_is_no_data_is_left_out_of_the_range_policy():
    """Else the black frame would be the minimum, and count among what lies outside."""
    bright = np.where(LEFT, 100 + FIRST // 4, 0).astype(np.uint8)
    fused = Fusion("identity", "addition", range_policy="minmax").fuse(
        [bright] * 2, valid=[LEFT] * 2
    )
    assert fused.image[LEFT].min() == 0
    assert fused.image[LEFT].max() == 255
    sums = Fusion("identity", "addition", range_policy="clip").fuse([bright] * 2, valid=[LEFT] * 2)
    assert sums.outside == np.mean(2 * bright[LEFT].astype(int) > 255)


@pytest.mark.parametrize(
    "method", ["densefuse/l1norm", "nestfuse/nestfuse", "identity/multi_scale"]
)
def test_a_mask_that_leaves_out_nothing_changes_nothing(method):
    fusion = Fusion(*method.split("/"))
    full = np.ones_like(LEFT)
    assert np.array_equal(fusion([FIRST, SECOND], valid=[full, full]), fusion([FIRST, SECOND]))


@pytest.mark.parametrize("method", ["densefuse/l1norm", "nestfuse/nestfuse", "densefuse/max"])
def test_tiles_with_masks_give_the_whole(method):
    """Over several levels, and with masks across the borders of tiles; to 1/1000 of a level."""
    backbone, strategy = method.split("/")
    whole, tiled = (
        Fusion(backbone, strategy, range_policy="clip", tile=tile).fuse(
            [FIRST, SECOND], valid=[LEFT, TOP], depth=32
        )
        for tile in (None, 16)
    )
    assert np.allclose(whole.image, tiled.image, atol=1e-3 / 255, rtol=0, equal_nan=True)


def test_a_feature_is_data_where_all_its_pixels_are():
    from fusionlab.engine.scenes import _pooled

    valid = torch.ones(1, 1, 1, 8, 8, dtype=torch.bool)
    valid[..., 3, 4] = False
    assert _pooled(valid, 4)[0, 0, 0].tolist() == [[True, False], [True, True]]


def test_a_strategy_may_look_at_what_is_data():
    seen = []

    class Looks(Share):
        def weights(self, features, scene: Scene):
            seen.append(scene)
            return super().weights(features, scene)

    Fusion("identity", Looks())([FIRST, SECOND], valid=[LEFT, None])
    assert np.array_equal(seen[0].valid.squeeze(), np.stack([LEFT, np.ones_like(LEFT)]))
    assert seen[0].sources[0, 0, 0, 5, 3] != FIRST[5, 3] / 255  # filled
    Fusion("identity", Looks())([FIRST, SECOND])
    assert seen[1].valid is None


def test_color_that_is_no_data_is_not_merged():
    """The chroma of the frame is that of the other color source, not of its own white or blue."""
    color = RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    blue = color.copy()
    blue[~LEFT] = (0, 0, 255)
    fusion = Fusion("identity", "mean", color="luma")
    fused = fusion([blue, color], valid=[LEFT, None])
    assert np.abs(fused.astype(int) - color).max() <= 1
    gray = np.repeat(FIRST[..., None], 3, axis=2)
    gray[~LEFT] = (0, 0, 255)  # gray where it is data
    assert Fusion("identity", "mean").fuse([gray, color], valid=[LEFT, None]).colors == ("luma",)


@pytest.mark.parametrize("shared", [True, False])
def test_channels_are_masked_together(shared):
    color, other = RNG.integers(0, 256, (2, 24, 40, 3), dtype=np.uint8)
    fusion = Fusion("identity", "l1norm", color="per-channel", shared_weights=shared)
    fused = fusion.fuse([color, other], valid=[LEFT, None], weights=True)
    assert np.array_equal(fused.image[~LEFT], other[~LEFT])
    assert (fused.weights[0][~LEFT] == 0).all()


def test_a_batch_has_a_mask_for_each_image():
    """An image gets the result it has alone, beside others with and without a mask."""
    batches = [torch.from_numpy(np.stack(pair))[:, None] for pair in ([FIRST, THIRD], [SECOND] * 2)]
    masks = torch.from_numpy(np.stack([LEFT, np.ones_like(LEFT)]))[:, None]
    fusion = Fusion("densefuse", "l1norm")
    fused = fusion.fuse(batches, valid=[masks, torch.from_numpy(TOP)])
    for number, (image, mask) in enumerate([(FIRST, LEFT), (THIRD, None)]):
        alone = fusion.fuse([image, SECOND], valid=[mask, TOP])
        assert np.array_equal(fused.image[number, 0], alone.image)
        assert np.array_equal(fused.no_data[:, number], alone.no_data[:, 0])
    assert np.array_equal(fused.valid[0, 0], LEFT | TOP)
    assert fused.valid[1].all()


def test_a_batch_of_two_color_modes_keeps_its_masks():
    color = torch.from_numpy(RNG.integers(0, 256, (2, 3, 24, 40), dtype=np.uint8))
    color[1] = color[1, :1]
    gray = torch.from_numpy(np.stack([FIRST, SECOND]))[:, None].expand(-1, 3, -1, -1).contiguous()
    masks = torch.from_numpy(np.stack([LEFT, TOP]))[:, None]
    fusion = Fusion("identity", "mean")
    fused = fusion.fuse([color, gray], valid=[masks, masks])
    assert fused.colors == ("luma", "per-channel")
    assert torch.equal(fused.valid, masks)
    assert fused.no_data.tolist() == [[288, 320]] * 2


def test_gradients_pass_by_what_is_no_data():
    first, second = (torch.from_numpy(x / 255).float() for x in (FIRST, SECOND))
    first = torch.where(torch.from_numpy(LEFT), first, torch.nan).requires_grad_()
    fused = Fusion("densefuse", "l1norm", range_policy=None)([first, second])
    fused.sum().backward()
    assert first.grad.isfinite().all()
    assert (first.grad[~torch.from_numpy(LEFT)] == 0).all()
    assert (first.grad[torch.from_numpy(LEFT)] != 0).any()


@pytest.mark.parametrize(
    "given",
    [
        lambda: ([np.ma.masked_array(FIRST, ~LEFT), SECOND], {}),
        lambda: ([np.where(LEFT, FIRST / 255.0, np.nan), SECOND], {}),
        lambda: ([FIRST, SECOND], {"valid": [LEFT.astype(np.uint8) * 255, None]}),
        lambda: ([FIRST, SECOND], {"valid": [torch.from_numpy(LEFT), None]}),
        lambda: ([torch.from_numpy(FIRST), torch.from_numpy(SECOND)], {"valid": [LEFT, None]}),
    ],
    ids=["masked array", "NaN", "0 and 255", "tensor", "of tensors"],
)
def test_masks_come_in_several_forms(given):
    sources, masks = given()
    expected = np.where(LEFT, np.maximum(FIRST, SECOND), SECOND)
    fused = Fusion("identity", "max").fuse(sources, depth=8, **masks)
    assert np.array_equal(fused.image, expected)


def test_a_value_may_mean_no_data():
    framed = np.where(LEFT, FIRST | 1, 0).astype(np.uint8)
    expected = np.where(LEFT, np.maximum(framed, SECOND), SECOND)
    for nodata in (0, "0", [0, None], ["0", "none"]):
        fusion = Fusion("identity", "max", nodata=nodata)
        assert np.array_equal(fusion([framed, SECOND | 1]), np.maximum(framed, SECOND | 1))
    assert "nodata=[0.0, None]" in repr(Fusion("identity", "max", nodata=[0, "none"]))
    assert np.array_equal(
        Fusion("identity", "mean", nodata=[0, None])([framed, SECOND])[~LEFT], expected[~LEFT]
    )


def test_all_that_says_no_data_counts():
    sources = [np.ma.masked_array(FIRST, ~LEFT), SECOND]
    fused = Fusion("identity", "max", nodata=[255, None]).fuse(sources, valid=[TOP, None])
    lacking = ~LEFT | ~TOP | (FIRST == 255)
    assert np.array_equal(fused.image[lacking], SECOND[lacking])
    assert fused.no_data[0] == lacking.sum()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"valid": [LEFT]}, "number-of-masks"),
        ({"valid": [LEFT[:5], None]}, "wrong-mask"),
        ({"valid": [LEFT.astype(float), None]}, "wrong-mask"),
        ({"valid": [np.zeros_like(LEFT), None]}, "no-data"),
    ],
)
def test_masks_that_do_not_fit_are_refused(settings, code):
    with pytest.raises(FusionlabError) as refused:
        Fusion("identity", "max").fuse([FIRST, SECOND], **settings)
    assert refused.value.code == code


def test_values_of_no_data_that_do_not_fit_are_refused():
    with pytest.raises(FusionlabError, match="must be a number or none, got 'black'"):
        Fusion("identity", "max", nodata="black")
    with pytest.raises(FusionlabError, match="for all 2 sources or one for each, got 3"):
        Fusion("identity", "max", nodata=[0, 1, 2])([FIRST, SECOND])
