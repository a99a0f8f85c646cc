"""What is compared with what in a study."""

import pytest

from fusionlab import FusionlabError
from fusionlab.evaluation.studies.plan import contrasts_along, pairs_along

ROWS = {
    "a0": {"strategy": "a", "r": "0"},
    "b1": {"strategy": "b", "r": "1"},
    "a1": {"strategy": "a", "r": "1"},
    "a2": {"strategy": "a", "r": "2"},
    "b0": {"strategy": "b", "r": "0"},
    "c0": {"strategy": "c", "r": "0"},
    "max": {"strategy": "max"},
    "Theirs": {},
}


def test_rows_are_compared_with_the_first_value_of_a_factor_in_their_order():
    assert pairs_along(ROWS, "r") == [("a1", "a0"), ("a2", "a0"), ("b0", "b1")]


def test_a_backbone_is_compared_with_its_weights():
    rows = {
        "i": {"backbone": "identity", "tag": "", "r": "0"},
        "d0": {"backbone": "densefuse", "tag": "1e0", "r": "0"},
        "d2": {"backbone": "densefuse", "tag": "1e2", "r": "0"},
        "d2 r=1": {"backbone": "densefuse", "tag": "1e2", "r": "1"},
    }
    assert pairs_along(rows, "backbone") == [("d0", "i"), ("d2", "i")]
    assert pairs_along(rows, "backbone", "densefuse@1e2") == [("i", "d2"), ("d0", "d2")]
    assert pairs_along(rows, "backbone", "densefuse") == [("i", "d0"), ("d2", "d0")]
    assert pairs_along(rows, "tag") == [("d2", "d0")]
    with pytest.raises(FusionlabError, match="identity, densefuse@1e0, densefuse@1e2"):
        pairs_along(rows, "backbone", "densefuse@1e9")


def test_a_chosen_value_is_the_reference_wherever_a_row_has_it():
    assert pairs_along(ROWS, "r", "1") == [("a0", "a1"), ("a2", "a1"), ("b0", "b1")]
    assert pairs_along(ROWS, "r", "2") == [("a0", "a2"), ("a1", "a2")]


def test_all_pairs_of_two_levels_have_the_same_reference():
    """Along r, b1 comes before b0, but r = 0 is the first value of all rows."""
    assert contrasts_along(["r"], ROWS) == {
        ("r", "1", "0"): [("b1", "b0"), ("a1", "a0")],
        ("r", "2", "0"): [("a2", "a0")],
    }


def test_a_contrast_is_there_once_in_one_direction():
    along = contrasts_along(["strategy", "r=1", "r=0"], ROWS)
    assert along == {
        ("strategy", "b", "a"): [("b1", "a1"), ("b0", "a0")],
        ("strategy", "c", "a"): [("c0", "a0")],
        ("r", "0", "1"): [("a0", "a1"), ("b0", "b1")],
        ("r", "2", "1"): [("a2", "a1")],
        ("r", "2", "0"): [("a2", "a0")],
    }


@pytest.mark.parametrize(
    ("factor", "reference", "code", "part"),
    [("q", None, "no-such-factor", "strategy, r"), ("r", "1.0", "no-such-value", "0, 1, 2")],
)
def test_what_no_row_has_is_refused_with_what_there_is(factor, reference, code, part):
    with pytest.raises(FusionlabError) as refused:
        pairs_along(ROWS, factor, reference)
    assert refused.value.code == code
    assert part in str(refused.value)
