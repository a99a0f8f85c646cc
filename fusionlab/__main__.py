"""`fusionlab` and `python -m fusionlab`: what belongs to the process, and then the command.

Signals are handled before the command is imported, which takes most of the time of a short one.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from fusionlab.errors import Terminated


class _Signals:
    """Let the first Ctrl-C, SIGTERM or SIGHUP stop the command in order, as an exception.

    The second one changes nothing, but says so: what is being written, and the state of a training,
    are finished. The third one ends the process at once, as SIGKILL would.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.received = 0
        """The first signal; 0: none."""
        handled = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        self._handled = [n for n in handled if signal.getsignal(n) == signal.SIG_DFL]
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not behind a shell's &
            self._handled.append(signal.SIGINT)
        for number in self._handled:
            signal.signal(number, self._stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._restore)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stopping:
            for handled in self._handled:
                signal.signal(handled, signal.SIG_DFL)
            os.write(2, b"stopping; once more ends it at once\n")
            return
        self.stopping, self.received = True, number
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def _restore(self) -> None:
        """Set the handlers that every process begins with."""
        for number in self._handled:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)


def _take_streams() -> None:
    """Take stdout for the command alone: file 1, where libraries and children print, is stderr.

    And fill the places of closed streams, which would go to the next files that are opened.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is None:  # it was closed: nothing is printed
        return
    number = os.dup(1)
    os.dup2(2, 1)
    encoding = sys.stdout.encoding
    sys.stdout = open(number, "w", encoding=encoding, errors="backslashreplace")  # noqa: PTH123, SIM115 - of the process


def run() -> None:
    """Run the command line of this process, and exit with its code."""
    signals = _Signals()
    code: object = 1
    try:
        _take_streams()
        from fusionlab.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        if not signals.received:
            _show_defect(error)
        else:  # while modules were imported, where it may have become another exception
            code = 128 + signals.received
            os.write(2, b"stopped\n")
    signals.stopping = True  # what is left has nothing to say about it
    _end(code)


def _end(code: object) -> NoReturn:
    """End the process; if it has imported torch, without taking that apart, which takes 0.5 s."""
    working = [
        t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()
    ]
    if "torch" not in sys.modules or working or not isinstance(code, int | None):
        sys.exit(code)  # type: ignore[arg-type]
    atexit._run_exitfuncs()  # noqa: SLF001  # what libraries and plugins have left for the end
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it is closed, or its reader is gone
            stream.flush()
    os._exit(code or 0)


def _show_defect(error: BaseException) -> None:
    """Print the traceback of an error of ours, with escapes for what a terminal would obey."""
    from traceback import format_exception

    from fusionlab.cli.output import echo

    echo(*"".join(format_exception(error)).rstrip().split("\n"), err=True)


if __name__ == "__main__":
    run()
