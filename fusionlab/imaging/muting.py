"""Keep what a decoder prints away from the terminal: it is neither a sentence nor JSON.

A library that prints its errors raises them, too, or fills in what it could not decode, which the
reader must find out.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

_STDERR = 2
_ONE_AT_A_TIME = threading.RLock()


class _OtherThreads:
    """A stream that takes what other threads write, and drops what this one writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._muted = stream, threading.get_ident()

    def write(self, text: str) -> int:
        """Write a text, unless it is from the muted thread."""
        if threading.get_ident() == self._muted:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def muted(lines: bytes) -> Iterator[None]:
    """Drop what this thread prints by Python's `print`, and lines that a C library prints.

    The descriptor of standard error is that of the process: what else is written to it in the
    meantime is passed on afterwards.

    Args:
        lines: the lines of the library, a regular expression.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as printed:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # there is no standard error
            yield
            return
        try:
            os.dup2(printed.fileno(), _STDERR)
            with redirect_stdout(_OtherThreads(sys.stdout)):
                yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            printed.seek(0)
            others = [line for line in printed if not re.match(lines, line)]
            with suppress(OSError):
                os.write(_STDERR, b"".join(others))
