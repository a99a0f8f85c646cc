"""`fusionlab register`: one image on the grid of another, with its transform and an overlay."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.registration.files import read_transforms

CODE = """
import numpy as np
from fusionlab import Estimate, RegistrationRef, hookimpl

@hookimpl
def fusionlab_registrations():
    return [RegistrationRef(n, f"{__name__}:{n}", "Odd.") for n in ("shift", "refuse")]

def shift(moving, fixed, *, model, **masks):
    return Estimate(np.array([[1, 0, 3], [0, 1, 2], [0, 0, 1.0]]), 0.9, evidence={"peak": 2.5})

def refuse(moving, fixed, *, model, **masks):
    return Estimate(None, 0.1, "insufficient_structure", "3 corners were found")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, install):
    install("lab-register", CODE)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for number, name in enumerate(("a", "b")):
        pixels = np.random.default_rng(number).integers(0, 65536, (20, 30), np.uint16)
        tifffile.imwrite(f"{name}.tif", pixels)
    return work


def run(*args, method="lab-register:shift"):
    return CliRunner().invoke(main, ["register", "--method", method, *map(str, args)])


def test_an_image_is_moved_at_its_own_depth_and_is_no_data_where_it_does_not_reach(folder):
    result = run("a.tif", "b.tif", "-o", "moved.tif")
    assert result.exit_code == 0, result.output
    assert "moved by 3.0, 2.0 pixels" in result.stdout
    assert "81.0% of 30x20" in result.stdout
    moved = tifffile.imread("moved.tif")
    assert (moved.dtype, moved.shape) == (np.uint16, (20, 30, 2))
    assert (moved[:18, :27, 0] == tifffile.imread("a.tif")[2:, 3:]).all()
    assert (moved[..., 1] == 65535).sum() == 18 * 27
    assert (moved[18:, :, 1] == 0).all()


def test_json_the_transform_and_a_picture(folder):
    args = ["a.tif", "b.tif", "--transform", "camera.json", "--show", "show.png", "--json"]
    result = run(*args)
    facts = json.loads(result.stdout)
    assert facts["matrix"] == [[1, 0, 3], [0, 1, 2], [0, 0, 1]]
    assert facts["covered"] == pytest.approx(0.81)
    assert facts["evidence"] == {"peak": 2.5}
    assert facts["output"] == "registered.png"
    moving, reference = read_transforms(Path("camera.json"))
    assert reference is None
    assert moving.to_json()["matrix"] == facts["matrix"]
    assert json.loads(Path("camera.json").read_text())["confidence"] == 0.9
    picture = iio.imread("show.png")
    assert picture.ndim == 3
    assert picture.shape[1] > 2 * 30
    again = run(*args)
    assert again.exit_code == 2
    assert "already exists" in again.stderr
    assert run(*args, "--overwrite").exit_code == 0


def test_a_refusal_writes_nothing(folder):
    result = run(
        "a.tif",
        "b.tif",
        "--show",
        "show.png",
        "--transform",
        "t.json",
        method="lab-register:refuse",
    )
    assert result.exit_code == 2
    assert "a.tif cannot be registered to b.tif: there is too little structure" in result.stderr
    assert "3 corners were found" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.tif", "b.tif"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.tif", "gone.tif"], "gone.tif does not exist"),
        (["a.tif", "b.tif", "-o", "a.tif", "--overwrite"], "a.tif is a source"),
        (["a.tif", "b.tif", "-o", "x.png", "--show", "x.png"], "two files would be written to x"),
        (["a.tif", "b.tif", "-o", "x.xyz"], "must end in one of .png"),
        (["a.tif", "b.tif", "--show", "x.xyz"], "must end in one of .png"),
        (["a.tif", "b.tif", "--model", "rigid"], "'rigid' is not one of"),
        (["a.tif", "b.tif", "--method", "other"], "no registration method 'other'"),
        (["a.tif", "b.tif", "--max-pixels", "599"], "claims 30x20 pixels"),
    ],
)
def test_a_mistake_costs_one_sentence(folder, args, message):
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sorted(path.name for path in folder.iterdir()) == ["a.tif", "b.tif"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[]", "must hold"),
        (b'{"sources": [null, null]}', "must hold"),
        (b'{"sources": [null]}', "must hold"),
        (b'{"sources": [null, {"matrix": "affine"}]}', "a transform is"),
        (b" " * 2**21, "more than"),
    ],
)
def test_a_file_of_transforms_is_checked(tmp_path, content, message):
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_transforms(tmp_path / "t.json")
    assert caught.value.code == "bad-transform"
    assert "t.json" in str(caught.value)
