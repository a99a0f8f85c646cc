"""SHA-256 of files, bytes and JSON values, as lowercase hexadecimal text."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def sha256_of_bytes(content: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_parts(parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of the concatenation of parts, of which one is in memory at a time."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def sha256_of_file(file: Path | io.BufferedReader) -> str:
    """Return the SHA-256 of a file, given by its path or open and read from its beginning.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value; the order of the keys of its objects does not matter."""
    return sha256_of_bytes(json.dumps(value, sort_keys=True).encode())
