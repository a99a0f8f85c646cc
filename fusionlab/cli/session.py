"""Shared by all commands: the plugins, and how errors are reported."""

from __future__ import annotations

import os
import shlex
import signal
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from click.core import ParameterSource

from fusionlab.cli.output import echo, warn
from fusionlab.errors import (
    FusionlabError,
    FusionlabWarning,
    PairingError,
    PluginWarning,
    Terminated,
)
from fusionlab.plugins import NO_PLUGIN

if TYPE_CHECKING:
    from fusionlab.plugins.registry import Plugins


class CommandError(click.ClickException):
    """An error that the user can fix: one sentence on stderr, exit code 2."""

    exit_code = 2


class CommandStopped(CommandError):  # noqa: N818  # an exit of its own kind
    """The command was stopped: one sentence on stderr, and the exit code that shells use.

    Args:
        message: the sentence.
        stop: what stopped it, Ctrl-C or a `Terminated`.
    """

    def __init__(self, message: str, stop: KeyboardInterrupt) -> None:
        super().__init__(message)
        number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
        self.exit_code = 128 + number  # type: ignore[misc]  # click declares one for a class


def command_line(ctx: click.Context, path: str, *, without: Collection[str] = ()) -> str:
    """Return a command with the arguments and options of the one that runs.

    Args:
        ctx: of the command that runs.
        path: the command, such as `study run`.
        without: names of the options that are left out.
    """
    words = ["fusionlab", *path.split()]
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if not given or param.name in without or param.name not in ctx.params:
            continue
        value = ctx.params[param.name or ""]
        for text in value if isinstance(value, tuple) else [value]:
            if isinstance(param, click.Option):
                words.append(param.opts[0])
            if text is not True:
                words.append(str(text))
    return shlex.join(words)


@contextmanager
def told_by(tell: Callable[[str], None], kind: type[Warning]) -> Iterator[None]:
    """Hand each Python warning of a kind to `tell`, in place of printing its line of code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", kind)
        show = warnings.showwarning

        def show_ours(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, kind):
                tell(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_ours
        yield


class Session:
    """The plugins of this run, loaded on first use."""

    def __init__(self, blocked: tuple[str, ...] = ()) -> None:
        self.blocked = blocked
        self._told: set[str] = set()

    @contextmanager
    def in_process(self) -> Iterator[None]:
        """Leave the blocked plugins out wherever this process, or one that it starts, reads."""
        before = os.environ.get(NO_PLUGIN)
        os.environ[NO_PLUGIN] = " ".join(self.blocked)
        try:
            with told_by(self._tell, PluginWarning):
                yield
        finally:
            if before is None:
                os.environ.pop(NO_PLUGIN, None)
            else:
                os.environ[NO_PLUGIN] = before

    @cached_property
    def plugins(self) -> Plugins:
        """All plugins except the blocked ones; each problem is reported once on stderr."""
        from fusionlab.plugins.host import plugins_without

        plugins = plugins_without(" ".join(self.blocked))
        for text in plugins.warnings:
            self._tell(text)
        return plugins

    def _tell(self, text: str) -> None:
        """Print a warning about plugins, which the library may give once more for Python."""
        if text not in self._told:
            self._told.add(text)
            warn(text)


@contextmanager
def cli_errors() -> Iterator[None]:
    """Report a `FusionlabError`, an error of the file system, or Ctrl-C as one sentence."""
    try:
        Path.cwd()
    except OSError:  # torch ends the process there
        raise CommandError(
            "the working folder does not exist any more; change to one that does"
        ) from None
    try:
        yield
    except KeyboardInterrupt as stop:
        raise CommandStopped("stopped; nothing has been written", stop) from None
    except FusionlabError as error:
        raise CommandError(_for_command_line(error)) from error
    except OSError as error:
        if error.filename is None:  # not about a file
            raise
        raise CommandError(f"cannot use {error.filename}: {error.strerror}") from error


def _for_command_line(error: FusionlabError) -> str:
    """Return the message of an error, with the command-line option that it concerns.

    That is the option with the name of the error's keyword argument, however it is spelled; or it
    is the command with other sources.
    """
    if isinstance(error, PairingError) and error.suggestions:
        options = [
            word for name, value in error.options.items() for word in (_flag_of(name), value)
        ]
        commands = [_command_with([*sources, *options]) for sources in error.suggestions]
        return f"{error}: {' or: '.join(commands)}"
    if error.code == "too-many-pixels" and not _takes(error.option):
        return str(error)  # most commands keep to the limit
    return with_flag(str(error), error.option)


def with_flag(message: str, option: str) -> str:
    """Return the message of an error, with the command-line option that it concerns.

    Args:
        message: a sentence.
        option: the keyword argument that it concerns, see `FusionlabError`; empty: none.
    """
    return f"{message} ({_flag_of(option)})" if option else message


def _takes(option: str) -> bool:
    """Return whether the command that runs has an option for a keyword argument."""
    context = click.get_current_context(silent=True)
    return context is not None and option in context.params


def _flag_of(option: str) -> str:
    """Return the option of the command that runs with the name of a keyword argument."""
    context = click.get_current_context(silent=True)
    params = context.command.get_params(context) if context else []
    names = [name for param in params if param.name == option for name in param.opts]
    default = f"--{option.replace('_', '-')}"
    return next((name for name in names if name.startswith("--")), default)


def _command_with(words: Sequence[str]) -> str:
    """Return the command with these sources and options, quoted for a shell."""
    context = click.get_current_context(silent=True)
    takes_sources = context and context.params.keys() & {"sources", "sets"}
    name = f"fusionlab {context.info_name} " if context and takes_sources else ""
    return name + shlex.join(words)


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence the warnings and logs of image decoders, and print our own warnings as sentences.

    Errors in a file are reported as one sentence. Damage that changes no pixel, such as an invalid
    tag, is not reported. Warnings in the logs of other libraries are printed as lines.
    """
    import logging

    class Echo(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            echo(record.getMessage(), err=True)

    handler, logger = logging.NullHandler(), logging.getLogger("tifffile")
    logger.addHandler(handler)
    unhandled, logging.lastResort = logging.lastResort, Echo(logging.WARNING)
    try:
        with told_by(warn, FusionlabWarning):
            warnings.filterwarnings("ignore", module=r"(PIL|tifffile|imageio)\b")
            yield
    finally:
        logger.removeHandler(handler)
        logging.lastResort = unhandled
