"""`save_images`: the images of an evaluation are exactly those that were scored."""

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab import Fusion, FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.gray_levels import to_gray
from fusionlab.evaluation.saved_images import JOURNAL, row_folder, saved_rows


@pytest.fixture(autouse=True)
def _metrics(metrics):
    """All tests here may use the metrics that are easy to work out."""


def evaluate(image_set, output, methods="identity/mean", **options):
    return fusionlab.evaluate(
        image_set, methods, "brightness", output=output, save_images=True, **options
    )


def files(output):
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("images/**/*.[pt]*"))


def test_every_row_and_sample_has_the_image_that_was_scored(image_set, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for stem in ("one", "two", "three"):
        iio.imwrite(theirs / f"{stem}.bmp", np.full((24, 30, 3), (10, 60, 200), dtype=np.uint8))
    output = tmp_path / "out"
    report = evaluate(image_set, output, ["identity/mean", {"Theirs": theirs}])
    assert set(saved_rows(output)) == {"identity/mean", "Theirs"}
    for label, folder in saved_rows(output).items():
        for stem in ("one", "two", "three"):
            image = iio.imread(folder / f"{stem}.png")
            assert image.shape[2:] == ((3,) if label == "Theirs" else ())  # files stay as they are
            luminance = to_gray(image).mean()
            assert luminance == pytest.approx(report.values[label][stem]["brightness"])


def test_float_images_are_kept_as_floats(image_set, tmp_path):
    for path in image_set.rglob("*.png"):
        iio.imwrite(path.with_suffix(".tif"), iio.imread(path).astype(np.float32) / 255)
        path.unlink()
    report = evaluate(image_set, tmp_path / "out")
    image = iio.imread(tmp_path / "out/images/identity/mean/one.tif")
    assert image.dtype == np.float32
    expected = report.values["identity/mean"]["one"]["brightness"]
    assert 255 * image.mean() == pytest.approx(expected, rel=1e-6)


def test_a_resumed_run_makes_only_what_is_missing_or_was_made_otherwise(
    image_set, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    evaluate(image_set, output, range_policy="minmax")
    (output / "images/identity/mean/two.png").unlink()
    before = {name: (output / name).stat().st_mtime_ns for name in files(output)}
    report = evaluate(image_set, output, range_policy="minmax", resume=True)
    after = {name: (output / name).stat().st_mtime_ns for name in files(output)}
    assert set(after) - set(before) == {"images/identity/mean/two.png"}
    assert before.items() <= after.items()

    clipped = evaluate(image_set, output, range_policy="clip", resume=True)
    image = iio.imread(output / "images/identity/mean/one.png")
    assert image.mean() == pytest.approx(clipped.values["identity/mean"]["one"]["brightness"])
    # the scores of the first settings are known, but not their images
    again = evaluate(image_set, output, range_policy="minmax", resume=True)
    assert again.values == report.values
    image = iio.imread(output / "images/identity/mean/one.png")
    assert image.mean() == pytest.approx(report.values["identity/mean"]["one"]["brightness"])


def test_a_run_that_replaces_another_leaves_none_of_its_images(image_set, tmp_path):
    output = tmp_path / "out"
    evaluate(image_set, output, "identity/max")
    assert len(files(output)) == 3
    fusionlab.evaluate(image_set, "identity/mean", "brightness", output=output, overwrite=True)
    assert files(output) == []
    with pytest.raises(FusionlabError) as refused:
        saved_rows(output)
    assert refused.value.code == "no-images"


def test_images_need_a_folder(image_set):
    with pytest.raises(FusionlabError) as refused:
        evaluate(image_set, None)
    assert (refused.value.code, refused.value.option) == ("no-output", "output")


@pytest.mark.parametrize(
    "label", ["a/b,c=1", "../up", "a//b", "/root", ".hidden", 'q:"?*|\\', "ü %2F"]
)
def test_any_label_is_a_folder_inside_and_can_be_read_back(label, tmp_path, image_set):
    method = Fusion("identity", "mean")
    evaluate(image_set, tmp_path, {label: method})
    folder = row_folder(tmp_path, label)
    assert folder.resolve().is_relative_to((tmp_path / "images").resolve())
    assert not set('<>:"\\|?*') & set(folder.relative_to(tmp_path).as_posix())
    assert list(saved_rows(tmp_path)) == [label]


def test_an_image_that_cannot_be_written_is_said_and_costs_no_score(image_set, tmp_path):
    (tmp_path / "images").write_text("a file where the folder should be")
    report = evaluate(image_set, tmp_path)
    assert "images" in report.unsaved
    assert len(report.values["identity/mean"]) == 3


@pytest.mark.parametrize("option", ["--save-images", "--save-pictures"])
def test_the_command_keeps_images(option, image_set, tmp_path):
    output = tmp_path / "out"
    args = ["evaluate", str(image_set), "--method", "identity/mean", "--metrics", "brightness"]
    result = CliRunner().invoke(main, [*args, "-o", str(output), option])
    assert result.exit_code == 0, result.output
    assert len(files(output)) == 3
    assert (output / JOURNAL).is_file()
