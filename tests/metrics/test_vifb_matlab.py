"""The convention `vifb` against values that the authors of VIFB computed in MATLAB.

Color is judged as VIFB does, by `score_color="per-channel"`: each channel of the fused and the
visible image against the gray infrared one, and the mean of the three values. Its SF alone takes
the channels for one image, three times as wide, and counts two seams as edges.

There are no exceptions. Two causes of them were to be expected. JPEG decoders may differ by a gray
level, but the ten digits of Octave, counts of levels among them, leave no room for a single pixel.
Conversions to gray differ by rounding, but VIFB never converts: it goes channel by channel.
"""

import csv
import math
import shutil
from pathlib import Path

import pytest

import fusionlab

FOLDER = Path(__file__).parents[3] / "shared" / "oracle" / "metrics" / "vifb_matlab"

TRIPLES = (
    "carWhite_MGFF",
    "labMan_GTF",
    "manWalking_CBF",
    "manWalking_CNN",
    "manWalking_DLF",
    "walking2_MSVD",
)
"""pair_method: the fused images that come with the values."""

METRICS = {
    "Avg_gradient": "AG@vifb",
    "Cross_entropy": "CE@vifb",
    "Edge_intensity": "EI@vifb",
    "Entropy": "EN@vifb",
    "Mutinf": "MI@vifb",
    "Psnr": "PSNR@vifb",
    "Qabf": "Qabf@vifb",
    "Qcb": "Q_CB@vifb",
    "Qcv": "Q_CV@vifb",
    "Rmse": "RMSE@vifb",
    "Spatial_frequency": "SF@vifb",
    "Ssim": "SSIM@vifb",
    "Variance": "SD@vifb",
}
"""Name of a metric in VIFB -> ours."""

RELATIVE = 1e-9
"""Relative tolerance of values with ten digits: half of the last one, and summation order."""


def judge(triple, column):
    """Return the value of VIFB's convention, as a user gets it."""
    pair, _, _ = triple.partition("_")
    fused, *sources = (FOLDER / f"{name}.jpg" for name in (triple, f"{pair}_VI", f"{pair}_IR"))
    (value,) = fusionlab.score(fused, sources, METRICS[column], score_color="per-channel").values()
    return value


def last_digit(value):
    """Return the unit of the last of five digits."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 4)


@pytest.mark.parametrize("column", METRICS)
@pytest.mark.parametrize("triple", TRIPLES)
def test_the_values_published_by_vifb_are_reproduced_to_the_last_digit(triple, column, shared):
    with (FOLDER / "vifb_matlab_values.csv").open(newline="") as file:
        (published,) = (
            float(row["value_matlab_5digits"])
            for row in csv.DictReader(file)
            if (f"{row['pair']}_{row['method']}", row["metric"]) == (triple, column)
        )
    # half of the last digit, plus the rounding of the comparison itself
    tolerance = 0.5 * last_digit(published) * (1 + 1e-9)
    assert judge(triple, column) == pytest.approx(published, rel=0, abs=tolerance)


@pytest.mark.parametrize("column", METRICS)
def test_octave_agrees_to_ten_digits(column, shared):
    with (FOLDER / "vifb_octave_10digits_3triples.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == column]
    assert len(rows) == 3
    for row in rows:
        value = judge(row["fused"].removesuffix(".jpg"), column)
        assert value == pytest.approx(float(row["value"]), rel=RELATIVE), row["fused"]


def test_every_metric_of_vifb_is_covered(shared):
    with (FOLDER / "vifb_matlab_values.csv").open(newline="") as file:
        assert {row["metric"] for row in csv.DictReader(file)} == METRICS.keys()
    assert {path.stem for path in FOLDER.glob("*.jpg")} >= set(TRIPLES)


def test_a_table_of_vifb_is_one_evaluation(tmp_path, shared):
    """Images of three methods, with the infrared images in gray and in three channels."""
    methods = {"manWalking": "DLF", "walking2": "MSVD", "labMan": "GTF"}
    for pair, method in methods.items():
        for folder, name in (("vi", f"{pair}_VI"), ("ir", f"{pair}_IR"), ("x", f"{pair}_{method}")):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copyfile(FOLDER / f"{name}.jpg", tmp_path / folder / f"{pair}.jpg")
    report = fusionlab.evaluate(
        [tmp_path / "vi", tmp_path / "ir"],
        {"x": tmp_path / "x"},
        ["EN@vifb", "SF@vifb", "SSIM@vifb"],
        score_color="per-channel",
    )
    for pair, method in methods.items():
        expected = [
            judge(f"{pair}_{method}", name) for name in ("Entropy", "Spatial_frequency", "Ssim")
        ]
        assert list(report.values["x"][pair].values()) == expected
