"""The convention `vifb` against values that the authors of VIFB computed in MATLAB.

Color is judged as VIFB does: each channel of the fused and the visible image against the gray
infrared one, and the mean of the three values; for SF, see `images`.

There are no exceptions. Two causes of them were to be expected. JPEG decoders may differ by a gray
level, but the ten digits of Octave, counts of levels among them, leave no room for a single pixel.
Conversions to gray differ by rounding, but VIFB never converts: it goes channel by channel.
"""

import csv
import math
from functools import cache
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch

from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.host import installed

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


def channels(name):
    """Return the channels `(3, H, W)` of an image; those of a gray one are equal."""
    image = torch.from_numpy(iio.imread(FOLDER / f"{name}.jpg"))
    return image.expand(3, *image.shape) if image.ndim == 2 else image.movedim(-1, 0)


def images(triple, column):
    """Return the images as VIFB passes them to a metric: fused `(N, H, W)`, sources `(2, N, H, W)`.

    N is 3, the channels. Its SF alone takes the channels for one image, three times as wide, and
    counts two seams as edges.
    """
    pair, _, _ = triple.partition("_")
    fused = channels(triple)
    sources = torch.stack([channels(f"{pair}_VI"), channels(f"{pair}_IR")])
    if column == "Spatial_frequency":
        fused, sources = (x.movedim(-3, -2).flatten(-2).unsqueeze(-3) for x in (fused, sources))
    return fused, sources


@cache
def judge(triple, column):
    """Return the value of VIFB's convention: the mean over the channels."""
    measure = Metric.find(METRICS[column], installed())
    return measure(*images(triple, column)).mean().item()


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
