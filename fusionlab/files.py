"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` if all went well.

    Whatever happens in between (an exception, Ctrl-C, a full disk), `path` is either what it
    was or the complete new file. The temporary file keeps the suffix of `path`, because image
    writers choose the format by it.
    """
    path = path.resolve()  # of a link, replace what it points to
    beside = path.with_name(f".{path.stem[:32]}-{secrets.token_hex(4)}{path.suffix}")
    beside.touch(exist_ok=False)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
