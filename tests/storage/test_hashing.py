"""Hashes are those of other programs, and do not depend on how the content is handed over."""

import hashlib

import numpy as np
import pytest

from fusionlab.storage.hashing import (
    sha256_of_bytes,
    sha256_of_file,
    sha256_of_json,
    sha256_of_parts,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of "abc", from FIPS 180-2, appendix B.1."""


def test_the_hash_of_the_standard(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256_of_bytes(b"abc") == ABC
    assert sha256_of_bytes(np.frombuffer(b"abc", np.uint8).data) == ABC
    assert sha256_of_parts([b"a", b"", b"bc"]) == ABC
    assert sha256_of_file(path) == ABC
    with path.open("rb") as file:
        file.read(2)
        assert sha256_of_file(file) == ABC  # from the beginning, wherever it was


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_of_file(tmp_path / "gone")


def test_json_is_hashed_whatever_the_order_of_its_keys():
    assert sha256_of_json({"a": 1, "b": [1, 2]}) == sha256_of_json({"b": [1, 2], "a": 1})
    assert sha256_of_json({"a": 1, "b": [1, 2]}) != sha256_of_json({"a": 1, "b": [2, 1]})
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": "1"})
    assert sha256_of_json({"a": "é"}) == hashlib.sha256(b'{"a": "\\u00e9"}').hexdigest()
