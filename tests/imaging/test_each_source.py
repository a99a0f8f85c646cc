"""One value for all sources, or one for each."""

import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.imaging.each_source import one_for_each


@pytest.mark.parametrize(("values", "expected"), [("a", "aaa"), ("abc", "abc")])
def test_a_single_value_is_that_of_every_source(values, expected):
    assert one_for_each(values, 3, "letter", "letters", "number") == list(expected)


@pytest.mark.parametrize("option", ["scale", "nodata"])
def test_another_number_of_values_is_refused_with_both_numbers(option):
    values = {"scale": ["full", "full"], "nodata": [0, 0]}[option]
    fusion = Fusion("identity", "mean", **{option: values})
    with pytest.raises(FusionlabError, match=r"for all 3 sources or one for each, got 2$") as error:
        fusion([np.zeros((4, 5), np.uint8)] * 3)
    assert error.value.option == option
    assert error.value.code in ("number-of-scales", "number-of-nodata")
