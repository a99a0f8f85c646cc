"""Which frames of several sequences are fused with each other."""

from fractions import Fraction

import numpy as np
import pytest
from frames import MadeUp, numbers_of
from hypothesis import given
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.sequences.synchronize import TOLERANCE, synchronize


def matched(sets, start=0):
    return [numbers_of(each) for each in sets.sets(start)]


def regular(*parts):
    return [
        MadeUp.regular(name, count, rate) for name, count, rate in zip("abc", *parts, strict=False)
    ]


def test_the_nth_frames_belong_together_up_to_the_end_of_the_shortest():
    a, b = regular((5, 7), (25, 25))
    sets = synchronize([a, b])
    assert (sets.count, sets.rate, sets.names) == (5, 25, ("a", "b"))
    assert matched(sets) == [[n, n] for n in range(5)]
    assert [each.name for each in sets.sets()] == [f"00000{n}" for n in range(5)]
    assert [each.time for each in sets.sets(3)] == [Fraction(3, 25), Fraction(4, 25)]
    (note,) = sets.notes
    assert note == "a ends after 5 frames; the further ones of b (2) are left out"
    assert a.open == b.open == 0


def test_what_begins_in_the_middle_is_the_rest_of_the_whole():
    for sync in ("frame", "time"):
        sets = synchronize(regular((20, 20), (25, 25)), sync)
        assert [(each.number, numbers_of(each)) for each in sets.sets(13)] == [
            (each.number, numbers_of(each)) for each in list(sets.sets())[13:]
        ]


def test_rates_that_differ_are_refused_unless_times_decide():
    with pytest.raises(FusionlabError, match="30 frames per second in a and 25 in b") as refused:
        synchronize(regular((9, 9), (30, 25)))
    assert (refused.value.code, refused.value.option) == ("rates-differ", "sync")
    synchronize(regular((9, 9), (Fraction(30000, 1001), Fraction("29.97"))))
    unknown = MadeUp("folder", [None] * 9)
    assert matched(synchronize([*regular((9,), (30,)), unknown])) == [[n, n] for n in range(9)]


def test_with_times_each_frame_of_the_first_gets_the_nearest_of_the_others():
    slow = synchronize(regular((30, 10), (30, 10)), "time")
    assert matched(slow) == [[n, round(n / 3)] for n in range(29)]
    assert slow.count == 29
    fast = synchronize(regular((10, 30), (10, 30)), "time")
    assert matched(fast) == [[n, 3 * n] for n in range(10)]
    assert fast.count == 10


def test_offsets_shift_the_times_and_what_lies_outside_is_left_out():
    a, b = regular((50, 50), (25, 25))
    sets = synchronize([a, b], "time", offsets=(0, 0.4))  # b begins 10 frames later
    assert matched(sets) == [[n + 10, n] for n in range(40)]
    assert [each.number for each in sets.sets()] == list(range(40))
    assert next(iter(sets.sets())).time == Fraction(10, 25)
    assert matched(sets, 17) == matched(sets)[17:]
    assert sets.count == 40
    assert any(
        "a: what comes before another source begins is left out, 10 frames" in note
        for note in sets.notes
    )
    assert any("a ends before b" in note for note in sets.notes)
    earlier = synchronize([a, b], "time", offsets=(0, -0.4))
    assert matched(earlier) == [[n, n + 10] for n in range(40)]
    assert any("b ends before a" in note for note in earlier.notes)


def test_a_hole_in_a_source_is_a_problem_of_the_sets_in_it():
    times = [Fraction(n, 25) for n in range(20) if n not in (8, 9, 10)]
    a, b = MadeUp.regular("a", 20, 25), MadeUp("b", times, rate=Fraction(25))
    sets = list(synchronize([a, b], "time").sets())
    assert [each.number for each in sets if each.problem] == [8, 9, 10]
    assert {each.problem.code for each in sets if each.problem} == {"no-frame"}
    assert numbers_of(sets[11]) == [11, 8]


def test_a_damaged_frame_is_a_problem_of_its_set_only():
    a, b = MadeUp.regular("a", 5, 25, damaged=[1]), MadeUp.regular("b", 5, 25, damaged=[3])
    for sync in ("frame", "time"):
        sets = list(synchronize([a, b], sync).sets())
        assert [each.number for each in sets] == [0, 1, 2, 3, 4]
        assert [str(each.problem) for each in sets if each.problem] == [
            "frame 1 of a",
            "frame 3 of b",
        ]
        assert sets[1].time == Fraction(1, 25)


