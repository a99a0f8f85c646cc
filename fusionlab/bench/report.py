"""The figures as JSON, and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from fusionlab.bench.cases import Case
from fusionlab.bench.measuring import Refusal, Row
from fusionlab.bench.timing import Samples

TIMED = (
    "one call of a Fusion that is built already, from arrays in memory to an array in memory: "
    "conversion, network, strategy, range and color; no files. The median of all calls but the "
    "first, which stands apart."
)
SHARE = (
    "the multiply-adds of the network, over the time, over what products of large matrices reach "
    "on the device, measured just before and after"
)
ON_CUDA = (
    "Between two synchronizations; 'on device' from tensors to a tensor that lie there: the rest "
    "is transfers, and conversion in main memory. The share is that of the time on the device."
)
MEBI, GIGA = 2**20, 1e9

HEADS: Mapping[str, Callable[[Case], str]] = {
    "method": lambda case: case.method,
    "size": lambda case: f"{case.width}x{case.height}",
    "sources": lambda case: str(case.sources),
    "channels": lambda case: str(case.channels),
    "engine": lambda case: case.engine,
    "precision": lambda case: case.precision,
}
"""What tells cases apart: name -> how it is shown."""


@dataclass(frozen=True)
class Report:
    """What was measured, on what."""

    machine: Mapping[str, Any]
    rows: Sequence[Row | Refusal]

    @property
    def on_cuda(self) -> bool:
        """Whether there are times on the device."""
        return bool(self.machine["gpu"])

    def as_dict(self) -> dict[str, Any]:
        """Return everything, in seconds, bytes and multiply-adds."""
        return {
            "machine": dict(self.machine),
            "timed": f"{TIMED} {ON_CUDA}" if self.on_cuda else TIMED,
            "share": SHARE,
            "rows": [_as_dict(row) for row in self.rows],
        }

    def facts(self) -> dict[str, str]:
        """Return what goes above the table: the machine, and what all rows have in common."""
        machine = self.machine
        where = machine["gpu"] or machine["processor"]
        busy = "" if machine["load"] is None else f", load {machine['load']}"
        return {
            "device": f"{machine['device']}, {where}",
            "threads": f"{machine['threads']} of {machine['cores']} cores{busy}",
            "versions": ", ".join(f"{name} {one}" for name, one in machine["versions"].items()),
            "timed": f"{TIMED} {ON_CUDA}" if self.on_cuda else TIMED,
            "share": f"{SHARE}.",
            **{
                name: show(self.rows[0].case)
                for name, show in HEADS.items()
                if name not in self._varied()
            },
        }

    def to_text(self) -> str:
        """Return the table, and below it what was refused."""
        names = [*self._varied(), "s", "±", "first, s"]
        names += ["on device, s", "±"] if self.on_cuda else []
        names += ["pictures/s", "MP/s", "share", "of GMAC/s", "peak, MiB"]
        found = [row for row in self.rows if isinstance(row, Row)]
        grid = tabulate(
            [self._cells(row) for row in found], names, tablefmt="simple", disable_numparse=True
        )
        refused = [
            f"refused: {self._name(row.case)}: {row.problem}"
            for row in self.rows
            if isinstance(row, Refusal)
        ]
        return "\n".join([*([grid] if found else []), *refused])

    def _varied(self) -> list[str]:
        """Return in what the cases differ."""
        return [
            name for name, show in HEADS.items() if len({show(row.case) for row in self.rows}) > 1
        ]

    def _name(self, case: Case) -> str:
        return " ".join(HEADS[name](case) for name in self._varied() or HEADS)

    def _cells(self, row: Row) -> list[str]:
        def time(samples: Samples) -> list[str]:
            return [f"{samples.median:.4g}", f"{samples.spread / samples.median:.0%}"]

        cells = [HEADS[name](row.case) for name in self._varied()]
        cells += [*time(row.times), f"{row.times.first:.3g}"]
        cells += time(row.on_device) if row.on_device else []
        cells += [f"{row.per_second:.3g}", f"{row.megapixels_per_second:.3g}"]
        cells += ["-" if row.share is None else f"{row.share:.0%}"]
        cells += [" ".join(f"{one.per_second / GIGA:.3g}" for one in row.rates) or "-"]
        cells += ["-" if row.peak is None else f"{row.peak / MEBI:.0f}"]
        return cells


def _as_dict(row: Row | Refusal) -> dict[str, Any]:
    if isinstance(row, Refusal):
        return {**asdict(row.case), "problem": row.problem}
    return {
        **asdict(row.case),
        "method": row.method,
        "problem": None,
        "time": _times(row.times),
        "time_on_device": row.on_device and _times(row.on_device),
        "per_second": row.per_second,
        "megapixels_per_second": row.megapixels_per_second,
        "multiply_adds": row.multiply_adds,
        "matrix_rates": [asdict(one) for one in row.rates],
        "share": row.share,
        "peak_bytes": row.peak,
    }


def _times(samples: Samples) -> dict[str, Any]:
    return {
        "median": samples.median,
        "spread": samples.spread,
        "first": samples.first,
        "rounds": len(samples.seconds),
    }
