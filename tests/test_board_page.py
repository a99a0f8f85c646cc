"""The page of the regression board has the tables that its results make."""

import json

import pytest
import table_of_board


@pytest.fixture
def entry():
    """The results of a set of six images for two candidates."""
    metric = {"best": "identity/max", "better_on": 5, "images": 6}
    return {
        "version": "1.0",
        "images": 6,
        "color": "gray",
        "trivial": ["identity/mean", "identity/max"],
        "references": ["gff"],
        "means": {
            "identity/mean": {"SD": 30.0},
            "identity/max": {"SD": 40.0},
            "gff": {"SD": 41.25},
            "mine": {"SD": 42.0},
            "yours": {"SD": 38.0},
        },
        "candidates": {
            "mine": {
                "passed": True,
                "failures": [],
                "gains": ["SD"],
                "unchecked": [],
                "against": {
                    "identity/mean": {"better": ["SD"], "worse": []},
                    "identity/max": {"better": [], "worse": []},
                },
                "metrics": {"SD": {**metric, "gain_percent": 5.0, "p": None, "significant": False}},
            },
            "yours": {
                "passed": False,
                "failures": ["SD: too low"],
                "gains": [],
                "unchecked": ["EN at least gff"],
                "against": {"identity/max": {"better": ["EN", "AG"], "worse": ["SD"]}},
                "metrics": {"SD": {**metric, "gain_percent": -5.0, "p": 0.01, "significant": True}},
            },
        },
    }


def test_the_page_has_the_tables_of_the_results():
    text = table_of_board.PATH.read_text(encoding="utf-8")
    assert text == table_of_board.rewrite(text), "run: python tools/table_of_board.py"


def test_the_results_are_of_tasks_with_a_candidate_each():
    content = json.loads(table_of_board.RESULTS.read_text(encoding="utf-8"))
    assert content
    for sets in content.values():
        for results in sets.values():
            assert results["candidates"]
            assert {*results["candidates"], *results["trivial"]} <= {*results["means"]}


def test_a_candidate_shows_its_gain_with_its_significance_or_its_count_of_images(entry):
    heads, rows = table_of_board.heads_and_rows(entry)
    assert heads[1:] == ["identity/mean", "identity/max", "gff", "best trivial", "mine", "yours"]
    assert rows == [
        ["SD", "30.00", "40.00", "41.25", "identity/max", "42.00 (+5.0 %, 5/6)", "38.00 (-5.0 %*)"]
    ]


def test_values_that_json_cannot_hold_are_shown_as_missing(entry):
    entry["means"]["gff"]["SD"] = None
    entry["candidates"]["mine"]["metrics"]["SD"]["gain_percent"] = None
    entry["candidates"]["yours"]["metrics"] = {}
    del entry["means"]["yours"]
    ((_, _, _, gff, _, mine, yours),) = table_of_board.heads_and_rows(entry)[1]
    assert (gff, mine, yours) == ("-", "42.00 (-, 5/6)", "-")


def test_the_verdicts_name_what_fails_what_was_not_checked_and_each_rule(entry):
    assert table_of_board.verdict_lines(entry) == [
        "mine: pass, better in SD",
        "  against identity/mean alone: better in SD",
        "  against identity/max alone: within the limits",
        "yours: FAIL",
        "  fails: SD: too low",
        "  not checked: EN at least gff",
        "  against identity/max alone: better in EN, AG; worse in SD",
    ]


def test_stars_are_no_emphasis_in_markdown(entry):
    assert "38.00 (-5.0 %\\*) |" in table_of_board.table("infrared", "tno20", entry)
