"""Text of others in one line of a terminal: what it would obey becomes escapes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.safe_text import safe_text

TEXTS = {
    "title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "screen cleared": ("\x1b[2J", r"\x1b[2J"),
    "screen cleared in eight bits": ("\x9b2J", r"\x9b2J"),
    "forged line": ("a.png\nerror: run rm -rf", r"a.png\nerror: run rm -rf"),
    "overwritten line": ("evil\rgood", r"evil\rgood"),
    "backspace, delete, tab, null": ("\b\x7f\t\0", r"\x08\x7f\t\x00"),
    "right to left": ("\u202egnp.exe", r"\u202egnp.exe"),
    "isolate": ("\u2066x\u2069", r"\u2066x\u2069"),
    "separators": ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
    "no width": ("a\u200bb\ufeffc\u2060\xad", r"a\u200bb\ufeffc\u2060\xad"),
    "tags beyond 16 bits": ("\U000e0041", r"\U000e0041"),
    "name that is no UTF-8": (b"\xff.png".decode("utf-8", "surrogateescape"), r"\udcff.png"),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.values(), ids=TEXTS)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert safe_text(text) == shown


@pytest.mark.parametrize("text", ["", "wärme 熱 µ±→🔥", r"C:\new\x1b", "e\u0301", "a\u3000b\u202f"])
def test_other_text_is_what_it_was(text):
    assert safe_text(text) == text


@given(st.text(st.characters(exclude_categories=[])))
def test_the_result_can_be_printed_in_one_line_and_does_not_change_any_more(text):
    shown = safe_text(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len([*shown.splitlines()]) <= 1
    shown.encode()
    assert safe_text(shown) == shown
