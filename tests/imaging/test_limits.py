"""Limits over time: what each policy makes of what the frames measure."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.errors import FusionlabError
from fusionlab.imaging.limits import LimitsOverTime, LimitsPolicy

MEASURED = [(10.0, 20.0), (0.0, 40.0), (5.0, 30.0)]
POLICIES = ["frame", "first", "fixed=0,255", "two-pass", "causal", "causal=0"]

pairs = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted).map(tuple)


def over(text: str, measured: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the limits of frames that measure these."""
    over_time = LimitsOverTime(LimitsPolicy.parse(text))
    used = []
    for pair in measured:
        limits = over_time.after(pair)
        over_time.advance(limits)
        used.append(limits)
    return used


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first", [(10, 20), (10, 20), (10, 20)]),
        ("fixed=1.5,99", [(1.5, 99)] * 3),
        ("causal=0.5", [(10, 20), (5, 30), (5, 30)]),  # 10 -> 5: half of the way to 0
        ("causal=0", MEASURED),
        ("two-pass", [(10, 20), (0, 40), (0, 40)]),  # what has been measured so far
    ],
)
def test_limits_of_a_sequence(text: str, expected: list[tuple[float, float]]) -> None:
    assert over(text, MEASURED) == expected


@given(pairs, st.sampled_from(POLICIES), st.integers(2, 6))
def test_equal_frames_have_the_limits_of_one(
    pair: tuple[float, float], text: str, count: int
) -> None:
    used = over(text, [pair] * count)
    assert used == [used[0]] * count
    assert used[0] == pair or text.startswith("fixed")


@given(st.lists(pairs, min_size=2, max_size=6), st.sampled_from(POLICIES))
def test_a_later_frame_changes_nothing_before_it(
    measured: list[tuple[float, float]], text: str
) -> None:
    assert over(text, measured)[:-1] == over(text, measured[:-1])


@given(st.lists(pairs, min_size=1, max_size=6), st.floats(0, 0.99))
def test_causal_limits_stay_within_what_was_measured(
    measured: list[tuple[float, float]], keep: float
) -> None:
    low, high = over(f"causal={keep}", measured)[-1]
    slack = 1e-9 * 1e6  # rounding of some additions of values of up to a million
    assert min(pair[0] for pair in measured) - slack <= low
    assert high <= max(pair[1] for pair in measured) + slack


def test_a_frame_without_data_keeps_the_limits_before_it() -> None:
    nothing = (math.inf, -math.inf)
    assert over("causal", [(1, 2), nothing, (1, 2)]) == [(1, 2)] * 3
    assert over("first", [nothing, (1, 2), (3, 4)])[1:] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("text", ["first", "two-pass", "causal=0.9", "fixed=-10,300.5", "frame"])
def test_text_and_back(text: str) -> None:
    assert str(LimitsPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "last", "fixed", "fixed=2,1", "fixed=1", "fixed=1,inf", "causal=1", "causal=x"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(FusionlabError, match="limits must be frame, first, ") as caught:
        LimitsPolicy.parse(text)
    assert (caught.value.code, caught.value.option) == ("limits-syntax", "limits")
