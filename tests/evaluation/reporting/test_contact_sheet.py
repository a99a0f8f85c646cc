"""Contact sheets: every image is where it belongs, and what is missing says so."""

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.reporting.contact_sheet import GAP, LINE, contact_sheet

GRAY = {"a": 40, "b": 90, "c": 140, "result": 200}


@pytest.fixture
def image_set(tmp_path):
    """Two samples of uniform images: one with two sources, one with three."""
    for folder, stems in {"a": "xy", "b": "xy", "c": "y"}.items():
        (tmp_path / "set" / folder).mkdir(parents=True)
        for stem in stems:
            pixels = np.full((20, 30), GRAY[folder], dtype=np.uint8)
            iio.imwrite(tmp_path / "set" / folder / f"{stem}.png", pixels)
    (tmp_path / "results").mkdir()
    iio.imwrite(tmp_path / "results" / "y.png", np.full((20, 30), GRAY["result"], np.uint8))
    return tmp_path / "set"


def boxes(sheet, cell, size=(20, 30)):
    """Return the cells of the sheet of two samples, by row and column."""
    height, width = size
    tops = [GAP + 2 * LINE, GAP + 2 * LINE + height + GAP + LINE]
    lefts = [GAP + n * (cell + GAP) for n in range((sheet.shape[1] - GAP) // (cell + GAP))]
    return [[sheet[top : top + height, left : left + width] for left in lefts] for top in tops]


def test_sources_and_results_stand_side_by_side(image_set, tmp_path):
    sheet = contact_sheet(image_set, {"Ours": tmp_path / "results"}, cell=30)
    assert sheet.dtype == np.uint8
    (x_a, x_b, x_c, x_ours), (y_a, y_b, y_c, y_ours) = boxes(sheet, 30)
    for box, name in [
        (x_a, "a"),
        (x_b, "b"),
        (y_a, "a"),
        (y_b, "b"),
        (y_c, "c"),
        (y_ours, "result"),
    ]:
        assert (box == GRAY[name]).all()
    for empty in (x_c, x_ours):
        assert (empty == 220).mean() > 0.5  # background
        assert (empty != 220).any()  # "none"
        assert empty.std() > 5


def test_large_images_are_made_smaller_and_small_ones_are_not_enlarged(tmp_path):
    for folder, shape in {"a": (100, 200), "b": (10, 12)}.items():
        (tmp_path / folder).mkdir()
        iio.imwrite(tmp_path / folder / "x.png", np.full(shape, 77, dtype=np.uint8))
    sheet = contact_sheet([tmp_path / "a", tmp_path / "b"], cell=50)
    assert sheet.shape == (GAP + LINE + LINE + 25 + GAP, GAP + 2 * (50 + GAP), 3)
    assert (sheet == 77).all(axis=2).sum() == 25 * 50 + 10 * 12


def test_color_stays_and_the_scale_is_that_of_the_sources(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    color = np.zeros((8, 20, 3), np.uint8)
    color[..., 0] = 250
    iio.imwrite(tmp_path / "a" / "x.png", color)
    counts = np.full((8, 20), 30_000, np.uint16)
    counts[:, :10] = 30_100
    iio.imwrite(tmp_path / "b" / "x.tif", counts)
    sheet = contact_sheet([tmp_path / "a", tmp_path / "b"], cell=20, scale=["full", "30000,30200"])
    top, left = GAP + 2 * LINE, GAP
    assert (sheet[top : top + 8, left : left + 20] == (250, 0, 0)).all()
    second = sheet[top : top + 8, left + 20 + GAP : left + 40 + GAP]
    assert (second[:, :10] == 128).all()
    assert (second[:, 10:] == 0).all()


@pytest.mark.parametrize(
    ("options", "stems"), [({}, 2), ({"limit": 1}, 1), ({"samples": ["y"]}, 1), ({"limit": 9}, 2)]
)
def test_a_part_of_the_samples_can_be_shown(options, stems, image_set):
    done = []
    sheet = contact_sheet(
        image_set, cell=30, progress=lambda n, of: done.append((n, of)), **options
    )
    assert sheet.shape[0] == GAP + LINE + stems * (LINE + 20 + GAP)
    assert done == [(n + 1, stems) for n in range(stems)]


def test_a_damaged_image_costs_its_cell_only(image_set, tmp_path):
    (image_set / "a" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (_, x_b, *_), (y_a, *_) = boxes(contact_sheet(image_set, cell=30), 30)
    assert (x_b == GRAY["b"]).all()
    assert (y_a == GRAY["a"]).all()


@pytest.mark.parametrize(
    ("options", "code", "option"),
    [
        ({"samples": ["z"]}, "no-sample", "samples"),
        ({"cell": 8}, "out-of-bounds", "cell"),
        ({"limit": 0}, "out-of-bounds", "limit"),
        ({"fused": {"Ours": "nowhere"}}, "no-folder", ""),
    ],
)
def test_refusals_say_which_argument_is_wrong(options, code, option, image_set):
    with pytest.raises(FusionlabError) as refused:
        contact_sheet(image_set, **options)
    assert (refused.value.code, refused.value.option) == (code, option)


def test_a_sheet_that_no_viewer_opens_is_refused(image_set, monkeypatch):
    monkeypatch.setattr("fusionlab.evaluation.reporting.contact_sheet.MAX_SHEET_PIXELS", 10_000)
    with pytest.raises(FusionlabError) as refused:
        contact_sheet(image_set)
    assert refused.value.code == "too-large"


def test_the_command_draws_the_images_of_an_evaluation(image_set, tmp_path):
    def run(*args):
        return CliRunner().invoke(main, [*map(str, args)])

    out, file = tmp_path / "out", tmp_path / "sheet.png"
    method = "--method", "identity/mean", "--metrics", "SD"
    assert run("evaluate", image_set, *method, "-o", out, "--save-images").exit_code == 0
    args = "sheet", image_set, "--evaluation", out, "--fused", f"Ours={tmp_path}/results"
    result = run(*args, "-o", file, "--cell", 30)
    assert result.exit_code == 0, result.output
    assert "identity/mean" in result.output
    assert iio.imread(file).shape[1] == GAP + 5 * (30 + GAP)
    again = run(*args, "-o", file)
    assert again.exit_code == 2
    assert "already exists" in again.output
    assert run(*args, "-o", file, "--overwrite").exit_code == 0
