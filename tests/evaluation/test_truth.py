"""Metrics against true images: values, samples without truth, and what a resumed run reuses."""

import json
import math

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.metrics
import torch

import fusionlab
from fusionlab import FusionlabError
from fusionlab.evaluation.score_journal import NAME
from fusionlab.metrics import ssim

METHODS = ["identity/mean", "identity/max"]
COLUMNS = ["PSNR_truth", "SSIM_truth"]


@pytest.fixture
def truth(image_set):
    """A true image for each sample: one in color, one in another format."""
    folder = image_set / "truth"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, shape in (("one.png", (24, 30)), ("two.tif", (24, 30)), ("three.png", (24, 30, 3))):
        iio.imwrite(folder / name, rng.integers(0, 256, shape, dtype=np.uint8))
    return folder


def evaluate(image_set, truth, **more):
    return fusionlab.evaluate(image_set, METHODS, "EN", truth=truth, range_policy="clip", **more)


def test_results_are_compared_with_the_true_image_alone(image_set, truth):
    report = evaluate(image_set, truth)
    assert not report.problems
    values = report.values["identity/max"]["two"]
    assert list(values) == ["EN", *COLUMNS]
    maximum = np.maximum(*(iio.imread(image_set / letter / "two.png") for letter in "ab"))
    true = iio.imread(truth / "two.tif")
    psnr = skimage.metrics.peak_signal_noise_ratio(true, maximum)
    assert values["PSNR_truth"] == pytest.approx(psnr, rel=1e-12)
    fused, expected = (torch.from_numpy(image)[None] for image in (maximum, true))
    assert values["SSIM_truth"] == ssim(fused, expected[None]).item()
    assert math.isfinite(report.values["identity/max"]["three"]["SSIM_truth"])  # its luminance


def test_the_columns_are_compared_and_ranked_as_others_are(image_set, truth):
    report = evaluate(image_set, truth, against="identity/mean")
    assert [metric.name for metric in report.scores.metrics] == ["EN", *COLUMNS]
    assert {comparison.metric for comparison in report.comparisons} == {"EN", *COLUMNS}
    assert np.isfinite(report.scores.ranks()).all()
    assert report.settings["truth"] == str(truth / "{}.*")


def test_a_perfect_result_has_the_largest_values(image_set, truth, tmp_path):
    report = fusionlab.evaluate(image_set, {"True": truth}, "EN", truth=truth)
    for values in report.values["True"].values():
        assert values["PSNR_truth"] == math.inf
        assert values["SSIM_truth"] == pytest.approx(1, rel=1e-12)


def test_a_sample_without_a_usable_truth_has_no_value_and_the_reason_is_given(image_set, truth):
    (truth / "one.png").unlink()
    iio.imwrite(truth / "two.tif", np.zeros((9, 9), np.uint8))
    report = evaluate(image_set, truth)
    one, two = report.problems
    assert one.startswith("one has no true image: ")
    assert one.endswith(f"there is no {truth / 'one.*'}")
    assert two.startswith("two has no true image: ")
    assert "9x9 pixels, the sources 30x24" in two
    for method in METHODS:
        assert all(math.isfinite(values["EN"]) for values in report.values[method].values())
        without = [
            name for name, values in report.values[method].items() if math.isnan(values[COLUMNS[0]])
        ]
        assert without == ["one", "two"]
    assert report.scores.counts == [3, 1, 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [("one.jpg", None), ("one.png", b"\x89PNG\r\n\x1a\n")],
    ids=["two-files", "damaged"],
)
def test_a_truth_that_is_ambiguous_or_damaged_is_missing(image_set, truth, name, content):
    (truth / name).write_bytes(content or (truth / "one.png").read_bytes())
    report = evaluate(image_set, truth)
    (problem,) = report.problems
    assert problem.startswith("one has no true image: ")
    assert report.scores.counts == [3, 2, 2]


@pytest.mark.parametrize(("folder", "code"), [("nowhere", "no-folder"), ("empty", "no-truth")])
def test_a_folder_without_any_truth_is_refused(image_set, tmp_path, folder, code):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionlabError) as refused:
        evaluate(image_set, tmp_path / folder)
    assert refused.value.code == code


def test_names_may_hold_more_than_the_stem(image_set, truth):
    expected = evaluate(image_set, truth).values
    for path in list(truth.iterdir()):
        path.rename(path.with_stem(f"{path.stem}_gt"))
    assert evaluate(image_set, truth / "{}_gt").values == expected


# ------------------------------------------------------------------ resumed runs
def scored_lines(folder):
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_truth_added_to_a_run_keeps_its_other_values(image_set, truth, tmp_path):
    output = tmp_path / "out"
    fresh = evaluate(image_set, truth).values
    evaluate(image_set, None, output=output)
    count = len(scored_lines(output))
    resumed = evaluate(image_set, truth, output=output, resume=True)
    assert resumed.values == fresh
    again = evaluate(image_set, truth, output=output, resume=True)
    assert again.values == fresh
    assert all(row.reused for row in again.rows)
    assert len(scored_lines(output)) == 2 * count


def test_another_true_image_is_compared_anew_and_a_removed_one_is_forgotten(
    image_set, truth, tmp_path
):
    output = tmp_path / "out"
    first = evaluate(image_set, truth, output=output).values["identity/mean"]
    iio.imwrite(truth / "one.png", np.zeros((24, 30), np.uint8))
    report = evaluate(image_set, truth, output=output, resume=True)
    values = report.values["identity/mean"]
    assert {row.sample for row in report.rows if not row.reused} == {"one"}
    assert values["one"]["PSNR_truth"] < first["one"]["PSNR_truth"]
    assert values["one"]["EN"] == first["one"]["EN"]
    assert values["two"] == first["two"]
    (truth / "one.png").unlink()
    report = evaluate(image_set, truth, output=output, resume=True)
    assert math.isnan(report.values["identity/mean"]["one"]["PSNR_truth"])
    assert all(row.reused for row in report.rows)  # nothing had to be fused again
    assert report.problems
    assert math.isfinite(evaluate(image_set, truth).values["identity/mean"]["two"]["PSNR_truth"])
