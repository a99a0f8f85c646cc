"""Undo what a module of a plugin changes in the whole process when it is imported.

A plugin that changes the folder, the handlers of signals or the defaults of torch at import would
change what all other code does, and relative paths and results with it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple


class _State(NamedTuple):
    """A part of the state of the process, and how it is set back."""

    name: str
    """Empty for what others may change by and by, such as the state of random generators."""
    value: Any
    read: Callable[[], Any]
    restore: Callable[[Any], object]


@contextmanager
def undone_effects(changed: list[str]) -> Iterator[None]:
    """Set the state of the process back after the block, also where it raises.

    Args:
        changed: gets what the block has changed, in words: "the working directory".
    """
    without_torch = "torch" not in sys.modules
    before = [_State(name, read(), read, restore) for name, read, restore in _states()]
    paths = list(sys.path)
    try:
        yield
    finally:
        for state in before:
            if state.read() != state.value:
                changed += [state.name] if state.name else []
                with suppress(OSError, ValueError):
                    state.restore(state.value)
        if without_torch and (torch := sys.modules.get("torch")) is not None:
            changed += _reset_torch(torch)
        if missing := [path for path in paths if path not in sys.path]:
            changed.append("sys.path")
            sys.path += missing


def _reset_torch(torch: Any) -> Iterator[str]:
    """Set what is known of torch back to how it begins, where the block has imported it."""
    if torch.get_default_dtype() != torch.float32:
        torch.set_default_dtype(torch.float32)
        yield "the default dtype"
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        yield "gradients"


def _states() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], object]]]:
    yield "the working directory", _folder, _set_folder
    yield "the streams", lambda: (sys.stdout, sys.stderr), _set_streams
    yield "the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit
    yield "", random.getstate, random.setstate
    yield "that warnings are errors", _errors_of_warnings, _set_errors_of_warnings
    if threading.current_thread() is threading.main_thread():
        yield "the handlers of signals", _handlers, _set_handlers
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):  # imported, and completely
        yield "the threads of torch", torch.get_num_threads, torch.set_num_threads
        yield "the default dtype", torch.get_default_dtype, torch.set_default_dtype
        yield "gradients", torch.is_grad_enabled, torch.set_grad_enabled
        yield (
            "",
            lambda: bytes(torch.get_rng_state().tolist()),
            lambda state: torch.set_rng_state(torch.tensor(list(state), dtype=torch.uint8)),
        )


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # text, which chdir takes
    except OSError:  # it has been deleted
        return ""


def _set_folder(folder: str) -> None:
    if folder:
        os.chdir(folder)


def _set_streams(streams: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = streams


def _handlers() -> list[Any]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [signal.getsignal(getattr(signal, name)) for name in names if hasattr(signal, name)]


def _set_handlers(handlers: list[Any]) -> None:
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    for name, handler in zip(names, handlers, strict=True):
        if handler is not None:  # None: of a program that is not Python
            signal.signal(getattr(signal, name), handler)


def _errors_of_warnings() -> list[Any]:
    """Return the filters that turn whole classes of warnings into errors, wherever they arise."""
    return [entry for entry in warnings.filters if entry[0] == "error" and not entry[1]]


def _set_errors_of_warnings(before: list[Any]) -> None:
    for entry in _errors_of_warnings():
        if entry not in before:
            warnings.filters.remove(entry)  # type: ignore[attr-defined]
