"""Every metric against published programs, value by value."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import pytest
import torch

from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.host import installed

ORACLE = Path(__file__).parents[3] / "shared" / "oracle" / "metrics"

MAPPED = {
    # the authors of DenseFuse, their MATLAB code under GNU Octave
    ("authors", "EN"): "EN@paper",
    ("authors", "FMI_dct"): "FMI_dct@paper",
    ("authors", "FMI_pixel_edge"): "FMI_pixel@paper",
    ("authors", "FMI_w"): "FMI_w@paper",
    ("authors", "MS_SSIM"): "MS_SSIM@paper",
    ("authors", "Nabf"): "Nabf@paper",
    ("authors", "SCD"): "SCD@paper",
    ("authors", "SSIM_a"): "SSIM_a@paper",
    ("authors", "SSIM_ir"): "SSIM_a@paper",  # of one source
    ("authors", "SSIM_vi"): "SSIM_a@paper",
    # VIFB
    ("vifb", "Avg_gradient"): "AG@vifb",
    ("vifb", "Cross_entropy"): "CE@vifb",
    ("vifb", "Edge_intensity"): "EI@vifb",
    ("vifb", "Entropy"): "EN@vifb",
    ("vifb", "Mutinf"): "MI@vifb",
    ("vifb", "Psnr"): "PSNR@vifb",
    ("vifb", "Qabf"): "Qabf@vifb",
    ("vifb", "Qcb"): "Q_CB@vifb",
    ("vifb", "Qcv"): "Q_CV@vifb",
    ("vifb", "Rmse"): "RMSE@vifb",
    ("vifb", "Spatial_frequency"): "SF@vifb",
    ("vifb", "Ssim"): "SSIM@vifb",
    ("vifb", "Variance"): "SD@vifb",
    # the evaluation code of Linfeng Tang
    ("tang", "AG"): "AG@tang",
    ("tang", "CC"): "CC@tang",
    ("tang", "EN"): "EN@tang",
    ("tang", "MI"): "MI@tang",
    ("tang", "MSE"): "MSE@tang",
    ("tang", "MS_SSIM"): "MS_SSIM@tang",
    ("tang", "Nabf_as_called"): "Nabf@tang",
    ("tang", "Nabf_right_order"): "Nabf",
    ("tang", "PSNR"): "PSNR@tang",
    ("tang", "Qabf"): "Qabf@tang",
    ("tang", "SCD"): "SCD@tang",
    ("tang", "SD"): "SD@tang",
    ("tang", "SF"): "SF@tang",
    ("tang", "SSIM_L1"): "SSIM@tang",
    ("tang", "VIF"): "VIF@tang",
    # the toolbox of Liu et al. 2012
    ("liu", "Q_C"): "Q_C@liu",
    ("liu", "Q_CB"): "Q_CB@liu",
    ("liu", "Q_CV"): "Q_CV@liu",
    ("liu", "Q_G"): "Q_G@liu",
    ("liu", "Q_M"): "Q_M@liu",
    ("liu", "Q_MI"): "NMI@liu",
    ("liu", "Q_NCIE"): "Q_NCIE@liu",
    ("liu", "Q_P"): "Q_P@liu",
    ("liu", "Q_S"): "Q_S@liu",
    ("liu", "Q_SF"): "Q_SF@liu",
    ("liu", "Q_TE"): "Q_TE@liu",
    ("liu", "Q_W_piella2"): "Q_W@liu",
    ("liu", "Q_Y"): "Q_Y@liu",
    # Han et al. 2013
    ("vif", "VIFF"): "VIFF",
}
"""(program, column) -> our metric that must have the same values."""

NOT_OFFERED = {
    ("authors", "MI"): "always twice the entropy of the fused image, by a mistake",
    # ours uses the summation order of MATLAB's conv2; test_edges.py that of Octave's
    ("authors", "Qabf"): "made under GNU Octave, whose rounding is not that of Table II",
    ("liu", "Q_TE_sw2"): "a variant that the toolbox does not call by default",
    ("vif", "VIF_vec_ir"): "the wavelet-domain VIF; ours is that of the pixel domain",
    ("vif", "VIF_vec_vi"): "as VIF_vec_ir",
}
"""Columns that are not reproduced, and why."""


RELATIVE = 1e-6
"""The values have ten digits; the tolerance covers the order of summation."""

ABSOLUTE = 1e-9
"""For values near zero, such as sums of canceling terms: the last digit."""

ROUNDING_NOISE = {
    ("authors", "FMI_dct", "pair11_fused_const128.png"): "nan in Octave, 0.024 in C++; ours 0",
    (
        "authors",
        "FMI_w",
        "pair11_fused_const128.png",
    ): "0.0143 in Octave, as ours; 0.139 in C++",
}
"""(program, column, fused) -> the program's value for rounding noise in a flat image."""


class Row(NamedTuple):
    program: str
    size: str
    column: str
    ir: str
    vi: str
    fused: str
    value: float


@cache
def rows() -> tuple[Row, ...]:
    """Return all values of the oracle; none if it is absent."""
    values = []
    for path in sorted(ORACLE.glob("*_*.csv")):
        program, _, size = path.stem.partition("_")
        if size not in ("small", "full"):
            continue
        with path.open(newline="") as file:
            values += [
                Row(program, size, r["metric"], r["ir"], r["vi"], r["fused"], float(r["value"]))
                for r in csv.DictReader(file)
            ]
    return tuple(values)


@cache
def image(size: str, name: str) -> torch.Tensor:
    return torch.from_numpy(iio.imread(ORACLE / size / name))


def images(row: Row) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the fused image `(1, H, W)` and its sources `(2, 1, H, W)`, infrared first."""
    sources = [image(row.size, row.ir), image(row.size, row.vi)]
    if row.column in ("SSIM_ir", "SSIM_vi"):
        sources = sources[:1] if row.column == "SSIM_ir" else sources[1:]
    return image(row.size, row.fused)[None], torch.stack(sources)[:, None]


SLOW = {("liu", "Q_P")}  # seconds; its golden value is tested in every run

PROGRAMS = [
    pytest.param(*key, marks=pytest.mark.slow if key in SLOW else ()) for key in sorted(MAPPED)
]


@pytest.mark.parametrize(("program", "column"), PROGRAMS)
def test_a_published_program_is_reproduced(program, column, shared):
    measure = Metric.find(MAPPED[program, column], installed())
    rows_of_column = [
        r
        for r in rows()
        if (r.program, r.column) == (program, column)
        and (r.program, r.column, r.fused) not in ROUNDING_NOISE
    ]
    assert rows_of_column
    wrong = []
    for row in rows_of_column:
        (value,) = measure(*images(row)).tolist()
        if not (
            math.isclose(value, row.value, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
            or (math.isnan(value) and math.isnan(row.value))
        ):
            wrong.append(f"{row.size}/{row.fused}: {value:.10g} instead of {row.value:.10g}")
    assert not wrong, "\n".join(wrong)


def test_every_column_of_the_oracle_is_compared_or_has_a_reason(shared):
    columns = {(row.program, row.column) for row in rows()}
    assert columns == MAPPED.keys() | NOT_OFFERED.keys()
    assert not MAPPED.keys() & NOT_OFFERED.keys()
