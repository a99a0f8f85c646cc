"""An exported model fuses images and files as its method does, and imports no torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from fusionlab import Fusion, FusionlabError
from fusionlab.cli import main
from fusionlab.exported.metadata import KEY, ModelMetadata
from fusionlab.exported.model import ExportedModel

METHOD = ("densefuse@1e2", "l1norm")
RNG = np.random.default_rng(0)
GRAY = [RNG.integers(0, 256, (50, 70), dtype=np.uint8) for _ in range(2)]
DEEP = RNG.integers(100, 5000, (50, 70), dtype=np.uint16)
COLOR = RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def metadata(l1norm):
    entries = {entry.key: entry.value for entry in onnx.load(l1norm[0]).metadata_props}
    return ModelMetadata.read(entries, l1norm[0])


@pytest.fixture
def small(tmp_path, metadata):
    """Write a model that returns the mean of two sources, with other metadata or another graph."""

    def write(*, kind=TensorProto.FLOAT, output="fused", nodes=None, entries=None, **changes):
        facts = replace(metadata, weights=None, **changes)
        half = helper.make_tensor("half", TensorProto.FLOAT, (), [0.5])
        names = facts.inputs
        add = [
            helper.make_node("Add", names, ["sum"]),
            helper.make_node("Mul", ["sum", "half"], [output]),
        ]
        shape = ["n", 1, "h", "w"]
        values = [helper.make_tensor_value_info(name, kind, shape) for name in names]
        result = helper.make_tensor_value_info(output, kind, shape)
        graph = helper.make_graph(nodes or add, "mean", values, [result], [half])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        helper.set_model_props(model, {KEY: facts.to_json()} if entries is None else entries)
        path = tmp_path / "mean.onnx"
        onnx.save(model, path)
        return path

    return write


@pytest.mark.parametrize(
    ("sources", "settings"),
    [
        (GRAY, {}),
        (GRAY, {"range_policy": "minmax"}),
        ([DEEP, GRAY[0]], {"scale": "minmax"}),
        ([COLOR, GRAY[0]], {}),  # luma
        ([COLOR, COLOR[::-1]], {"color": "gray"}),
    ],
)
def test_a_model_gives_what_its_method_gives(sources, settings, l1norm):
    fused = ExportedModel(l1norm[0], **settings).fuse(sources)
    expected = Fusion(*METHOD, **settings).fuse(sources)
    assert fused.image.dtype == expected.image.dtype
    difference = np.abs(fused.image.astype(int) - expected.image)
    assert difference.max() <= 1 + fused.image.itemsize // 2  # where rounding falls the other way
    assert (difference > 0).mean() < 0.002 * fused.image.itemsize**4
    assert np.array_equal(fused.limits, expected.limits)
    assert fused.outside == pytest.approx(expected.outside, abs=1e-3)


def test_separate_weights_of_the_channels_are_those_of_the_method(l1norm):
    sources = [COLOR, COLOR[::-1].copy()]
    fused = ExportedModel(l1norm[0], separate_weights=True).fuse(sources)
    expected = Fusion(*METHOD, shared_weights=False).fuse(sources)
    assert np.abs(fused.image.astype(int) - expected.image).max() <= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_give_the_whole_image_to_rounding(threads, l1norm):
    sources = [RNG.random((133, 210), dtype=np.float32) for _ in range(2)]
    done = []
    model = ExportedModel(l1norm[0], tile=40, threads=threads)
    cut = model.fuse(sources, progress=lambda *steps: done.append(steps)).image
    assert done == [(number, 24) for number in range(1, 25)]
    whole = ExportedModel(l1norm[0], tile=1000, threads=threads).fuse(sources).image
    assert np.abs(cut - whole).max() < 5e-6


def test_a_size_that_is_no_multiple_is_cut_where_the_graph_says(small):
    path = small(size_divisor=8, halos=(8, 0, 8), smallest=1)
    sources = [RNG.random((45, 61), dtype=np.float32) for _ in range(2)]
    fused = ExportedModel(path, tile=16).fuse(sources).image
    assert np.allclose(fused, (sources[0] + sources[1]) / 2, atol=1e-6)


def test_an_image_that_cannot_be_cut_is_fused_in_one_piece(small, monkeypatch):
    steps = []
    model = ExportedModel(small(halos=None), tile=16, threads=2)
    fused = model.fuse(GRAY, progress=lambda *step: steps.append(step)).image
    assert steps == [(1, 1)]
    assert np.abs(fused - (GRAY[0].astype(float) + GRAY[1]) / 2).max() <= 0.5
    monkeypatch.setattr("fusionlab.exported.model.MAX_PIXELS_UNCUT", 3000)
    with pytest.raises(
        FusionlabError, match="up to 3000 pixels, since they cannot be cut"
    ) as error:
        model.fuse(GRAY)
    assert error.value.code == "model-size"


def test_scale_and_range_inside_take_images_as_files_have_them(small):
    cast = [
        helper.make_node("Max", ["image_1", "image_2"], ["fused_image"]),
    ]
    path = small(depths=(8, 8), kind=TensorProto.UINT8, output="fused_image", nodes=cast)
    model = ExportedModel(path)
    assert np.array_equal(model.fuse(GRAY).image, np.maximum(*GRAY))
    with pytest.raises(FusionlabError, match="takes images of uint8 and uint8, got uint16"):
        model.fuse([DEEP, GRAY[0]])
    with pytest.raises(FusionlabError, match="returns images of 8 bits, not of 16"):
        model.fuse(GRAY, depth=16)
    with pytest.raises(FusionlabError, match="takes gray images"):
        model.fuse([COLOR, GRAY[0]])
    with pytest.raises(FusionlabError, match="has scale and range inside") as error:
        ExportedModel(path, scale="minmax")
    assert (error.value.code, error.value.option) == ("inside-the-model", "scale")


HOLES = np.where(GRAY[0] > 200, np.nan, GRAY[0] / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("changes", "sources", "code", "says"),
    [
        ({}, GRAY[:1] * 3, "number-of-sources", "fuses 2 sources, got 3"),
        ({}, [HOLES, GRAY[0]], "not-in-the-model", "leaves out no pixels, and source 1 holds"),
        ({"shared_weights": True}, [COLOR, COLOR], "not-in-the-model", "each by itself"),
        ({"looks_at_color": True}, [COLOR, GRAY[0]], "not-in-the-model", "is given no colors"),
        ({"smallest": 60}, GRAY, "model-size", "takes images of at least 60x60, got 70x50"),
        ({"size": (50, 71), "halos": None}, GRAY, "model-size", "of 71x50, got 70x50"),
    ],
)
def test_what_a_model_cannot_do_is_refused(changes, sources, code, says, small):
    model = ExportedModel(small(**changes))
    with pytest.raises(FusionlabError, match=says) as error:
        model.fuse(sources)
    assert error.value.code == code
    with pytest.raises(FusionlabError, match="returns no weights"):
        model.fuse(GRAY, weights=True)


def test_values_that_are_no_image_are_refused(small):
    nodes = [helper.make_node("Div", ["source_1", "source_2"], ["fused"])]
    model = ExportedModel(small(nodes=nodes))
    with pytest.raises(FusionlabError, match="returned values from nan") as error:
        model.fuse([GRAY[0], np.zeros_like(GRAY[0])])
    assert error.value.code == "model-failed"
    nodes = [helper.make_node("Concat", ["source_1", "source_2"], ["fused"], axis=3)]
    with pytest.raises(FusionlabError, match="returned an image of the shape"):
        ExportedModel(small(nodes=nodes)).fuse(GRAY)


def damaged(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def with_weights_outside(path):
    model = onnx.load(path)
    external = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[1])
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda small, _: damaged(small()), "bad-model", "not a model that onnxruntime can run"),
        (lambda small, _: with_weights_outside(small()), "bad-model", "weights from other files"),
        (lambda small, _: small(entries={}), "not-our-model", "not a model that fusionlab has"),
        (lambda small, _: small(entries={KEY: "{}"}), "bad-model", "are damaged: "),
        (lambda small, _: small(output="other"), "bad-model", "returns other tensor.float., where"),
        (lambda small, _: small(sources=3), "bad-model", "not a model that onnxruntime can run"),
        (lambda _, folder: folder / "no.onnx", "missing-file", "no.onnx does not exist"),
        (lambda _, folder: folder, "not-a-regular-file", "folder|file"),
    ],
)
def test_what_is_no_model_is_refused_in_one_sentence(make, code, says, small, tmp_path):
    path = make(small, tmp_path)
    with pytest.raises(FusionlabError, match=says) as error:
        ExportedModel(path)
    assert error.value.code == code
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_models_cost_a_sentence(count, small, capfd):
    """Flipped bits and missing bytes, anywhere; some leave a model that can be run."""
    path = small()
    whole, codes = path.read_bytes(), set()
    for seed in range(count):
        rng = np.random.default_rng(seed)
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(content)))
            if rng.integers(2):
                content[place] ^= 1 << int(rng.integers(8))
            else:
                del content[place : place + int(rng.integers(1, 9))]
        path.write_bytes(content)
        try:
            ExportedModel(path, threads=1).fuse(GRAY)
        except FusionlabError as error:
            codes.add(error.code)
    assert codes >= {"bad-model"}
    assert codes <= {"bad-model", "not-our-model", "model-failed", "scale-syntax"}
    assert capfd.readouterr() == ("", "")


def test_texts_that_are_none_are_refused(small):
    path = small()
    path.write_bytes(path.read_bytes().replace(b"source_1", b"source\xff1"))
    with pytest.raises(FusionlabError, match="not a model that onnxruntime can run") as error:
        ExportedModel(path)
    assert error.value.code == "bad-model"


def test_without_onnxruntime_the_extra_is_named(small, monkeypatch):
    path = small()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FusionlabError, match=r"pip install 'fusionlab-imaging\[onnx\]'") as error:
        ExportedModel(path)
    assert error.value.code == "missing-package"


@pytest.fixture
def files(tmp_path, monkeypatch, small):
    """A model, two images, and two folders of two."""
    monkeypatch.chdir(tmp_path)
    small()
    for number, folder in enumerate(("ir", "vis")):
        Path(folder).mkdir()
        for name in ("1", "2"):
            iio.imwrite(f"{folder}/{name}.png", GRAY[number])
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, ["fuse", "--model", "mean.onnx", *words])


def test_files_and_folders_are_fused_without_torch(files):
    code = (
        "import sys\n"
        "from fusionlab.cli import main\n"
        "def fuse(*words):\n"
        "    main(['fuse', '--model', 'mean.onnx', *words], standalone_mode=False)\n"
        "fuse('ir/1.png', 'vis/1.png', '--record', '--scale', 'minmax')\n"
        "try: fuse('ir', 'vis', '-o', 'out')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'scipy', 'onnx'} & set(sys.modules), 'imported'"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["1.png", "2.png"]
    mean = np.floor((GRAY[0].astype(float) + GRAY[1]) / 2 + 0.5)
    assert np.abs(iio.imread("out/1.png") - mean).max() <= 1


def test_a_record_tells_the_model_and_explain_how_to_use_it_again(files):
    assert run("ir/1.png", "vis/1.png", "--record").exit_code == 0
    record = json.loads(Path("fused.png.json").read_text())
    assert record["model"]["name"] == "mean.onnx"
    assert len(record["model"]["sha256"]) == 64
    assert record["engine"] == "onnxruntime"
    assert {"onnxruntime", "numpy"} <= record["libraries"].keys()
    again = CliRunner().invoke(main, ["explain", "fused.png"]).stdout.splitlines()[-1]
    first = Path("fused.png").read_bytes()
    assert again.startswith("fusionlab fuse --model mean.onnx --range")
    result = CliRunner().invoke(main, [*again.split()[1:], "--overwrite"])
    assert result.exit_code == 0, result.output
    assert Path("fused.png").read_bytes() == first


def test_a_folder_run_resumes_while_the_model_is_the_same(files, small):
    def counts():
        result = run("ir", "vis", "-o", "out", "--resume", "--json")
        return {
            line["stem"]: line["status"]
            for line in map(json.loads, result.stdout.splitlines())
            if "stem" in line
        }

    assert counts() == {"1": "fused", "2": "fused"}
    assert counts() == {"1": "skipped", "2": "skipped"}
    small(method="other")
    assert counts() == {"1": "fused", "2": "fused"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--strategy", "mean"], "--strategy does not go with --model: the model decides it"),
        (["--engine", "eager"], "--engine does not go with --model"),
        (["--task", "auto"], "--task does not go with --model"),
        (["--save-weights", "w"], "--save-weights does not go with --model: a model returns no"),
        (["--nodata", "7"], "leaves out no pixels, and ir/1.png holds no data at"),
    ],
)
def test_options_that_a_model_leaves_nothing_to_are_refused(words, says, files):
    result = run("ir/1.png", "vis/1.png", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not Path("fused.png").exists()
