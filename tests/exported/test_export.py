"""A method becomes one graph, which gives what the pipeline gives, and runs without torch."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

import fusionlab
from fusionlab import Fusion, FusionlabError, WeightedStrategy
from fusionlab.cli import main
from fusionlab.exported import export as export_module
from fusionlab.exported.export import OLDEST_TORCH, exported_model, torch_version
from fusionlab.exported.metadata import ModelMetadata

pytestmark = pytest.mark.skipif(torch_version() < OLDEST_TORCH, reason="torch is too old")

EXAMPLE = Path(__file__).parents[2] / "examples" / "exported_model.py"
REFUSE_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "fusionlab"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
"""
RUN = """
import numpy as np, onnxruntime

model, sources, fused = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
planes = np.load(sources)
inputs = {entry.name: plane for entry, plane in zip(session.get_inputs(), planes, strict=True)}
np.save(fused, session.run(["fused"], inputs)[0])
assert "torch" not in sys.modules
"""


def session_of(model):
    given = str(model) if not hasattr(model, "SerializeToString") else model.SerializeToString()
    return onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])


def planes(k, *shape):
    random = np.random.default_rng(0)
    return random.random((k, *shape), np.float32)


def run(session, images):
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, images, strict=True)))[0]


def by_pipeline(method, images):
    return Fusion(*method.split("/")).fuse_planes(torch.from_numpy(images))[0].numpy()


def test_a_model_runs_without_torch_and_gives_what_the_pipeline_gives(l1norm, tmp_path):
    images = planes(2, 2, 1, 33, 20)
    np.save(tmp_path / "sources.npy", images)
    files = [l1norm[0], tmp_path / "sources.npy", tmp_path / "fused.npy"]
    subprocess.run([sys.executable, "-c", REFUSE_TORCH + RUN, *files], check=True)
    expected = by_pipeline("densefuse@1e2/l1norm", images)
    assert np.abs(np.load(tmp_path / "fused.npy") - expected).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 1, 1, 6), (1, 1, 70, 3), (1, 1, 128, 81)])
def test_a_model_takes_any_number_of_images_of_any_size(l1norm, shape):
    images = planes(2, *shape)
    fused = run(session_of(l1norm[0]), images)
    assert fused.shape == shape
    assert np.abs(fused - by_pipeline("densefuse@1e2/l1norm", images)).max() < 1e-5


