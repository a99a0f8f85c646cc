"""The page of results has the tables that the measured means make, and all methods."""

import json

import pytest
import tables_of_sets


@pytest.fixture(scope="module")
def sets():
    return json.loads(tables_of_sets.MEANS.read_text(encoding="utf-8"))["sets"]


def test_the_page_has_the_tables_of_the_means():
    text = tables_of_sets.PATH.read_text(encoding="utf-8")
    assert text == tables_of_sets.rewrite(text), "run: python tools/tables_of_sets.py"


def test_all_sets_have_the_same_methods_but_those_for_two_sources(sets):
    for_two = {name for name in sets["tno20"]["means"] if name not in sets["mef_brackets"]["means"]}
    assert for_two == {"cnn", "gtf", "hmsd_gf", "hybrid_msd", "ifevip", "wls"}
    for results in sets.values():
        assert {*results["means"], *for_two} == {*sets["tno20"]["means"]}


def test_every_mean_is_over_all_images_of_its_set(sets):
    counts = {name: results["images"] for name, results in sets.items()}
    assert counts == {
        "harvard_ct_mri": 24,
        "lytro": 10,
        "mef_brackets": 6,
        "roadscene": 25,
        "tno20": 20,
        "vifb": 21,
    }


def test_a_large_difference_is_marked_and_the_best_mean_is_bold():
    results = {
        "images": 9,
        "ranks": {"one": 1.0, "two": 2.0},
        "means": {"one": {"EN": 7.0, "SD": 40.0}, "two": {"EN": 6.0, "SD": 50.0}},
        "significant": {"one": {"EN": 1}},
    }
    lines = tables_of_sets.table("mine", results, "two").splitlines()
    assert lines[-2:] == [
        "| `one` | 1.0 | **7.000**\\* | 40.0 |",
        "| `two` | 2.0 | 6.000 | **50.0** |",
    ]
