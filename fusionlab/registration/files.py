"""Transforms on disk: a JSON file of one transform, or of one for each source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.registration.transform import Transform, bad_transform

MAX_BYTES = 2**20
"""Larger files are refused: a transform takes some hundred bytes."""


def encode_transforms(transforms: Sequence[Transform | None], **facts: Any) -> bytes:
    """Return the content of a file of transforms.

    Args:
        transforms: for each source the transform from the grid of the reference to its own; None
            for the reference.
        facts: more entries, for people.
    """
    sources = [None if transform is None else transform.to_json() for transform in transforms]
    return f"{json.dumps({**facts, 'sources': sources}, indent=2)}\n".encode()


def read_transforms(path: Path) -> list[Transform | None]:
    """Read what `encode_transforms` wrote, or the transforms in the record of a fusion.

    Raises:
        FusionlabError: the file does not exist (code `missing-file`), cannot be read
            (`unreadable`), or does not hold a transform for each source but one, the reference
            (`bad-transform`).
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise bad_transform(f"{path} has more than {MAX_BYTES} bytes; a transform has less")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist", code="missing-file", path=path) from None
    except OSError as error:
        raise FusionlabError(
            f"cannot read {path}: {error.strerror}", code="unreadable", path=path
        ) from error
    except (ValueError, RecursionError) as error:
        raise bad_transform(f"{path} is not JSON: {error}") from error
    sources = value.get("sources") if isinstance(value, dict) else None
    if isinstance(sources, list):  # in a record, they are among what is said of each source
        sources = [
            entry.get("registration")
            if isinstance(entry, dict) and "matrix" not in entry
            else entry
            for entry in sources
        ]
    if not isinstance(sources, list) or sources.count(None) != 1 or len(sources) < 2:
        raise bad_transform(
            f'{path} must hold {{"sources": [...]}} with null for the reference and a transform '
            "for each other source"
        )
    try:
        return [None if source is None else Transform.from_json(source) for source in sources]
    except FusionlabError as error:
        raise bad_transform(f"{error} (in {path})") from error
