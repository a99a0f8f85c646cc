"""Records of sequences: how a video or a stack was made. A frame in a folder has one of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.runs.destination import is_record_path, record_path
from fusionlab.runs.record import MethodRecord, Record, check_record, portable_names, to_json
from fusionlab.sequences.segments import Segment
from fusionlab.sequences.writing.output import Layout
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import Count, Finite


class _Temporal(TypedDict):
    limits: str
    smoothing: Finite
    motion: NotRequired[Finite]


class _Sequence(TypedDict):
    name: str
    sources: list[str]
    sync: NotRequired[Literal["name", "frame", "time"]]
    offsets: NotRequired[list[Finite]]
    rate_given: NotRequired[str | None]
    batch: NotRequired[Count]
    rate: str | None
    height: Count
    width: Count
    channels: Count
    depth: Count
    frames: Count
    failed: list[Count]
    colors: Mapping[str, Count]


class _SequenceRecord(MethodRecord):
    temporal: _Temporal | None
    sequence: _Sequence


def describe_sequence(
    settings: Record,
    *,
    name: str,
    sources: Sequence[str],
    sha256: str,
    matching: Mapping[str, Any],
    rate: Fraction | None,
    layout: Layout,
    segments: Sequence[Segment],
) -> bytes:
    """Return the content of the record of a sequence.

    Args:
        settings: of the fusion, and what carries over from frame to frame.
        name: of the file of the result.
        sources: the names of the sources.
        sha256: a hash of the sources, and of how they are matched.
        matching: how they are matched, JSON values.
        rate: frames per second; None: unknown.
        layout: of the frames.
        segments: of the result.
    """
    colors: Counter[str] = Counter()
    for segment in segments:
        colors.update(segment.colors)
    record = {
        **settings,
        "sequence": {
            "name": name,
            "sources": portable_names(list(sources)),
            "sources_sha256": sha256,
            **matching,
            "rate": None if rate is None else str(rate),
            **layout.as_json(),
            "frames": sum(segment.fused for segment in segments),
            "failed": [number for segment in segments for number, _ in segment.failed],
            "colors": dict(sorted(colors.items())),
        },
    }
    return f"{to_json(record, indent=2)}\n".encode()


def read_sequence_record(path: Path) -> Record | None:
    """Return the record of a sequence beside a file, or in the file itself; None: it has none.

    Raises:
        FusionlabError: it is damaged or of a later version (code `bad-record`), or cannot be read.
    """
    file = path if is_record_path(path) else record_path(path)
    check_own_file(file, reading=True)
    try:
        record = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FusionlabError(
            f"cannot read {file}: {error.strerror}", code="unreadable", path=file
        ) from error
    except (ValueError, RecursionError):  # something else
        return None
    if not isinstance(record, dict) or not record.keys() >= {"method", "sequence"}:
        return None
    check_record(record, _SequenceRecord, file)
    return record
