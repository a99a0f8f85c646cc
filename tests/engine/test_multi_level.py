"""Backbones with several levels and wide receptive fields: tiles, engines, budgets, records."""

import numpy as np
import pytest
import torch
from pyramid_net import PyramidNet
from refusals import refused
from torch.nn.functional import interpolate

from fusionlab import Fusion, FusionlabError, Level
from fusionlab.engine.eager import Eager
from fusionlab.engine.pipeline import Pipeline
from fusionlab.engine.tiling import plan
from fusionlab.plugins.host import installed
from fusionlab.runs.record import describe_method
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.mean import Mean

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pyramid():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PyramidNet().freeze()


class Wide(PyramidNet):
    """The receptive fields of a nested encoder and decoder with four levels."""

    receptive_field = (45, 60)


def smooth(k=2, height=100, width=130):
    coarse = torch.rand((k, 1, 9, 9), generator=torch.Generator().manual_seed(0))
    images = interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return list(images[:, 0].numpy())


def encoded_per_pixel(backbone, strategy, height, width, k=2):
    """Return how many pixels are encoded per image pixel with the default tiles."""
    engine = Eager(backbone, CPU, "fp32")
    edge = Pipeline(engine, strategy, torch.nn.ModuleList()).edge(k)
    divisor = backbone.size_divisor
    height, width = (-(-size // divisor) * divisor for size in (height, width))
    tiles = plan(height, width, edge, backbone.halos(strategy.support), divisor)
    areas = (np.prod(tile.outer.size) for row in tiles for tile in row)
    return sum(areas) / (height * width)


@pytest.mark.parametrize(
    ("engine", "strategy"),
    # one for openvino, which compiles the network anew for each size
    [("eager", Mean()), ("eager", L1Norm(r=2)), ("openvino", L1Norm(r=2))],
)
def test_four_levels_in_tiles_equal_the_whole_image(pyramid, engine, strategy):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    whole = Fusion(pyramid, strategy, range_policy=None, tile=999)(smooth())
    tiled = Fusion(pyramid, strategy, range_policy=None, tile=24, engine=engine, precision="fp32")(
        smooth()
    )
    # float32 in another order, through eight layers
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_bf16_is_close_to_float32(pyramid):
    plain = Fusion(pyramid, L1Norm(), range_policy=None)(smooth())
    half = Fusion(pyramid, L1Norm(), range_policy=None, precision="bf16")(smooth())
    assert np.abs(half - plain).max() <= 0.05 * np.abs(plain).max()  # 8 significant bits


def test_a_batch_gives_what_its_images_give_alone(pyramid):
    fusion = Fusion(pyramid, L1Norm(r=2), range_policy=None)
    batch = [torch.rand(3, 1, 40, 50), torch.rand(3, 1, 40, 50)]
    together = fusion(batch)
    for n in range(3):
        alone = fusion([images[n] for images in batch])
        torch.testing.assert_close(together[n], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "strategy"), [(Wide(), Mean()), (Wide(), L1Norm(r=1)), (PyramidNet(), Mean())]
)
def test_wide_receptive_fields_do_not_multiply_the_work(backbone, strategy):
    assert encoded_per_pixel(backbone, strategy, 480, 640) <= 2.0
    assert encoded_per_pixel(backbone, strategy, 2000, 3000) <= 2.0


def test_the_shipped_backbones_keep_their_tiles():
    """Other tiles could change the rounding of results that were published."""
    for backbone in (DenseFuse(), Identity()):
        engine = Eager(backbone, CPU, "fp32")
        edges = {
            (k, r): Pipeline(engine, L1Norm(r=r), torch.nn.ModuleList()).edge(k)
            for k in (2, 3, 8)
            for r in (0, 16, 64)
        }
        assert edges == {
            (2, 0): 128, (2, 16): 128, (2, 64): 256,
            (3, 0): 96, (3, 16): 96, (3, 64): 256,
            (8, 0): 64, (8, 16): 64, (8, 64): 256,
        }  # fmt: skip


def test_the_budget_of_an_engine_follows_the_levels_of_the_backbone():
    class Heavy(DenseFuse):
        levels = (Level(channels=256, stride=1), Level(channels=1024, stride=2))

    def pixels(backbone):
        return Eager(backbone, CPU, "fp32").pixels_at_once

    assert pixels(DenseFuse()) == 2 * 128**2
    assert pixels(Heavy()) == 2 * 128**2 // 8
    assert pixels(Identity()) == 2 * 128**2  # strategies need memory, too


def test_the_record_names_the_backbone(pyramid):
    record = describe_method(Fusion(pyramid, Mean()), installed())
    assert "PyramidNet" in record["method"]


# ---------------------------------------------------------------- backbones that see everything


class Centered(Identity):
    """Subtracts the mean of the whole image from the features, as global attention looks at it."""

    receptive_field = None
    domain = "features"

    def encode(self, images):
        return (images - images.mean((-2, -1), keepdim=True),)

    def decode(self, features):
        return features[0] + 0.5


@pytest.mark.parametrize("tile", [None, 4000])
def test_a_backbone_that_sees_everything_is_never_cut(tile):
    sources = smooth(2, 300, 310)
    fused = Fusion(Centered(), Mean(), range_policy=None, tile=tile)(sources)
    expected = sum(source - source.mean() for source in sources) / 2 + 0.5
    np.testing.assert_allclose(fused, expected, atol=1e-5)


def test_a_backbone_that_sees_everything_refuses_images_that_are_too_large(monkeypatch):
    sources = smooth(2, 40, 60)
    monkeypatch.setattr("fusionlab.engine.pipeline.MAX_UNTILED_BYTES", 2 * 4 * 40 * 60)
    fusion = Fusion(Centered(), Mean())
    fusion(sources)
    with pytest.raises(FusionlabError) as error:
        fusion(smooth(2, 41, 60))
    assert error.value.code == "needs-whole-image"
    assert error.value.option == "tile"
    assert str(error.value).startswith("the backbone Centered needs the whole image at once")
    Fusion(Centered(), Mean(), tile=60)(smooth(2, 41, 60))
    with pytest.raises(FusionlabError, match="override this with a tile of 60"):
        Fusion(Centered(), Mean(), tile=40)(sources)


def test_it_ends_where_memory_ends():
    class Greedy(Centered):
        def encode(self, images):
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(FusionlabError, check=refused("out-of-memory")):
        Fusion(Greedy(), Mean())(smooth())
