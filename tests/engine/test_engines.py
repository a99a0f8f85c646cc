"""Engines: each returns what the backbone returns, up to the rounding of its precision."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from imageio.v3 import imread, imwrite

from fusionlab import Backbone, Fusion, FusionlabError, Level, box_average
from fusionlab.backbone import Borders
from fusionlab.cli import main
from fusionlab.cli.options import PRECISIONS
from fusionlab.engine.build import build_engine
from fusionlab.engine.precision import Precision, check_precision
from fusionlab.engine.workers import workers
from fusionlab.plugins.host import installed
from fusionlab.torch_defaults import torch_threads
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.l1norm import L1Norm

CPU = torch.device("cpu")
ALL_BORDERS = [Borders(*(bool(n >> side & 1) for side in range(4))) for n in range(16)]

# Largest difference from the whole image through the plain module, in gray levels. Float32 rounds
# in another order (6e-4 measured); bfloat16 has 8 bits, and 255 has eight (4.7 measured, rarely).
TOLERANCE = {"fp32": 1e-3, "bf16": 8}
EXTRAS = ("openvino", "ncnn")
"""Engines that need a package of the same name."""


def needs(name):
    """Skip a test where the package of an engine is not installed."""
    if name in EXTRAS:
        pytest.importorskip(name, reason=f"the extra {name} is not installed")


@pytest.fixture(scope="module")
def backbone():
    return Fusion("densefuse").backbone


KINDS = [("eager", "fp32"), ("eager", "bf16"), ("openvino", "fp32"), ("ncnn", "fp32")]


@pytest.fixture(scope="module", params=KINDS, ids=":".join)
def engine(request, backbone):
    name, precision = request.param
    needs(name)
    return build_engine(name, backbone, CPU, precision, installed())


def smooth_images(*shape, seed=0):
    """Return smooth images with an edge: neither noise nor flat."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((shape[0], 1, 4, 4), generator=generator)
    return torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("borders", ALL_BORDERS, ids=lambda b: "".join(map(str, map(int, b))))
def test_a_tile_gives_what_the_whole_image_gives_there(engine, backbone, borders):
    """At every position: the halos of a tile are cropped, and no more."""
    whole = smooth_images(2, 1, 60, 70)
    (features,) = backbone.encode(whole)
    decoded = backbone.decode((features,))
    top, left, bottom, right = (
        (0 if borders.top else 10),
        (0 if borders.left else 12),
        (60 if borders.bottom else 45),
        (70 if borders.right else 52),
    )
    (found,) = engine.encode(whole[..., top:bottom, left:right], borders)
    rows = slice(top if borders.top else top + 4, bottom if borders.bottom else bottom - 4)
    columns = slice(left if borders.left else left + 4, right if borders.right else right - 4)
    scale = TOLERANCE[engine.precision]
    torch.testing.assert_close(found.float(), features[..., rows, columns], rtol=0, atol=scale)
    tile = features[..., top:bottom, left:right].to(engine.dtype)
    result = engine.decode((tile,), borders)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, decoded[..., rows, columns], rtol=0, atol=scale / 255)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 40)])
def test_images_of_a_few_pixels_are_encoded_and_decoded(engine, backbone, shape):
    image = smooth_images(1, 1, *shape)
    (features,) = engine.encode(image, Borders())
    assert features.shape == (1, 64, *shape)
    (expected,) = backbone.encode(image)
    atol = TOLERANCE[engine.precision]
    torch.testing.assert_close(features.float(), expected, rtol=0, atol=atol)
    found = engine.decode((features,), Borders())
    torch.testing.assert_close(found, backbone.decode((expected,)), rtol=0, atol=atol / 255)


def test_gradients_take_the_plain_backbone_in_float32(engine, backbone):
    image = smooth_images(1, 1, 20, 20).requires_grad_()
    (features,) = engine.encode(image, Borders())
    result = engine.decode((features,), Borders())
    assert torch.equal(result, backbone(image))
    result.sum().backward()
    assert image.grad.isfinite().all()


def test_an_engine_leaves_the_backbone_as_it_is(engine, backbone):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    engine.decode(engine.encode(smooth_images(1, 1, 20, 20), Borders()), Borders())
    for name, value in backbone.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])


