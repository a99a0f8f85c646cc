"""Turn whatever the code of others raises into one sentence that says who failed, and how.

Every call of a strategy, backbone, engine, metric, reader or task goes through one of the context
managers below, so that one that fails costs one image or one row, and never ends a program without
a word: `SystemExit` and `GeneratorExit` are errors here, too. Only Ctrl-C and SIGTERM pass, and a
`FusionlabError`, with which the code of others says itself what is wrong.

A lack of memory has many spellings. Each of them becomes an error with the code `out-of-memory`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionlab.errors import FusionlabError, PluginError, in_one_line, one_line
from fusionlab.plugins.host import installed

if TYPE_CHECKING:
    from fusionlab.plugins.registry import Registration, Registry

OUT_OF_MEMORY = "out-of-memory"

_MEMORY_MESSAGES = re.compile(
    r"out of memory|can(?:no|')t allocate memory|not enough memory|_ALLOC_FAILED|bad[_ ]alloc",
    re.IGNORECASE,
)
"""What torch, cuDNN, cuBLAS, oneDNN and C++ say in a `RuntimeError` or a subclass of it: torch has
a class of its own only for CUDA, and none for the memory of the CPU."""

_ASKED_FOR = re.compile(r"tried to allocate ([\d.]+ ?\w+)", re.IGNORECASE)

Role = Literal["strategy", "backbone", "engine"]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory does not suffice, on a CPU or a GPU."""
    if isinstance(error, FusionlabError):
        return error.code == OUT_OF_MEMORY
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        named = any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)  # of torch
        return named or _MEMORY_MESSAGES.search(one_line(error)) is not None
    return isinstance(error, MemoryError)


def attribute_errors_to(registration: Registration[Any]) -> AbstractContextManager[None]:
    """Name the registration and its plugin in whatever the block raises (code `plugin-error`)."""
    return translated(
        lambda: registration.qualified,
        "plugin-error",
        failed="cannot be used",
        advice=f"report this to the authors of {registration.plugin}",
    )


def failures_of(role: Role, part: object) -> AbstractContextManager[None]:
    """Name a strategy, backbone or engine, and its plugin, in whatever the block raises.

    The code of the error is `strategy-failed`, `backbone-failed` or `engine-failed`.
    """
    return translated(lambda: f"the {role} {name_of(part)}", f"{role}-failed")


@contextmanager
def translated(
    who: str | Callable[[], str], code: str, *, failed: str = "failed", advice: str = ""
) -> Iterator[None]:
    """Turn whatever the block raises into a `PluginError`; the cause stays attached.

    Args:
        who: whose code it is, or a function that returns it, called only where something is raised.
        code: of the error; a lack of memory has the code `out-of-memory` instead.
        failed: the verb of the sentence.
        advice: what to do about it.

    Raises:
        PluginError: whatever was raised, other than Ctrl-C, SIGTERM and a `FusionlabError`.
        FusionlabError: memory does not suffice.
    """
    try:
        yield
    except (FusionlabError, KeyboardInterrupt):
        raise
    except BaseException as error:
        name = who if isinstance(who, str) else who()
        if is_out_of_memory(error):
            raise _lack_of_memory(f"for {name}", error) from error
        advice = advice and f"; {advice}"
        raise PluginError(f"{name} {failed}: {in_one_line(error)}{advice}", code=code) from error


@contextmanager
def memory_errors(work: str, *, option: str = "", path: Path | None = None) -> Iterator[None]:
    """Turn a lack of memory, in whatever spelling, into an error with the code `out-of-memory`.

    Args:
        work: what memory was needed for: `"to fuse a.png"`.
        option: the setting that makes it need less.
        path: the file that it is about.

    Raises:
        FusionlabError: there is not enough memory.
    """
    try:
        yield
    except FusionlabError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise _lack_of_memory(work, error, option, path) from error


def name_of(part: object) -> str:
    """Return the name of the class of a strategy, backbone or engine, and of its plugin."""
    cls = type(part)
    plugin = _plugin_of(cls)
    return f"{cls.__name__} of {plugin}" if plugin else cls.__name__


def _plugin_of(cls: type) -> str:
    """Return the plugin that offers something from the package of a class; empty: none does."""
    package, _, _ = cls.__module__.partition(".")
    plugins = installed()
    registries: list[Registry[Any]] = [plugins.strategies, plugins.backbones, plugins.engines]
    found = (
        registration.plugin
        for registry in registries
        for registration in registry.registrations
        if re.split("[.:]", registration.ref.target)[0] == package
    )
    return next(found, "")


def _lack_of_memory(
    work: str, error: BaseException, option: str = "", path: Path | None = None
) -> FusionlabError:
    size = _ASKED_FOR.search(one_line(error))
    asked = f", which asked for {size[1]}" if size else ""
    return FusionlabError(
        f"there is not enough memory {work}{asked}; choose smaller images, or less at the same "
        "time",
        code=OUT_OF_MEMORY,
        option=option,
        path=path,
    )
