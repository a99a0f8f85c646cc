"""Every metric and convention against stored values, most of them of other people's programs.

`metrics.json` says for each value which program computed it; `make_metrics.py` wrote it.
"""

import json
from pathlib import Path

import pytest
from golden_images import RECIPES, image_set, tensors_of

from fusionlab.metrics.catalog import CATALOG

GOLDEN = json.loads(Path(__file__).with_name("metrics.json").read_text())
METRICS = {
    ref.name if convention == "default" else f"{ref.name}@{convention}": (ref, convention)
    for ref in CATALOG
    for convention in ("default", *ref.conventions)
}

RELATIVE = 1e-9
"""Everything is computed in float64: what is left is the order of summation."""

RELATIVE_OF_TRANSFORMS = 1e-7
"""FMI_dct and FMI_w round coefficients: one that lies between two steps may go either way."""


def test_the_images_are_those_that_the_values_were_computed_on():
    assert {name: image_set(name).sha256 for name in RECIPES} == GOLDEN["sha256"]


def test_every_metric_and_convention_has_a_value_on_at_least_two_image_sets():
    assert GOLDEN["values"].keys() == METRICS.keys()
    assert all(len(values) >= 2 for values in GOLDEN["values"].values())


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_the_value_of_the_other_program(name):
    ref, convention = METRICS[name]
    relative = RELATIVE_OF_TRANSFORMS if name.startswith(("FMI_dct", "FMI_w")) else RELATIVE
    for images, (expected, program) in GOLDEN["values"][name].items():
        value = ref.load()(*tensors_of(ref, images), convention=convention).item()
        assert value == pytest.approx(expected, rel=relative, abs=1e-11), f"{images}: {program}"
