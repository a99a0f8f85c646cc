"""The texts of errors do not contradict themselves."""

from hypothesis import given
from hypothesis.strategies import floats

from fusionlab.errors import distinct_texts

finite = floats(allow_nan=False, allow_infinity=False)


@given(finite, finite)
def test_different_numbers_have_different_texts(first, second):
    one, two = distinct_texts(first, second)
    assert (one == two) == (first == second)


def test_six_digits_suffice_where_numbers_differ_in_them():
    assert distinct_texts(0.1 + 0.2, 1 / 3) == ["0.3", "0.333333"]
    assert distinct_texts(1.0000001, 1) == ["1.0000001", "1"]
    assert distinct_texts(5, 5) == ["5", "5"]
