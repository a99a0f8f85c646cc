"""What the values of a source mean, as its file says: units and windows, at every entrance."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import Fusion, FusionlabError, LoadedImage, detect_task, load_plugins, score
from fusionlab.cli import main
from fusionlab.evaluation.methods import FusionMethod
from fusionlab.evaluation.sample import Sample
from fusionlab.runs.file_fusion import FileFusion

RNG = np.random.default_rng(0)
KELVIN = RNG.uniform(290, 320, (20, 30)).astype(np.float32)
GRAY = RNG.random((20, 30)).astype(np.float32)


def image(pixels, name="x", **meaning):
    return LoadedImage(name, pixels, name, **meaning)


THERMAL = image(KELVIN, "thermal", unit="K")
VISIBLE = image(GRAY, "visible")
SOURCES = [THERMAL, VISIBLE]


def fusion(*scale):
    return Fusion("identity", "mean", scale=scale)


def test_limits_in_another_unit_are_those_in_the_values_of_the_source():
    expected = fusion("293.15,313.15", "full")([KELVIN, GRAY])
    np.testing.assert_array_equal(fusion("20C,40C", "full")(SOURCES), expected)
    np.testing.assert_array_equal(fusion("68F,104F", "full")(iter(SOURCES)), expected)


def test_a_window_is_what_auto_takes_and_nothing_else():
    scan = image(KELVIN, "scan", window=(293.15, 313.15))
    expected = fusion("293.15,313.15", "auto")([KELVIN, GRAY])
    np.testing.assert_array_equal(fusion("auto")([scan, VISIBLE]), expected)
    minmax = fusion("minmax", "auto")([KELVIN, GRAY])
    np.testing.assert_array_equal(fusion("minmax", "auto")([scan, VISIBLE]), minmax)


def test_bits_that_a_file_states_are_what_auto_takes_and_nothing_else():
    counts = RNG.integers(0, 4096, (20, 30), dtype=np.uint16)
    camera = image(counts, "camera", bits=12)
    expected = fusion("0,4095", "auto")([counts, GRAY])
    np.testing.assert_array_equal(fusion("auto")([camera, VISIBLE]), expected)
    full = fusion("full", "auto")([counts, GRAY])
    np.testing.assert_array_equal(fusion("full")([camera, VISIBLE]), full)


def test_a_source_without_a_unit_refuses_limits_that_have_one():
    for sources, name in (([KELVIN, GRAY], "source 1"), ([VISIBLE, VISIBLE], "visible")):
        with pytest.raises(FusionlabError, match=f"the values of {name} have no unit") as error:
            fusion("20C,40C", "full")(sources)
        assert error.value.code == "scale-unit"


def test_detection_and_scores_take_units_too():
    plain = [KELVIN, GRAY]
    assert detect_task(SOURCES, scale=["20C,40C", "full"]) == detect_task(
        plain, scale=["293.15,313.15", "full"]
    )
    scores = [
        score(GRAY, sources, metrics=["SSIM"], scale=scale)
        for sources, scale in (
            (SOURCES, ["20C,40C", "full"]),
            (plain, ["293.15,313.15", "full"]),
        )
    ]
    assert scores[0] == scores[1]


def test_a_row_of_an_evaluation_is_what_the_fusion_gives():
    method = FusionMethod("mean", fusion("20C,40C", "full"), load_plugins())
    found = method.result(Sample.from_images("x", SOURCES), None).pixels
    np.testing.assert_array_equal(found, fusion("293.15,313.15", "full")([KELVIN, GRAY]))


def test_images_of_a_batch_share_units_and_windows(tmp_path):
    files = FileFusion(fusion("20C,40C", "full"), load_plugins())
    celsius = image(KELVIN - np.float32(273.15), "thermal", unit="C")
    assert files.fit_together(SOURCES, SOURCES)
    assert not files.fit_together(SOURCES, [celsius, VISIBLE])
    assert not files.fit_together(SOURCES, [VISIBLE, VISIBLE])
    places = [files.plan(tmp_path / f"{n}.tif", []) for n in range(2)]
    batch = files.fuse_batch([SOURCES, SOURCES], places)
    alone = files.fuse(SOURCES, places[0])
    for product in batch:
        np.testing.assert_array_equal(product.fused.image, alone.fused.image)


def test_a_record_has_the_unit_and_nothing_of_the_patient(
    only_what_ships, install, tmp_path, monkeypatch
):
    plugin = Path(__file__).parents[1] / "plugins" / "fusionlab-dicom"
    make = runpy.run_path(plugin / "tests" / "make_files.py")
    install("lab-dicom", "", entries="dicom = fusionlab_dicom")
    monkeypatch.chdir(tmp_path)
    Path("ct.dcm").write_bytes(make["ct"]())
    Path("mr.dcm").write_bytes(make["mr"]())
    command = "fuse --backbone identity ct.dcm mr.dcm -o x.tif --record --scale -160HU,240HU"
    done = CliRunner().invoke(main, [*command.split(), "--scale", "auto"])
    assert done.exit_code == 0, done.output
    explained = CliRunner().invoke(main, ["explain", "x.tif"])
    assert "--scale -160HU,240HU --scale auto" in explained.output
    patient = make["PATIENT"].partition("^")[0]
    assert patient.encode() in Path("ct.dcm").read_bytes()
    outputs = [done.output, explained.output, *(p.read_bytes() for p in tmp_path.glob("x.*"))]
    assert len(outputs) == 4
    for output in outputs:
        assert patient not in (output if isinstance(output, str) else output.decode("latin-1"))
