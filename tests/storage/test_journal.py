"""Journals: every complete line counts, no damaged line spoils another."""

import errno
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_files import FaultyFiles

from fusionlab.errors import FusionlabError
from fusionlab.storage.journal import Journal


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "x.jsonl")


def test_lines_come_back_in_order(journal):
    lines = [{"a": 1}, {"b": [None, True, "é\n\u2028"]}, {}, {"bad": "\udcff"}]
    for line in lines:
        journal.append(line)
    assert journal.read() == lines
    assert journal.path.read_bytes().count(b"\n") == len(lines)


def test_a_missing_file_is_empty_and_reading_does_not_make_it(journal):
    assert journal.read() == []
    assert not journal.path.exists()


def test_numbers_keep_every_bit_and_need_not_be_finite(journal):
    values = [0.1, 1e-320, math.inf, -math.inf, math.nan]
    journal.append({"values": values})
    (line,) = journal.read()
    assert list(map(repr, line["values"])) == list(map(repr, values))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\x00",
        b"not json",
        b"null",
        b"3",
        b'"text"',
        b"[]",
        b"[" * 100_000,
        b"\0" * 99,
        b"",
    ],
    ids=range(9),
)
def test_a_line_that_is_no_object_is_skipped(journal, garbage):
    journal.path.write_bytes(garbage + b'\n{"a": 1}\r\n' + garbage + b'\n{"b": 2}\n' + garbage)
    assert journal.read() == [{"a": 1}, {"b": 2}]


def test_a_line_cut_off_anywhere_costs_that_line_only(journal):
    journal.append({"a": "first"})
    start = journal.path.stat().st_size
    journal.append({"b": "second"})
    content = journal.path.read_bytes()
    for end in range(start, len(content) - 1):
        journal.path.write_bytes(content[:end])
        assert journal.read() == [{"a": "first"}]
        journal.append({"c": "third"})
        assert journal.read() == [{"a": "first"}, {"c": "third"}]


def test_a_complete_last_line_counts_without_its_line_break(journal):
    journal.path.write_bytes(b'{"a": 1}')
    assert journal.read() == [{"a": 1}]
    journal.append({"b": 2})
    assert journal.path.read_bytes() == b'{"a": 1}\n{"b": 2}\n'


def test_threads_do_not_mix_their_lines(journal):
    lines = [{"number": number, "text": "x" * 10_000} for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(journal.append, lines))
    assert sorted(journal.read(), key=lambda line: line["number"]) == lines


def test_replacing_is_atomic(journal):
    journal.append({"old": 1})

    def lines():
        yield {"new": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.replace(lines())
    assert journal.read() == [{"old": 1}]
    journal.replace([{"new": 1}, {"new": 2}])
    assert journal.path.read_text() == '{"new": 1}\n{"new": 2}\n'
    assert list(journal.path.parent.iterdir()) == [journal.path]


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a symbolic link", "a device"])
def test_what_is_no_regular_file_is_refused_at_once(journal, what):
    """A pipe would be waited for, and what a link leads to is not ours."""
    other = journal.path.with_name("other")
    other.write_text('{"theirs": 1}\n')
    if what == "a folder":
        journal.path.mkdir()
    elif what == "a pipe":
        os.mkfifo(journal.path)
    else:
        journal.path.symlink_to(other if what == "a symbolic link" else "/dev/zero")
    actions = [lambda: journal.append({}), lambda: journal.replace([])]
    if what == "a symbolic link":
        assert journal.read() == [{"theirs": 1}]  # reading it is safe
    else:
        actions.append(journal.read)
    for action in actions:
        with pytest.raises(FusionlabError, match="must be a regular file") as caught:
            action()
        assert (caught.value.code, caught.value.path) == ("not-a-regular-file", journal.path)
    assert other.read_text() == '{"theirs": 1}\n'


def test_a_file_that_cannot_be_used_is_one_sentence_with_a_code(journal):
    journal.append({"a": 1})
    for action in (lambda: journal.append({}), lambda: journal.replace([])):
        with (
            FaultyFiles(journal.path.parent, 0, errno.EACCES),
            pytest.raises(FusionlabError, match=r"x\.jsonl: Permission denied$") as caught,
        ):
            action()
        assert (caught.value.code, caught.value.path) == ("unwritable", journal.path)
    assert journal.read() == [{"a": 1}]


def test_a_value_that_is_not_json_is_refused_and_the_file_is_unchanged(journal):
    journal.append({"a": 1})
    with pytest.raises(TypeError):
        journal.append({"b": object()})
    assert json.loads(journal.path.read_text()) == {"a": 1}
