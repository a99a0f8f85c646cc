"""What commands and groups of commands have in common: how help and errors are printed."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from fusionlab.cli.output import echo, stdout_of_command
from fusionlab.cli.session import CommandError, CommandStopped
from fusionlab.errors import in_one_line


def print_and_exit(ctx: click.Context, text: str) -> None:
    """Print the text that an option asks for, in place of running the command."""
    echo(*text.split("\n"))
    ctx.exit()


def _show_help(
    ctx: click.Context, _param: click.Parameter, asked: bool
) -> None:  # the signature is click's
    if asked and not ctx.resilient_parsing:
        print_and_exit(ctx, ctx.get_help())


def _show_error(error: click.ClickException) -> None:
    """Print an error as click does, with escapes for what was typed into it."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        echo(*error.format_message().split("\n"), err=True)
        return
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is not None:
        help_option = max(ctx.help_option_names, key=len)
        echo(*ctx.get_usage().split("\n"), err=True)
        echo(f"Try '{ctx.command_path} {help_option}' for help.", "", err=True)
    prefix = "" if isinstance(error, CommandStopped) else "Error: "  # being stopped is none
    echo(prefix + error.format_message(), err=True)


class Command(click.Command):
    """A command whose help is printed as everything else is."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option --help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command


class MainGroup(Group):
    """The main command: it owns stdout while a command runs, and prints what went wrong.

    It says of its own options where they go, if they are given to a command. Its commands are
    imported when they are looked up.
    """

    homes: Mapping[str, str] = {}
    """Command -> the module with its function, which has the same name."""

    @property
    def commands(self) -> dict[str, click.Command]:
        """All commands, by their names."""
        return {name: self._imported(name) for name in self.homes}

    @commands.setter
    def commands(self, commands: object) -> None:
        """Ignore what click sets: there are no other commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # of click
        """Return the names of the commands."""
        return sorted(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # of click
        """Return a command; None if there is none of this name."""
        return self._imported(cmd_name) if cmd_name in self.homes else None

    def _imported(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(self.homes[name]), name.replace("-", "_"))
        return command

    def main(  # type: ignore[override]  # without click's promise not to return
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **kwargs: Any
    ) -> Any:
        """Run a command line; exit with its code, unless `standalone_mode` is off."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **kwargs)
        with stdout_of_command() as failure:
            try:
                code = super().main(args, standalone_mode=False, **kwargs) or 0
            except click.ClickException as error:
                _show_error(error)
                code = error.exit_code
            except click.Abort:  # Ctrl-C before there is a command
                code = 128 + signal.SIGINT
            if reason := failure():
                code = code or 1
                if not isinstance(reason, BrokenPipeError):  # the reader has seen enough
                    text = getattr(reason, "strerror", None) or reason
                    echo(f"Error: cannot write to the standard output: {text}", err=True)
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise CommandStopped("stopped", stop) from None
        except (SystemExit, GeneratorExit) as error:  # no command ends like this: exit code 0?
            raise CommandError(
                f"the code of a plugin ended the command ({in_one_line(error)}), and did not get "
                "to say which; leave plugins out one by one"
            ) from error
        except click.UsageError as error:
            unknown = error if isinstance(error, click.NoSuchOption) else error.__cause__
            for param in self.params:
                if isinstance(unknown, click.NoSuchOption) and unknown.option_name in param.opts:
                    flag = isinstance(param, click.Option) and param.is_flag
                    value = "" if flag else f" {param.make_metavar(ctx)}"
                    raise click.UsageError(
                        f"{unknown.option_name} goes before the command: {ctx.command_path} "
                        f"{unknown.option_name}{value} {ctx.invoked_subcommand} ...",
                        error.ctx,
                    ) from error
            raise


class TableCommand(Command):
    """A command that refuses an option that is given twice, instead of forgetting the first.

    Where a command makes a table, two values are meant as two rows or columns; elsewhere the last
    value wins, as in other programs.
    """

    def make_parser(self, ctx: click.Context) -> Any:
        """Return the parser of the command line."""
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            parsed = parse(args)
            for param, count in Counter(parsed[2]).items():
                single = isinstance(param, click.Option) and not (
                    param.multiple or param.is_flag or param.count
                )
                if single and count > 1:
                    name = param.opts[0]
                    raise click.UsageError(f"{name} is given {count} times; give it once", ctx)
            return parsed

        parser.parse_args = parse_once
        return parser