class Halves(Backbone):
    """Two levels, and the default tile methods: the pixels, and a blurred half resolution."""

    levels = (Level(channels=1, stride=1), Level(channels=2, stride=2))
    receptive_field = (2, 2)
    size_divisor = 2

    def encode(self, images):
        coarse = torch.nn.functional.avg_pool2d(images, 2)
        blurred = torch.nn.functional.avg_pool2d(coarse, 3, 1, 1, count_include_pad=False)
        return images, torch.cat([coarse, blurred], dim=1)

    def decode(self, features):
        fine, coarse = features
        wide = torch.nn.functional.interpolate(coarse, scale_factor=2).mean(1, keepdim=True)
        blurred = torch.nn.functional.avg_pool2d(fine, 3, 1, 1, count_include_pad=False)
        return (wide + blurred) / 2


@pytest.mark.parametrize("name", ["eager", *EXTRAS])
def test_a_backbone_of_another_package_runs_on_every_engine(name):
    needs(name)
    backbone = Halves()
    whole = Fusion(backbone, L1Norm(r=2), range_policy=None, tile=999)
    tiled = Fusion(backbone, L1Norm(r=2), range_policy=None, tile=16, engine=name)

    @settings(max_examples=10)
    @given(st.integers(2, 50), st.integers(2, 50))
    def check(height, width):
        rng = np.random.default_rng(height * 64 + width)
        sources = [rng.integers(0, 256, (height, width), dtype=np.uint8) for _ in range(2)]
        np.testing.assert_allclose(tiled(sources), whole(sources), rtol=0, atol=1e-3 / 255)

    check()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its compiler's own
def test_the_compiled_backbone_gives_the_same(backbone):
    """Takes minutes where the compiler is slow."""
    sources = [smooth_images(1, 1, 50, 60, seed=seed)[0, 0].numpy() for seed in range(2)]
    fusions = [
        Fusion(backbone, L1Norm(), range_policy=None, engine=name) for name in ("eager", "compile")
    ]
    plain, compiled = (fusion(sources) for fusion in fusions)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=2e-3 / 255)


class Blurred(Identity):
    """A pixel depends on those up to 2 away in either stage, so that tiles have halos."""

    receptive_field = (2, 2)

    def encode(self, images):
        return (box_average(images, 2),)

    def decode(self, features):
        return box_average(features[0], 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_every_kind_of_tile_is_compiled(monkeypatch):
    """PyTorch itself stops at eight kinds; the compiler is a double that counts."""
    graphs = []

    def count(graph, examples):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    fusion = Fusion(Blurred(), L1Norm(), range_policy=None, engine="compile", tile=64)
    sources = smooth_images(2, 1, 64 * 3, 64 * 3)[:, None]
    torch._dynamo.reset()
    fused, _ = fusion.fuse_planes(sources)
    assert len(graphs) == 2 * 9  # four corners, four sides and the inside, encoded and decoded
    fusion.fuse_planes(sources)
    assert len(graphs) == 2 * 9
    whole, _ = Fusion(Blurred(), L1Norm(), range_policy=None).fuse_planes(sources)
    torch.testing.assert_close(fused, whole)


def test_the_command_line_offers_every_precision():
    assert get_args(Precision) == PRECISIONS


def test_an_unknown_engine_is_refused():
    with pytest.raises(FusionlabError, match="there is no engine 'eagre'; did you mean 'eager'"):
        Fusion(Identity(), L1Norm(), engine="eagre")
    result = CliRunner().invoke(main, ["fuse", "a.png", "b.png", "--engine", "eagre"])
    assert result.exit_code == 2
    assert "did you mean 'eager'? (see 'fusionlab engines')" in result.stderr


HALVING = """
    from fusionlab import EngineRef, hookimpl

    @hookimpl
    def fusionlab_engines(): return [EngineRef("half", __name__ + ":Half", "Half as bright.")]

    def __getattr__(name):
        if name != "Half": raise AttributeError(name)
        from fusionlab.engine.eager import Eager
        class Half(Eager):
            def decode_tile(self, features, borders):
                return super().decode_tile(features, borders) / 2
        return Half
"""


def test_an_engine_of_a_plugin_works_like_those_that_ship(install, tmp_path):
    install("lab-engine", HALVING)
    sources = [np.full((8, 8), value, np.float32) for value in (0.4, 0.8)]
    fused = Fusion("identity", "mean", engine="half", range_policy=None)(sources)
    np.testing.assert_allclose(fused, 0.3, atol=1e-6)
    for name in "ab":
        imwrite(tmp_path / f"{name}.png", np.full((8, 8), 100, np.uint8))
    arguments = ["fuse", *(str(tmp_path / f"{name}.png") for name in "ab")]
    output = tmp_path / "fused.png"
    options = ["--backbone", "identity", "--strategy", "mean", "--engine", "half"]
    result = CliRunner().invoke(main, [*arguments, *options, "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert (imread(output) == 50).all()


def test_an_engine_that_fails_is_one_sentence(install):
    install("lab-engine", HALVING.replace("/ 2", "/ 0 + nothing"))
    fusion = Fusion("identity", "mean", engine="half")
    says = "engine Half of lab-engine failed: NameError: .*'nothing'"
    with pytest.raises(FusionlabError, match=says) as error:
        fusion([np.zeros((8, 8), np.float32)] * 2)
    assert error.value.code == "engine-failed"


def test_a_class_that_is_not_an_engine_is_refused_with_its_plugin(install):
    install("lab-engine", HALVING.replace("(Eager)", ""))
    with pytest.raises(FusionlabError, match="lab-engine:half cannot be used: TypeError"):
        Fusion(Identity(), L1Norm(), engine="half")


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("fp8", "the precision must be one of fp32, tf32, bf16, fp16, got 'fp8'"),
        ("tf32", "tf32 is a precision of CUDA, got the device cpu"),
    ],
)
def test_an_unsupported_precision_is_refused(precision, message):
    with pytest.raises(FusionlabError, match=message):
        Fusion(Identity(), L1Norm(), precision=precision)
    check_precision("tf32", torch.device("cuda"))


@pytest.mark.parametrize(
    ("name", "precisions"), [("openvino", "fp32 or bf16, got fp16"), ("ncnn", "fp32, got fp16")]
)
def test_engines_of_extras_support_some_precisions_and_the_cpu(name, precisions):
    needs(name)
    with pytest.raises(FusionlabError, match=f"computes in {precisions}"):
        Fusion(Identity(), L1Norm(), engine=name, precision="fp16")
    with pytest.raises(FusionlabError, match="runs on the cpu, got the device meta"):
        build_engine(name, Identity(), torch.device("meta"), "fp32", installed())


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FusionlabError, match=rf"pip install 'fusionlab-imaging\[{name}\]'"):
        Fusion(Identity(), L1Norm(), engine=name)


