"""The exception that is meant for users, and the wording of others.

A `FusionlabError` carries one sentence: what was expected, what came, what to do. The command
line prints it and exits with code 2; Python callers may catch it as the `ValueError` it is.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

MAX_TEXT = 400
"""Longest text of another program's exception in a sentence of ours, in characters."""


def one_line(error: BaseException) -> str:
    """Return the message of an exception in one line; its type if it has no message.

    Long messages are cut: some list thousands of names, or hold a whole file.
    """
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # `__str__` is the code of others, too
        text = ""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}..."
    return text or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """Return the type and the message of an exception, even if its `__str__` fails."""
    name, message = type(error).__name__, one_line(error)
    return name if message == name else f"{name}: {message}"


def distinct_texts(*numbers: float) -> list[str]:
    """Return numbers as text, with six digits, or with as many as make different ones look so.

    For messages that compare numbers: "0 to 1" must not stand for 0 to 1.0000004.
    """
    texts: list[str] = []
    for digits in range(6, 18):  # 17 digits tell any two floats apart
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            break
    return texts


class Terminated(KeyboardInterrupt):
    """The process got SIGTERM, as schedulers and `kill` send it, or SIGHUP: it stops as at Ctrl-C.

    Args:
        number: the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


class FusionlabWarning(UserWarning):
    """What a Python caller should know about an image, such as what was ignored in its file."""


class PluginWarning(RuntimeWarning):
    """A plugin is ignored, or was to be left out and is not installed."""


class FusionlabError(ValueError):
    """A problem the caller can fix: a file, a size, a name, a number.

    Args:
        message: one sentence, without the names of command-line options.
        code: a short identifier of the kind of problem, for example `"size-mismatch"`; programs
            and tests may rely on it, whereas messages may change.
        option: the setting that fixes the problem or caused it, spelled as a keyword argument,
            for example `"overwrite"`. The command line adds its own spelling, `--overwrite`.
        path: the file or folder concerned.
    """

    def __init__(
        self, message: str, *, code: str = "", option: str = "", path: Path | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.option = option
        self.path = path


class PluginError(FusionlabError):
    """The code of a strategy, backbone, engine, metric, reader or task failed.

    Or it broke its contract. What else is computed is not affected.
    """


class PairingError(FusionlabError):
    """It is not clear which files are the sources of one fusion.

    Args:
        message: as for `FusionlabError`.
        suggestions: what would be clear: for each way to pair the files, the folders or templates
            to give instead.
        options: keyword arguments to give with them, such as `{"pages": "all"}`.
        code: as for `FusionlabError`.
        path: as for `FusionlabError`.
    """

    def __init__(
        self,
        message: str,
        suggestions: Sequence[Sequence[str]] = (),
        *,
        options: Mapping[str, str] | None = None,
        code: str = "",
        path: Path | None = None,
    ) -> None:
        super().__init__(message, code=code, path=path)
        self.options = dict(options or {})
        self.suggestions = tuple(map(tuple, suggestions))
