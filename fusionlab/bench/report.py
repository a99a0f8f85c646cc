"""Print the figures, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tabulate import tabulate

from fusionlab.bench.cases import Case
from fusionlab.bench.measuring import Refusal, Row
from fusionlab.bench.timing import Timings
from fusionlab.safe_text import safe_text

TIMED = (
    "one call of an existing Fusion, from arrays in memory to an array in memory: conversion, "
    "network, strategy, range and color; no files. The median of all calls but the first, which is "
    "listed separately."
)
SHARE = (
    "MACs of the network per second, as a share of the peak throughput of the device: that of "
    "products of large matrices, measured just before and after"
)
ON_CUDA = (
    "Between two synchronizations; 'on device' from tensors to a tensor on the device: the rest is "
    "transfers, and conversion in main memory. The share is that of the time on the device."
)
STREAM = (
    "frames, from uncompressed TIFF files in memory to such a file. frames/s: decoded ahead, fused "
    "and encoded at the same time, as a sequence is; latency: one after the other, as from a "
    "camera, the median and what 95 % do not exceed"
)
MEBI, GIGA = 2**20, 1e9

COLUMNS: Mapping[str, Callable[[Case], str]] = {
    "method": lambda case: case.method,
    "size": lambda case: f"{case.width}x{case.height}",
    "sources": lambda case: str(case.sources),
    "channels": lambda case: str(case.channels),
    "engine": lambda case: case.engine,
    "precision": lambda case: case.precision,
}
"""The columns that identify a case: name -> its text."""


@dataclass(frozen=True)
class Report:
    """The rows that were measured, and the machine."""

    machine: Mapping[str, Any]
    rows: Sequence[Row | Refusal]

    @property
    def on_cuda(self) -> bool:
        """Whether there are times on the device."""
        return bool(self.machine["gpu"])

    @property
    def frames(self) -> int:
        """How many frames the streams had; 0: none was measured."""
        streams = (row.stream for row in self.rows if isinstance(row, Row))
        return next((stream.frames for stream in streams if stream), 0)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, in seconds, bytes and MACs."""
        return {
            "machine": dict(self.machine),
            "timed": f"{TIMED} {ON_CUDA}" if self.on_cuda else TIMED,
            "share": SHARE,
            "stream": STREAM if self.frames else None,
            "rows": [_as_dict(row) for row in self.rows],
            "best": self.best_setting(),
        }

    def facts(self) -> dict[str, str]:
        """Return the facts above the table: the machine, and what all rows have in common."""
        machine = self.machine
        processor = machine["gpu"] or machine["processor"]
        load = "" if machine["load"] is None else f", load {machine['load']}"
        versions = (f"{name} {version}" for name, version in machine["versions"].items())
        return {
            "device": f"{machine['device']}, {processor}",
            "threads": f"{machine['threads']} of {machine['cores']} cores{load}",
            "versions": ", ".join(versions),
            "timed": f"{TIMED} {ON_CUDA}" if self.on_cuda else TIMED,
            "share": f"{SHARE}.",
            **({"stream": f"{self.frames} {STREAM}."} if self.frames else {}),
            **{
                name: text_of(self.rows[0].case)
                for name, text_of in COLUMNS.items()
                if name not in self._varying_columns()
            },
        }

    def to_text(self) -> str:
        """Return the table, and below it the cases that were refused."""
        names = [*self._varying_columns(), "s", "±", "first, s"]
        names += ["on device, s", "±"] if self.on_cuda else []
        names += ["images/s", "MP/s", "share", "of GMAC/s", "peak, MiB"]
        names += ["frames/s", "latency, s", "95 %"] if self.frames else []
        measured = [row for row in self.rows if isinstance(row, Row)]
        table = tabulate(
            [self._cells(row) for row in measured], names, tablefmt="simple", disable_numparse=True
        )
        refused = [
            safe_text(f"refused: {self._name(row.case)}: {row.problem}")
            for row in self.rows
            if isinstance(row, Refusal)
        ]
        best = self.best_setting()
        return "\n".join([*([table] if measured else []), *refused, *(["", best] if best else [])])

    def best_setting(self) -> str | None:
        """Return the fastest engine of the first case that was measured; None if there is one."""
        measured = [row for row in self.rows if isinstance(row, Row)]
        alike = [
            row
            for row in measured
            if replace(row.case, engine="") == replace(measured[0].case, engine="")
        ]
        if len(alike) < 2:
            return None
        fastest, slowest = (f(alike, key=lambda row: row.times.median) for f in (min, max))
        return safe_text(
            f"fastest here in {fastest.case.precision}, on {self.machine['threads']} threads: the "
            f"engine {_engine(fastest)}, {fastest.times.median:.3g} s ({_engine(slowest)}: "
            f"{slowest.times.median:.3g} s)"
        )

    def _varying_columns(self) -> list[str]:
        """Return the columns in which the cases differ."""
        return [
            name
            for name, text_of in COLUMNS.items()
            if len({text_of(row.case) for row in self.rows}) > 1
        ]

    def _name(self, case: Case) -> str:
        return " ".join(COLUMNS[name](case) for name in self._varying_columns() or COLUMNS)

    def _cells(self, row: Row) -> list[str]:
        def time(timings: Timings) -> list[str]:
            return [f"{timings.median:.4g}", f"{timings.spread / timings.median:.0%}"]

        texts = {name: COLUMNS[name](row.case) for name in self._varying_columns()}
        if "engine" in texts:
            texts["engine"] = _engine(row)
        cells = [*map(safe_text, texts.values())]
        cells += [*time(row.times), f"{row.times.first:.3g}"]
        cells += time(row.on_device) if row.on_device else []
        cells += [f"{row.images_per_second:.3g}", f"{row.megapixels_per_second:.3g}"]
        cells += ["-" if row.share is None else f"{row.share:.0%}"]
        peaks = (f"{peak.macs_per_second / GIGA:.3g}" for peak in row.throughputs)
        cells += [" ".join(peaks) or "-"]
        cells += ["-" if row.peak is None else f"{row.peak / MEBI:.0f}"]
        if (stream := row.stream) is not None:
            seconds = (stream.latency, stream.slow_latency)
            cells += [f"{stream.per_second:.3g}", *(f"{value:.3g}" for value in seconds)]
        return cells


def _engine(row: Row) -> str:
    """Return the engine of a case, with the chosen one if the case leaves that open."""
    asked = row.case.engine
    return asked if row.engine in ("", asked) else f"{asked} ({row.engine})"


def _as_dict(row: Row | Refusal) -> dict[str, Any]:
    if isinstance(row, Refusal):
        return {**asdict(row.case), "problem": row.problem}
    return {
        **asdict(row.case),
        "method": row.method,
        "chosen_engine": row.engine,
        "problem": None,
        "time": _times(row.times),
        "time_on_device": row.on_device and _times(row.on_device),
        "images_per_second": row.images_per_second,
        "megapixels_per_second": row.megapixels_per_second,
        "macs": row.macs,
        "peak_throughputs": [asdict(peak) for peak in row.throughputs],
        "share": row.share,
        "peak_bytes": row.peak,
        "stream": row.stream
        and {
            "frames": row.stream.frames,
            "frames_per_second": row.stream.per_second,
            "latency": {"median": row.stream.latency, "95%": row.stream.slow_latency},
        },
    }


def _times(timings: Timings) -> dict[str, Any]:
    return {
        "median": timings.median,
        "spread": timings.spread,
        "first": timings.first,
        "rounds": len(timings.seconds),
    }