@pytest.mark.parametrize("name", ["eager", *EXTRAS])
def test_threads_may_share_a_fusion(name, backbone):
    needs(name)
    fusion = Fusion(backbone, L1Norm(), engine=name)
    pairs = [[smooth_images(1, 1, 64 + 8 * n, 64, seed=s)[0, 0] for s in (0, 1)] for n in range(2)]
    expected = [fusion(pair) for pair in pairs]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(fusion, pairs * 20))
    assert all(torch.equal(one, expected[n % 2]) for n, one in enumerate(found))


@pytest.mark.parametrize("name", EXTRAS)
def test_tiles_at_the_same_time_give_the_same_bits(name, backbone):
    needs(name)
    fusion = Fusion(backbone, L1Norm(), engine=name, range_policy=None, tile=64)
    pair = [smooth_images(1, 1, 20, 100, seed=seed)[0, 0] for seed in (0, 1)]
    with torch_threads(1):
        expected = fusion(pair)
    with torch_threads(3):
        found = fusion(pair)
    assert torch.equal(found, expected)


def test_openvino_computes_tiles_at_the_same_time(backbone):
    """Each of two requests waits until the other has started."""
    needs("openvino")
    started = Barrier(2)

    class Request:
        def __init__(self, request):
            self.set_output_tensor = request.set_output_tensor
            self._infer = request.infer

        def infer(self, *args, **kwargs):
            started.wait(30)
            self._infer(*args, **kwargs)

    engine = build_engine("openvino", backbone, CPU, "fp32", installed())
    tiles = [smooth_images(2, 1, 40, 40, seed=seed) for seed in range(2)]
    with torch_threads(2), workers(in_parallel=True) as two:
        expected = [engine.encode(tile, Borders())[0] for tile in tiles]
        ((key, graph),) = engine._graphs.items()
        engine._idle[key][:] = [Request(graph.create_infer_request()) for _ in range(2)]
        found = list(two.map(lambda tile: engine.encode(tile, Borders())[0], tiles))
    assert all(map(torch.equal, found, expected))
