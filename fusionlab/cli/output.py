"""Output of the commands: JSON for scripts, tables on a terminal, plain columns in a pipe."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

LINE_SECONDS = 10.0
"""How often a line of progress is printed where there is no terminal."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print names and values, one per line; leave out empty values unless `as_json`."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    rows = [
        (name, line)
        for name, value in facts.items()
        if value not in (None, "", [])
        for line in (value if isinstance(value, list) else [value])
    ]
    _columns([(name, str(line)) for name, line in rows])


def show_table(names: Sequence[str], rows: Iterable[Sequence[str]], *, as_json: bool) -> None:
    """Print rows in columns; on a terminal, with a header."""
    table = [tuple(row) for row in rows]
    if as_json:
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in table], indent=2))
    else:
        _columns(table, names)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    click.echo(f"warning: {text}", file=sys.stderr)  # err=True would bypass a progress bar


class RepeatedWarnings:
    """Prints the warnings of a run over many images: each kind at its first time, and at the end
    how often it came again.

    Two warnings are of one kind if they differ only in the names of files and in what was measured.
    Numbers of bits are kept: the advice that goes with them differs.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, int]] = {}

    def tell(self, text: str, names: Iterable[str]) -> None:
        """Print a warning, unless one of its kind has been printed.

        Args:
            text: the warning.
            names: of the files that it may be about.
        """
        kind = text
        for name in sorted(names, key=len, reverse=True):
            kind = kind.replace(name, "NAME")
        kind = re.sub(r"-?\d[\d.]*(?:e[+-]\d+)?(?![\d.]| bits)", "N", kind)
        first, count = self._kinds.get(kind, (text, 0))
        self._kinds[kind] = (first, count + 1)
        if not count:
            warn(text)

    def tell_counts(self) -> None:
        """Print how many more there were of each kind."""
        for first, count in self._kinds.values():
            if count > 1:
                warn(f"{count} like this one: {first}")


@contextmanager
def show_progress(description: str, enough: int = 1) -> Iterator[Callable[..., None]]:
    """Yield `show(done, total, note="", reused=0)`: a bar, or in a pipe a line every ten seconds.

    The first line comes after ten seconds, so that short commands print none.

    Args:
        description: what is counted.
        enough: how many must be done, besides those that are reused from an earlier run, before a
            line says how long the rest will take.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    if not console.is_terminal:  # a disabled bar of rich 13 still prints an empty line
        yield _Lines(description, enough)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        redirect_stdout=False,  # it may be a pipe
    ) as bars:
        task = bars.add_task(description, total=None, visible=False, note="")

        def show(done: int, total: int, note: str = "", reused: int = 0) -> None:
            if reused:
                note = f"{reused} from earlier runs{', ' if note else ''}{note}"
            bars.update(task, completed=done, total=total, visible=total > 1, note=note)

        yield show


class _Lines:
    """Prints how far a command is, on stderr, not more often than every ten seconds."""

    def __init__(self, description: str, enough: int) -> None:
        self._description = description
        self._enough = enough
        self._start = self._printed = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "", reused: int = 0) -> None:
        now = time.monotonic()
        if now - self._printed < LINE_SECONDS or not done:
            return
        self._printed = now
        parts = [f"{self._description}: {done} of {total}"]
        if reused:
            parts.append(f"{reused} from earlier runs")
        if done - reused >= self._enough:
            rate = (done - reused) / (now - self._start)
            parts += [f"{rate:.3g} per second", f"{duration((total - done) / rate)} left"]
        click.echo(", ".join([*parts, note] if note else parts), file=sys.stderr)


def duration(seconds: float) -> str:
    """Return a duration as `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _columns(rows: list[tuple[str, ...]], names: Sequence[str] = ()) -> None:
    if not rows:
        return
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Column, Table
        from rich.text import Text

        columns = [Column(name, overflow="fold") for name in names or [""] * len(rows[0])]
        table = Table(*columns, box=None, show_header=bool(names), pad_edge=False)
        table.columns[0].style = "bold"
        for row in rows:
            table.add_row(*map(Text, row))  # as plain text: file names may contain markup
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
