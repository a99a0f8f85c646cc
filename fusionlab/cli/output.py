"""Output of the commands: JSON for scripts, tables on a terminal, plain columns in a pipe.

All that the commands print goes through `echo`, and on a terminal also through `console`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from fusionlab.safe_text import safe_text

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 10.0
"""How often a line of progress is printed where there is no terminal."""


class _Stdout:
    """The standard output of the commands, to which only `echo` writes while one runs."""

    def __init__(self) -> None:
        self.taken = False
        """Whether a command runs, and `sys.stdout` is another stream."""
        self.own: TextIO | None = None
        self.failure: Exception | None = None
        """Why not all could be written."""

    @property
    def stream(self) -> TextIO | None:
        """The stream; None if it is closed."""
        return self.own if self.taken else sys.stdout


_stdout = _Stdout()


@contextmanager
def stdout_of_command() -> Iterator[Callable[[], Exception | None]]:
    """Let only `echo` write to stdout: what plugins and libraries print goes to stderr.

    Warnings of Python go through `echo`, too.

    Yields:
        What returns why not all could be written to stdout; None if all was.
    """
    before = (_stdout.taken, _stdout.own, _stdout.failure)
    _stdout.taken, _stdout.own, _stdout.failure = True, _stdout.stream, None
    show_warning = warnings.showwarning
    warnings.showwarning = _show_warning
    try:
        with redirect_stdout(sys.stderr):
            yield lambda: _stdout.failure
    finally:
        warnings.showwarning = show_warning
        _stdout.taken, _stdout.own, _stdout.failure = before


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001  # the signature is Python's
    line: str | None = None,
) -> None:
    """Print a warning of Python or of a library, whose message may quote a file."""
    text = warnings.formatwarning(safe_text(str(message)), category, filename, lineno, line)
    echo(*text.rstrip("\n").split("\n"), err=True)


def echo(*lines: str, err: bool = False) -> None:
    r"""Print lines to stdout or stderr, whatever is in them and whatever becomes of them.

    What a terminal would obey is printed as escapes, ends of lines within a line among them. What
    stdout does not take is no error here: images are written also where no one can read about them;
    the command says so at its end. Nothing can be said where stderr takes nothing.

    Args:
        lines: give a text of several lines as `*text.split("\n")`.
        err: whether to print to stderr.
    """
    stream = sys.stderr if err else _stdout.stream
    if stream is None or (not err and _stdout.failure):
        return
    text = "".join(f"{_printable(line, stream)}\n" for line in lines)
    with _stream_may_fail(stream, err=err):
        stream.write(text)
        stream.flush()


def stdout_is_terminal() -> bool:
    """Return whether somebody reads stdout as it is written."""
    return _stdout.stream is not None and _stdout.stream.isatty()


def console(*, err: bool = False) -> Console:
    """Return what draws on a terminal; see `echo` for text of others.

    NO_COLOR leaves out all styles, and COLUMNS counts also where TERM is dumb.
    """
    from rich.console import Console

    stream = sys.stderr if err else _stdout.stream
    columns = os.environ.get("COLUMNS", "")
    width = None  # rich asks for it, of a bar again and again
    if re.fullmatch("[1-9][0-9]{0,3}", columns):
        width = int(columns)
    elif columns or not err:  # of a width of 0 rich makes nothing
        width = _width(stream)
    return Console(
        file=None if err else stream,
        stderr=err,
        width=width,
        height=width and 25,  # rich takes the one only with the other
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def _width(stream: TextIO | None) -> int:
    """Return the width of a terminal; 80 if it has none."""
    try:
        return os.get_terminal_size(stream.fileno() if stream else -1).columns or 80
    except (OSError, ValueError):
        return 80


def _printable(line: str, stream: TextIO) -> str:
    """Return a line with escapes for what is not shown, or is not in the encoding of a stream."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return safe_text(line).encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def _stream_may_fail(stream: TextIO, *, err: bool) -> Iterator[None]:
    """Remember why stdout took nothing, and let what it or stderr still hold end nowhere.

    Otherwise Python tries once more at its exit, and prints a traceback.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a plugin closed it
        if not err:
            _stdout.failure = error
        with suppress(OSError, ValueError):  # no file, or closed
            number = stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print names and values, one per line; leave out empty values unless `as_json`."""
    if as_json:
        echo(json.dumps(facts))
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
        show_json([dict(zip(names, row, strict=True)) for row in table])
    else:
        _columns(table, names)


def show_json(content: object) -> None:
    """Print JSON in lines that a person can read."""
    echo(*json.dumps(content, indent=2).split("\n"))


def warn(text: str) -> None:
    """Print a warning on stderr."""
    echo(f"warning: {text}", err=True)


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

    The total is None where it is not known. The first line comes after ten seconds, so that short
    commands print none.

    Args:
        description: what is counted.
        enough: how many must be done, besides those that are reused from an earlier run, before a
            line says how long the rest will take.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines(description, enough)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}"),
        console=console(err=True),
        transient=True,
        redirect_stdout=False,  # it may be a pipe
    ) as bars:
        task = bars.add_task(description, total=None, visible=False, note="")

        def show(done: int, total: int | None, note: str = "", reused: int = 0) -> None:
            if reused:
                note = f"{reused} from earlier runs{', ' if note else ''}{note}"
            bars.update(task, completed=done, total=total, visible=total != 1, note=note)

        yield show


class _Lines:
    """Prints how far a command is, on stderr, not more often than every ten seconds."""

    def __init__(self, description: str, enough: int) -> None:
        self._description = description
        self._enough = enough
        self._start = self._printed = time.monotonic()

    def __call__(self, done: int, total: int | None, note: str = "", reused: int = 0) -> None:
        now = time.monotonic()
        if now - self._printed < LINE_SECONDS or not done:
            return
        self._printed = now
        parts = [f"{self._description}: {done}{'' if total is None else f' of {total}'}"]
        if reused:
            parts.append(f"{reused} from earlier runs")
        if done - reused >= self._enough:
            rate = (done - reused) / (now - self._start)
            parts.append(f"{rate:.3g} per second")
            if total is not None:
                parts.append(f"{duration((total - done) / rate)} left")
        echo(", ".join([*parts, note] if note else parts), err=True)


def duration(seconds: float) -> str:
    """Return a duration as `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _columns(rows: list[tuple[str, ...]], names: Sequence[str] = ()) -> None:
    stream = _stdout.stream
    if not rows or stream is None:
        return
    rows = [tuple(_printable(cell, stream) for cell in row) for row in rows]
    if stdout_is_terminal():
        from rich.table import Column, Table
        from rich.text import Text

        columns = [Column(name, overflow="fold") for name in names or [""] * len(rows[0])]
        table = Table(*columns, box=None, show_header=bool(names), pad_edge=False)
        table.columns[0].style = "bold"
        for row in rows:
            table.add_row(*map(Text, row))  # as plain text: file names may contain markup
        with _stream_may_fail(stream, err=False):
            console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
