"""The factors of rows."""

from fusionlab.evaluation.factors import factors_of, varying
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.plugins.host import installed


def test_factors_name_everything_that_distinguishes_a_row_also_defaults() -> None:
    (row,) = MethodBuilder(installed(), baselines=False).build("densefuse@1e2/l1norm,r=0")
    factors = factors_of(row.describe())
    assert factors["backbone"] == "densefuse"
    assert factors["tag"] == "1e2"
    assert factors["strategy"] == "l1norm"
    assert factors["r"] == "0"
    assert factors["border"] == "inside"  # the default
    assert factors["range"] == "clip"
    assert factors["shared_weights"] == "true"


def test_a_folder_of_results_has_no_factors() -> None:
    assert factors_of({"method": "Theirs", "names": "{}.png"}) == {}


def test_a_parameter_that_is_called_like_a_setting_is_told_apart() -> None:
    description = {
        "backbone": "b",
        "weights": None,
        "strategy": "s",
        "parameters": {"range": "3", "r": "1"},
        "range": "clip",
    }
    factors = factors_of(description)
    assert factors["range"] == "clip"
    assert factors["strategy.range"] == "3"
    assert factors["tag"] == ""


def test_factors_vary_where_values_differ_and_not_where_a_strategy_lacks_them() -> None:
    rows = [
        {"strategy": "a", "r": "1", "border": "inside", "range": "clip"},
        {"strategy": "a", "r": "2", "border": "inside", "range": "clip"},
        {"strategy": "b", "range": "clip"},
        {},
    ]
    assert varying(rows) == ["strategy", "r"]