def test_a_rate_gives_times_to_sequences_that_state_none():
    folder, video = MadeUp("folder", [None] * 10), MadeUp.regular("video", 30, 30)
    with pytest.raises(FusionlabError) as refused:
        matched(synchronize([folder, video], "time"))
    assert (refused.value.code, refused.value.option) == ("no-times", "rate")
    sets = synchronize([folder, video], "time", rate=10)
    assert matched(sets) == [[n, 3 * n] for n in range(10)]
    assert sets.rate == 10


def test_times_that_drift_apart_are_noted_once():
    times = [Fraction(n, 25) + (Fraction(1, 10) if n > 4 else 0) for n in range(9)]
    sets = synchronize([*regular((9,), (25,)), MadeUp("b", times, rate=Fraction(25))])
    assert len(matched(sets)) == 9
    (note,) = sets.notes
    assert note.startswith("b: its frame 5 is 0.3 s behind its first, that of a 0.2 s")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"sync": "frame", "offsets": (0, 1)}, "bad-offset"),
        ({"sync": "time", "offsets": (1,)}, "bad-offset"),
        ({"sync": "time", "offsets": (0, float("nan"))}, "bad-offset"),
        ({"sync": "frame", "rate": 0}, "bad-rate"),
        ({"sync": "frame", "rate": float("inf")}, "bad-rate"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, code):
    with pytest.raises(FusionlabError) as refused:
        synchronize(regular((9, 9), (25, 25)), **options)
    assert refused.value.code == code


def test_sequences_without_frames_or_common_times_are_refused():
    for sync in ("frame", "time"):
        with pytest.raises(FusionlabError) as refused:
            matched(synchronize([*regular((9,), (25,)), MadeUp("empty", [])], sync))
        assert refused.value.code == "no-frames"
    for offset in (-99, 99):
        with pytest.raises(FusionlabError) as refused:
            matched(synchronize(regular((9, 9), (25, 25)), "time", offsets=(0, offset)))
        assert (refused.value.code, refused.value.option) == ("no-frames", "offset")
    with pytest.raises(FusionlabError) as refused:
        synchronize(regular((9,), (25,)))
    assert refused.value.code == "number-of-sources"


def test_a_source_that_is_given_twice_is_noted():
    a, b = regular((9, 9), (25, 25))
    assert synchronize([a, b, a]).notes == ["a is given as 2 of the sources"]


def test_sources_of_different_sizes_are_refused_before_anything_is_fused():
    a, b = regular((9, 9), (25, 25))
    b.shape = (8, 12)
    for sync in ("frame", "time"):
        with pytest.raises(FusionlabError, match="got 6x4, 12x8") as refused:
            next(iter(synchronize([a, b], sync).sets()))
        assert (refused.value.code, refused.value.option) == ("size-mismatch", "resize")
    (first, *_) = synchronize([a, b], resize="first").sets()
    assert [image.pixels.shape for image in first.images] == [(4, 6), (4, 6)]


def test_no_more_than_two_frames_of_a_source_are_read_ahead():
    a, b = regular((50, 500), (5, 50))
    for each in synchronize([a, b], "time").sets():
        assert a.read <= each.number + 2  # one at the beginning, to know where they overlap
        assert b.read <= 10 * each.number + 4
    assert b.read < 500


def test_the_identity_is_that_of_the_sequences_and_of_how_they_are_matched():
    def identity(*args, **options):
        return synchronize(regular((9, 9), (25, 25)), *args, **options).identity

    assert identity() == identity()
    others = [identity("time"), identity("time", offsets=(0, 1)), identity(resize="first")]
    assert len({identity(), *others}) == 4


@given(
    times=st.lists(
        st.lists(st.integers(1, 40), min_size=1, max_size=12).map(np.cumsum), min_size=2, max_size=3
    ),
    start=st.integers(0, 9),
)
def test_whatever_the_times_the_nearest_frame_is_taken_and_reading_can_begin_anywhere(times, start):
    own = [[Fraction(int(time), 100) for time in each] for each in times]
    own = [[time - each[0] for time in each] for each in own]
    sequences = [
        MadeUp(name, each, rate=Fraction(5)) for name, each in zip("abc", own, strict=False)
    ]
    sets = synchronize(sequences, "time")
    found = list(sets.sets())
    for each in found:
        if not each.problem:
            for of_source, number in zip(own, numbers_of(each), strict=True):
                distance = abs(of_source[number] - each.time)
                assert distance == min(abs(time - each.time) for time in of_source)
                assert distance <= TOLERANCE / 5
    again = list(sets.sets(start))
    described = [
        [(e.number, e.time, numbers_of(e), str(e.problem)) for e in s] for s in (found, again)
    ]
    assert described[1] == described[0][start:]