def test_tiles_with_the_halo_of_the_metadata_give_the_whole_image(l1norm):
    session = session_of(l1norm[0])
    entries = session.get_modelmeta().custom_metadata_map
    halo = ModelMetadata.read(entries, l1norm[0]).halo
    images = planes(2, 1, 1, 40, 60)
    whole = run(session, images)
    tile = run(session, images[..., : 20 + halo, 30 - halo :])
    inner = tile[..., :20, halo:]
    assert np.abs(inner - whole[..., :20, 30:]).max() < 1e-5
    narrow = run(session, images[..., : 20 + halo // 2, 30 - halo :])[..., :20, halo:]
    assert np.abs(narrow - whole[..., :20, 30:]).max() > 1e-5


def test_the_metadata_say_how_the_model_was_made(l1norm):
    path, facts = l1norm
    metadata = ModelMetadata.read(session_of(path).get_modelmeta().custom_metadata_map, path)
    fusion = Fusion("densefuse@1e2", "l1norm")
    assert metadata.method == facts["method"] == fusion.method
    assert metadata.weights["sha256"] == fusion.backbone.card.sha256
    assert metadata.weights["license"] == facts["license"] == fusion.backbone.card.license
    assert (metadata.range, metadata.saves) == ("clip", "minmax")
    assert (metadata.size, metadata.smallest, metadata.size_divisor) == (None, 1, 1)
    assert not metadata.looks_at_color
    assert metadata.difference < 1e-5
    assert len(metadata.checked) == 5


def test_a_model_holds_no_paths_and_no_code_of_the_machine_that_made_it(l1norm):
    content = l1norm[0].read_bytes()
    for word in (b".py", b"/fusionlab", b"stack_trace"):
        assert word not in content


def test_the_example_of_a_camera_runs_without_torch(l1norm, tmp_path):
    words = [l1norm[0], "--frames", "3", "--width", "64", "--height", "48", "--threads", "1"]
    code = f"{REFUSE_TORCH}import runpy\nrunpy.run_path(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", code, EXAMPLE, *words, "-o", tmp_path / "fused.png"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "frames a second" in printed
    images = [iio.imread(path) for path in sorted(EXAMPLE.parent.glob("images/street/?.png"))[:2]]
    expected = Fusion("densefuse@1e2", "l1norm")([i[2:50, 4:68] for i in images])
    fused = iio.imread(tmp_path / "fused.png").astype(int)
    assert np.abs(fused - expected).max() <= 1  # a half may be rounded the other way


def test_scale_and_range_can_be_inside_a_model():
    fusion = Fusion("identity", "addition", scale=["1000,3000", "full"], range_policy="minmax")
    model, metadata = exported_model(fusion, sources=2, depths=(16, 8))
    session = session_of(model)
    given = [(entry.name, entry.type) for entry in session.get_inputs()]
    assert given == [("image_1", "tensor(uint16)"), ("image_2", "tensor(uint8)")]
    assert [entry.name for entry in session.get_outputs()] == ["fused_image"]
    assert metadata.depths == (16, 8)
    random = np.random.default_rng(1)
    images = [
        random.integers(500, 3500, (31, 22), np.uint16),
        random.integers(0, 256, (31, 22), np.uint8),
    ]
    fused = run(session, [image[None, None] for image in images])
    assert fused.dtype == np.uint16
    assert np.abs(fused[0, 0].astype(int) - fusion(images).astype(int)).max() <= 1


@dataclass(frozen=True)
class Keeping(WeightedStrategy):
    """Keeps a tensor of its first call for the next."""

    def weights(self, features, scene):
        if not KEPT:
            KEPT.append(torch.tensor([0.25, 0.5, 0.25])[:, None, None, None, None])
        return KEPT[0]


KEPT = []


def test_a_fusion_is_the_same_after_its_export():
    images = torch.from_numpy(planes(3, 1, 1, 8, 9))
    fusion = Fusion("identity", Keeping())
    model, metadata = exported_model(fusion, sources=3, size=(9, 8))
    fused, _ = fusion.fuse_planes(images)
    assert torch.allclose(fused, 0.25 * images[0] + 0.5 * images[1] + 0.25 * images[2])
    assert np.abs(run(session_of(model), images.numpy()) - fused.numpy()).max() < 1e-6
    assert metadata.difference < 1e-6


# ------------------------------------------------- what cannot be exported


@dataclass(frozen=True)
class OddAndEven(WeightedStrategy):
    """Decides by the size of the image."""

    def weights(self, features, scene):
        first = 1.0 if features.shape[-1] % 2 else 0.5
        return torch.tensor([first, 1 - first])[:, None, None, None, None]


@dataclass(frozen=True)
class BrightOrDark(WeightedStrategy):
    """Decides by a value of the image."""

    def weights(self, features, scene):
        first = 1.0 if features.mean() > 100 else 0.5
        return torch.tensor([first, 1 - first])[:, None, None, None, None]


@dataclass(frozen=True)
class Eigenvalues(WeightedStrategy):
    """Computes what ONNX has no operation for."""

    def weights(self, features, scene):
        flat = features.flatten(3).movedim(0, 2)[:, 0]
        roots = torch.linalg.eigvalsh(flat @ flat.mT).abs().T
        return (roots / roots.sum(0))[..., None, None, None]


@dataclass(frozen=True)
class Counting(WeightedStrategy):
    """Gives something else at each call, so that the graph is not what the pipeline computes."""

    def weights(self, features, scene):
        CALLS.append(1)
        first = (len(CALLS) % 7) / 7
        return torch.tensor([first, 1 - first])[:, None, None, None, None]


CALLS = []


@pytest.mark.parametrize(
    ("strategy", "reason", "option"),
    [
        (OddAndEven(), "width % 2", "size"),
        (BrightOrDark(), "values of the images", ""),
        (Eigenvalues(), "linalg_eigh", ""),
        (Counting(), "differs from the pipeline", ""),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name_with_the_reason(
    strategy, reason, option, tmp_path
):
    path = tmp_path / "model.onnx"
    with pytest.raises(FusionlabError, match=reason) as caught:
        fusionlab.export(Fusion("identity", strategy), path)
    assert (caught.value.code, caught.value.option) == ("not-exportable", option)
    assert type(strategy).__name__ in str(caught.value)
    assert not path.exists()


def test_a_strategy_that_decides_by_the_size_is_exported_for_one_size():
    fusion = Fusion("identity", OddAndEven())
    model, metadata = exported_model(fusion, sources=2, size=(11, 8))
    assert (metadata.size, metadata.halos, metadata.checked) == ((8, 11), None, ((8, 11),))
    assert session_of(model).get_inputs()[0].shape == ["batch", 1, 8, 11]


@pytest.mark.parametrize(
    ("settings", "kind", "code"),
    [
        ({"scale": "percentile"}, "scale", "not-exportable"),
        ({"range_policy": None}, "range_policy", "no-range"),
        ({"precision": "bf16"}, "precision", "precision"),
    ],
)
def test_settings_that_a_graph_cannot_hold_are_refused(settings, kind, code):
    with pytest.raises(FusionlabError) as caught:
        exported_model(Fusion("identity", "mean", **settings), sources=2, depths=8)
    assert (caught.value.option, caught.value.code) == (kind, code)


@pytest.mark.parametrize("depths", [[8, 8, 8], 12, []])
def test_depths_are_one_or_one_for_each_source(depths):
    with pytest.raises(FusionlabError) as caught:
        exported_model(Fusion("identity", "mean"), sources=2, depths=depths)
    assert caught.value.option == "depths"


def test_the_number_of_sources_is_one_that_the_strategy_takes():
    with pytest.raises(FusionlabError) as caught:
        exported_model(Fusion("identity", "mean"), sources=1)
    assert caught.value.code == "number-of-sources"


def test_an_existing_file_is_replaced_only_on_request(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")
    monkeypatch.setattr(export_module, "exported_model", lambda *_, **__: pytest.fail("too late"))
    result = CliRunner().invoke(main, ["export", "identity/mean", "-o", str(path)])
    assert (result.exit_code, path.read_bytes()) == (2, b"precious")
    assert "--overwrite" in result.stderr


def test_the_name_of_a_model_ends_in_onnx(tmp_path):
    with pytest.raises(FusionlabError) as caught:
        fusionlab.export(Fusion("identity", "mean"), tmp_path / "model.pb")
    assert caught.value.code == "output-format"


def test_a_torch_that_is_too_old_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(FusionlabError, match=r"2\.9 or later, got 2\.6\.0") as caught:
        exported_model(Fusion("identity", "mean"), sources=2)
    assert caught.value.code == "torch-too-old"


def test_missing_packages_are_named_with_the_extra_that_has_them(monkeypatch):
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    with pytest.raises(FusionlabError, match=r"onnxscript.*fusionlab-imaging\[onnx\]") as caught:
        exported_model(Fusion("identity", "mean"), sources=2)
    assert caught.value.code == "missing-package"
