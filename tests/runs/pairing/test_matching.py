"""Names that belong together, those that do not, and those for which it is not clear."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.runs.pairing.matching import match_sources
from fusionlab.runs.pairing.templates import Source

NAMES = st.sets(st.from_regex(r"[abAB]{0,2}0{0,2}[1-3]{1,2}", fullmatch=True), max_size=6)


def sources(*names_of_each):
    return [
        Source(f"{number}/", {name: [Path(f"{number}/{name}.png")] for name in names})
        for number, names in enumerate(names_of_each)
    ]


def pairs(*names_of_each, same_k=True):
    """Return the stems of the files of each fusion, or the kind of its problem."""
    matches = match_sources(sources(*names_of_each), same_k=same_k)
    return {match.name: match.kind or [path.stem for path in match.files] for match in matches}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "001"),
        ("a10b2", "a010b002"),
        ("A", "a"),
        ("Straße", "STRASSE"),
        ("IMG_01", "img_1"),
        ("DJI_20230101120000_0001", "DJI_20230101120001_0001"),
        ("DJI_20231231235959_0001", "DJI_20240101000001_0001"),
    ],
)
def test_names_that_differ_in_case_zeros_or_time_belong_together(one, other):
    assert pairs([one], [other]) == {one: [one, other]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10", "1"),
        ("1", "2"),
        ("a", "b"),
        ("1.5", "15"),
        ("0", "00x"),
        ("DJI_20230101120000_0001", "DJI_20230101120003_0001"),
        ("DJI_20230101120000_0001", "DJI_20230101120001_0002"),
        ("20230101120000_0001", "20230101120001_0001"),
    ],
)
def test_other_names_do_not(one, other):
    assert pairs([one], [other]) == {one: "missing", other: "missing"}


def test_equal_names_come_first():
    assert pairs(["1", "01"], ["1", "01"]) == {"1": ["1", "1"], "01": ["01", "01"]}
    assert pairs(["1", "01"], ["01", "001"]) == {"01": ["01", "01"], "1": ["1", "001"]}


def test_two_partners_are_one_too_many():
    assert pairs(["1", "01"], ["001"]) == dict.fromkeys(("1", "01", "001"), "ambiguous")
    (first, *_) = match_sources(sources(["1", "01"], ["001"]), same_k=True)
    assert "0/1.png" in first.problem
    assert "0/01.png" in first.problem
    assert "1/001.png" in first.problem


def test_the_numbers_of_a_drone_may_start_anew():
    times = ["20230101120000", "20230102120000"]
    later = ["20230101120001", "20230102120000"]
    one, other = ([f"DJI_{time}_0001" for time in each] for each in (times, later))
    assert pairs(one, other) == {a: [a, b] for a, b in zip(one, other, strict=True)}


def test_the_last_sources_may_be_missing_where_their_number_may_differ():
    given_names = [["x", "y"], ["X", "y"], ["y"]]
    assert pairs(*given_names, same_k=False) == {"x": ["x", "X"], "y": ["y", "y", "y"]}
    assert pairs(*given_names)["x"] == "missing"


@given(one=NAMES, other=NAMES)
def test_no_file_is_in_two_fusions_and_none_is_lost(one, other):
    matches = match_sources(sources(one, other), same_k=True)
    files = [path for match in matches for path in match.files]
    assert len(files) == len(set(files)) == len(one) + len(other)
    assert len({match.name for match in matches if not match.problem}) == len(
        [match for match in matches if not match.problem]
    )


@given(one=NAMES, other=NAMES)
def test_the_order_of_the_sources_changes_no_pair(one, other):
    def sound(first, second):
        matches = match_sources(sources(first, second), same_k=True)
        return [[path.stem for path in match.files] for match in matches if not match.problem]

    assert sorted(sound(one, other)) == sorted(pair[::-1] for pair in sound(other, one))


@given(one=NAMES, other=NAMES)
def test_equal_names_are_always_paired(one, other):
    found = pairs(one, other)
    assert all(found[name] == [name, name] for name in one & other)
