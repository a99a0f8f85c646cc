"""Contact sheets of sequences: evenly spaced frames, one scale for all of them."""

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.reporting.contact_sheet import GAP, LINE

LEVELS = {"a": 40, "b": 90, "result": 200}


@pytest.fixture
def folders(tmp_path):
    """Write 5 frames of each, 8 to 12, of a gray level that grows by one from frame to frame."""
    for name, level in LEVELS.items():
        (tmp_path / name).mkdir()
        for number in range(5):
            image = np.full((20, 30), level + number, np.uint8)
            iio.imwrite(tmp_path / name / f"{number + 8}.png", image)
    return tmp_path


def cells(sheet, rows, columns):
    """Return the gray levels of the cells, by row and column."""
    tops = [GAP + LINE + row * (LINE + 20 + GAP) + LINE for row in range(rows)]
    lefts = [GAP + column * (30 + GAP) for column in range(columns)]
    return [[{*sheet[y : y + 20, x : x + 30].ravel().tolist()} for x in lefts] for y in tops]


def test_frames_from_the_beginning_to_the_end_are_shown(folders):
    sources = [folders / "a", folders / "b"]
    for sync in ("name", "frame"):
        sheet = fusionlab.sequence_sheet(
            sources, {"Ours": folders / "result"}, limit=2, cell=30, sync=sync
        )
        assert sheet.shape == (GAP + LINE + 2 * (LINE + 20 + GAP), GAP + 3 * (30 + GAP), 3)
        assert cells(sheet, 2, 3) == [[{41}, {91}, {201}], [{43}, {93}, {203}]]
    assert fusionlab.sequence_sheet(sources, cell=30).shape[0] == GAP + LINE + 5 * (LINE + 26)


def test_measured_limits_are_those_of_the_first_frame_shown(folders):
    for number in range(5):
        image = np.full((20, 30), 1000 + 10 * number, np.uint16)
        image[0, :2] = 900, 1200
        iio.imwrite(folders / "a" / f"{number + 8}.png", image)
    sources = [folders / "a", folders / "b"]
    sheet = fusionlab.sequence_sheet(sources, limit=2, cell=30, scale=["minmax", "full"])
    levels = [max(row[0] - {255}) for row in cells(sheet, 2, 1)]
    assert levels == [94, 111]  # 110 and 130 of 300, of 255, rounded half up


def test_a_frame_that_is_missing_says_so(folders):
    (folders / "b" / "9.png").write_bytes(b"damaged")
    sheet = fusionlab.sequence_sheet([folders / "a", folders / "b"], limit=2, cell=30)
    (problem, nothing), (first, second) = cells(sheet, 2, 2)
    assert (first, second) == ({43}, {93})
    assert len(problem) > 1  # text
    assert nothing == {220}  # background


def test_the_command_draws_sequences(folders):
    def run(*args):
        given = ["--sequence", str(folders / "a"), str(folders / "b"), "-o", str(folders / "x.png")]
        return CliRunner().invoke(main, ["sheet", *given, "--cell", "30", *args])

    result = run("--fused", f"Ours={folders / 'result'}", "--limit", "1")
    assert result.exit_code == 0, result.output
    assert cells(iio.imread(folders / "x.png"), 1, 3) == [[{42}, {92}, {202}]]
    for args, message in [
        (["--sample", "9"], "--sample is for image sets, not for sequences"),
        (["--fused", "x"], "--fused must be NAME=PATH, got 'x'"),
    ]:
        refused = run("--overwrite", *args)
        assert refused.exit_code == 2
        assert message in refused.stderr


def test_a_sheet_without_frames_or_with_cells_of_no_size_is_refused(folders):
    for options in ({"limit": 0}, {"cell": 15}):
        with pytest.raises(FusionlabError) as refused:
            fusionlab.sequence_sheet([folders / "a", folders / "b"], **options)
        assert refused.value.code == "out-of-bounds"
        assert refused.value.option in options
