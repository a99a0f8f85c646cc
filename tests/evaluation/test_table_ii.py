"""The table of the paper, from the images of its authors: every value, and the printed means."""

import csv
import json

import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.plugins.host import installed
from fusionlab.plugins.presets import preset_metrics, published_table

ROWS = {
    "addition_1e2": "densefuse@1e2/addition",
    "l1norm_r0_1e2": "densefuse@1e2/l1norm,r=0",
}
"""Folder of images that the authors' network made -> their row of Table II."""

COLUMNS = {"Qabf@paper": "Qabf_matlab_order"}
"""Our name of a metric -> its name in the stored values, where they differ."""


def evaluated(shared, metrics):
    """Evaluate the images as a user would, as folders of results."""
    fused = [
        word for name in ROWS for word in ("--fused", f"{name}={shared / 'oracle/table2' / name}")
    ]
    args = [str(shared / "data/eval/tno20"), *fused, "--metrics", ",".join(metrics)]
    result = CliRunner().invoke(main, ["evaluate", *args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["methods"]


def compared(shared, metrics):
    """Compare every image to 1e-6, and the means to the five printed digits."""
    methods = evaluated(shared, metrics)
    published = published_table("paper", installed()).rows
    for row, label in ROWS.items():
        with (shared / f"oracle/table2/per_image_{row}.csv").open(newline="") as file:
            expected = {line["tno20"]: line for line in csv.DictReader(file)}
        assert expected.keys() == methods[row]["values"].keys()
        for metric in metrics:
            bare = metric.partition("@")[0]
            for stem, line in expected.items():
                value = float(line[COLUMNS.get(metric, bare)])
                assert methods[row]["values"][stem][metric] == pytest.approx(value, rel=1e-6)
            assert f"{methods[row]['mean'][metric]:.5f}" == f"{published[label][metric]:.5f}"


@pytest.mark.slow
def test_the_fast_columns_of_table_ii_come_out_to_the_last_digit(shared):
    compared(shared, ["EN", "Qabf@paper", "SCD", "SSIM_a", "MS_SSIM"])


@pytest.mark.slow
def test_all_columns_of_table_ii_come_out_to_the_last_digit(shared):
    compared(shared, [name.partition(":")[2] for name in preset_metrics("paper", installed())])
