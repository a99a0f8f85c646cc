"""What a model says about itself is read only if it is what fusionlab writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fusionlab import FusionlabError
from fusionlab.exported.metadata import KEY, ModelMetadata

PATH = Path("model.onnx")
METADATA = ModelMetadata(
    format=1,
    method="densefuse@1e2/l1norm,r=1,border=inside",
    backbone="densefuse",
    weights={"tag": "1e2", "sha256": "0" * 64, "license": "CC0-1.0"},
    strategy="l1norm",
    parameters={"r": "1", "border": "inside"},
    networks=None,
    sources=2,
    roles=(),
    range="clip",
    saves="minmax",
    scale=("auto",),
    color="auto",
    shared_weights=True,
    looks_at_color=False,
    depths=None,
    size=None,
    smallest=1,
    size_divisor=1,
    halos=(4, 1, 4),
    difference=1e-6,
    differing=0.0,
    checked=((1, 1), (64, 47)),
    opset=18,
    plugins={"fusionlab-imaging": "0.1.0"},
    libraries={"fusionlab-imaging": "0.1.0"},
)


def read(**changed):
    facts = json.loads(METADATA.to_json()) | changed
    return ModelMetadata.read({KEY: json.dumps(facts)}, PATH)


def test_metadata_are_read_as_they_were_written():
    assert ModelMetadata.read({KEY: METADATA.to_json()}, PATH) == METADATA


def test_fields_of_later_versions_of_the_format_are_skipped():
    assert read(added_later=5) == METADATA


def test_the_names_of_inputs_and_output_say_whether_scale_and_range_are_in_the_graph():
    assert (METADATA.inputs, METADATA.output) == (["source_1", "source_2"], "fused")
    inside = read(depths=[16, 8])
    assert (inside.inputs, inside.output) == (["image_1", "image_2"], "fused_image")


def test_the_halo_is_the_sum_of_those_of_the_stages():
    assert METADATA.halo == 9
    assert read(halos=None).halo is None


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"sources": 0},
        {"sources": "2"},
        {"weights": {"tag": "1e2"}},
        {"range": "own"},
        {"color": "luminance"},
        {"depths": [8]},
        {"depths": []},
        {"depths": [8, 12]},
        {"roles": [1]},
        {"scale": []},
        {"size": [0, 5]},
        {"size": [5]},
        {"size_divisor": 0},
        {"halos": [4, 1]},
        {"halos": [4, -1, 4]},
        {"size_divisor": 8},
        {"difference": float("nan")},
        {"checked": [[1]]},
    ],
)
def test_damaged_metadata_are_refused(changed):
    with pytest.raises(FusionlabError) as caught:
        read(**changed)
    assert (caught.value.code, caught.value.path) == ("bad-model", PATH)
    assert "damaged" in str(caught.value)


@pytest.mark.parametrize("field", json.loads(METADATA.to_json()))
def test_no_field_may_be_missing(field):
    facts = json.loads(METADATA.to_json())
    del facts[field]
    with pytest.raises(FusionlabError, match=field) as caught:
        ModelMetadata.read({KEY: json.dumps(facts)}, PATH)
    assert caught.value.code == "bad-model"


def test_a_model_of_a_later_version_says_which():
    with pytest.raises(FusionlabError, match=r"newer.*update") as caught:
        read(format=2, libraries={"fusionlab-imaging": "99.0"})
    assert caught.value.code == "bad-model"


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_other_text_is_refused(text):
    with pytest.raises(FusionlabError) as caught:
        ModelMetadata.read({KEY: text}, PATH)
    assert caught.value.code == "bad-model"


def test_models_of_other_programs_are_told_apart():
    with pytest.raises(FusionlabError) as caught:
        ModelMetadata.read({"author": "another program"}, PATH)
    assert caught.value.code == "not-our-model"


def test_metadata_are_read_without_torch_and_numpy():
    code = (
        "import sys, fusionlab.exported.metadata\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
