"""Options that the chosen strategy adds to a command, and defaults that a preset or task sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from fusionlab.cli.command import Command
from fusionlab.cli.session import CommandError, Session, cli_errors
from fusionlab.errors import FusionlabError
from fusionlab.plugins.engine_names import AUTO, engines_named
from fusionlab.plugins.presets import preset_values
from fusionlab.plugins.tasks import DETECT

if TYPE_CHECKING:
    from fusionlab.parameters import Param
    from fusionlab.plugins.offers import StrategyRef
    from fusionlab.plugins.registry import Plugins, Registration, Registry

FC = TypeVar("FC", bound=Callable[..., Any])
"""A function, or a command that was made of it."""

pages_option = click.option(
    "--pages",
    metavar="all|1,3-5",
    help="Take these pages (frames, slices) of each file as sources: numbers from 1, ranges or "
    "names.  [default: the first]",
)
channels_option = click.option(
    "--channels",
    metavar="all|rgb,4",
    help="Take these channels of each file as sources, separated by commas: one channel, or three "
    "as color; 1-3 and rgb are the first three.  [default: the color or gray image]",
)
stack_option = click.option(
    "--stack",
    metavar="all|N",
    help="For one folder: its images are the sources, all of them, or N by N in the order of their "
    "names.",
)


def with_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a decorator that adds options to a command, in this order."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def max_pixels_option(what: str) -> Callable[[FC], FC]:
    """Return the option `--max-pixels`; `what` are the images, as in `sources that claim`."""
    return click.option(
        "--max-pixels",
        type=click.IntRange(min=0),
        default=2**28,
        show_default=True,
        metavar="PIXELS",
        help=f"Refuse {what} more pixels, as decompression bombs do; 0: no limit.",
    )


PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""The names in `fusionlab.engine.precision`, which imports torch; a test compares them."""

_CHOSEN = "fusionlab.chosen-strategy"
_NAMED = "fusionlab.values-in-the-name-of-the-strategy"
_PRESETTABLE = {"backbone", "color", "range_policy", "scale", "shared_weights"}
"""The options of a command that a preset or task may set, besides those of the strategy."""


class _InstalledName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on only
    """A name that an installed plugin offers."""

    registry: ClassVar[str]
    """The attribute of `Plugins`, and the command that lists the names."""
    others: ClassVar[tuple[str, ...]] = ()
    """Words that are accepted, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with the most similar one."""
        try:
            if value not in self.others:
                self.check(value, _session(ctx).plugins)
        except FusionlabError as error:
            self.fail(f"{error} (see 'fusionlab {self.registry}')", param, ctx)
        return str(value)

    def check(self, value: str, plugins: Plugins) -> None:
        """Raise `FusionlabError` unless a plugin offers it."""
        registry: Registry[Any] = getattr(plugins, self.registry)
        registry.find(value)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  # the signature is click's
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`."""
        names = {entry.ref.name for entry in self._registry(ctx).registrations} | {*self.others}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]

    def _registry(self, ctx: click.Context | None) -> Registry[Any]:
        registry: Registry[Any] = getattr(_session(ctx).plugins, self.registry)
        return registry


class EngineName(_InstalledName):
    """The name of an engine that an installed plugin offers, of two, or `auto`."""

    name, registry, others = "engine", "engines", (AUTO,)

    def check(self, value: str, plugins: Plugins) -> None:
        """Check both names of `ENCODER+DECODER`."""
        engines_named(value, plugins)


class TaskName(_InstalledName):
    """The name of a task that an installed plugin offers, or the word for its detection."""

    name, registry, others = "task", "tasks", (DETECT,)


def _session(ctx: click.Context | None) -> Session:
    """Return the session of a command; completion in the shell runs without one."""
    return (ctx and ctx.find_object(Session)) or Session()


class OptionWithAliases(click.Option):
    """An option whose first name is shown in the help; its other names are hidden aliases."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the line of the help text, without the aliases."""
        names, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names


class StrategyCommand(Command):
    """A command whose `--strategy NAME`, or argument STRATEGY, adds the options of NAME.

    The command line is parsed twice. The first time, unknown options are ignored, to find the
    strategy, and the preset or task. The second time, the options of the strategy are added, with
    the values of the preset or task as defaults. The callback receives the strategy, built, as
    `strategy`; or None if the command has an option `--task`, and the task is to be detected.

    NAME may be followed by values, as tables and records name strategies: `l1norm,r=1`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line and build the strategy."""
        registration = self._peek(ctx, list(args))
        if registration is None:  # the task is detected; or --help without any plugin installed
            try:
                return super().parse_args(ctx, args)
            except click.NoSuchOption as error:
                text = f"{error.format_message()} Options of a strategy need --strategy or --task."
                raise click.UsageError(text, ctx) from error
        from fusionlab.parameters import params_of
        from fusionlab.plugins.factory import strategy_of
        from fusionlab.plugins.loading import strategy_class

        with cli_errors():
            cls = strategy_class(registration)
            options = [_option(param) for param in params_of(cls)]
        self._refuse_shadowing(registration, options)
        named = ctx.meta[_NAMED]
        if unknown := named.keys() - {option.name for option in options}:
            names = ", ".join(str(option.name) for option in options) or "none"
            raise CommandError(
                f"the strategy {registration.ref.name!r} has no parameter {min(unknown)!r}; it "
                f"has: {names}"
            )
        self._refuse_foreign_presets(ctx, options)
        ctx.meta[_CHOSEN] = (registration, options)
        try:
            remaining = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            names = ", ".join(option.opts[0] for option in options) or "none"
            text = f"{error.format_message()} Options of {registration.ref.name}: {names}."
            raise click.UsageError(text, ctx) from error
        for option in options:
            source = ctx.get_parameter_source(str(option.name))
            if option.name in named and source is ParameterSource.COMMANDLINE:
                raise CommandError(
                    f"{option.name} is given twice, as {option.opts[0]} and in the name "
                    f"{registration.ref.name},{option.name}={named[option.name]}; give it once"
                )
        values = {option.name: ctx.params.pop(option.name) for option in options if option.name}
        with cli_errors():
            ctx.params["strategy"] = strategy_of(registration, cls, values)
        return remaining

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and those of the strategy."""
        _, extra = ctx.meta.get(_CHOSEN, (None, []))
        return [*super().get_params(ctx), *extra]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the strategy in a section of their own."""
        registration, extra = ctx.meta.get(_CHOSEN, (None, []))
        ctx.meta[_CHOSEN] = (registration, [])
        super().format_options(ctx, formatter)
        ctx.meta[_CHOSEN] = (registration, extra)
        if registration is None:
            return
        with formatter.section(
            f"Options of strategy {registration.ref.name} (from {registration.plugin})"
        ):
            records = [r for option in extra if (r := option.get_help_record(ctx))]
            if records:
                formatter.write_dl(records)
            else:
                formatter.write_text("none")

    def _peek(  # noqa: C901  # one question after the other
        self, ctx: click.Context, args: list[str]
    ) -> Registration[StrategyRef] | None:
        """Return the chosen strategy, and set the values of the preset or task as defaults.

        None if the task is to be detected from the sources, which have not been read yet.
        """
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        asking_help = any(arg in ctx.help_option_names for arg in args)
        try:
            parsed, _, _ = parser.parse_args(args)
        except click.UsageError:
            if not asking_help:
                raise
            parsed = {}
        plugins: Plugins = _session(ctx).plugins
        name, task, preset, backbone = (
            self._chosen(option, ctx, parsed)
            for option in ("strategy", "task", "preset", "backbone")
        )
        if task and preset:
            raise CommandError("--task and --preset both set the defaults; give only one of them")
        if "model" in parsed:  # it holds a strategy already
            return None
        if not name and (task == DETECT or not (task or preset or backbone)):
            can_detect = plugins.tasks.registrations and _has(self, "task")
            if can_detect or task:
                return None
        values: dict[str, object] = {}
        if task and task != DETECT:
            with cli_errors():
                name, values = _task_values(task, name, plugins)
        try:
            text, named = self._split(name or plugins.default("strategy"), plugins)
            registration = plugins.strategies.find(text)
        except FusionlabError as error:
            if asking_help and "strategy" not in parsed:
                return None
            raise CommandError(f"{error} (see 'fusionlab strategies')") from error
        if preset:
            with cli_errors():
                values = preset_values(preset, registration, plugins)
        ctx.default_map = {**(ctx.default_map or {}), **values, **named}
        ctx.meta[_NAMED] = named
        return registration

    def _split(self, text: str, plugins: Plugins) -> tuple[str, Mapping[str, str]]:
        """Split `STRATEGY[,name=value...]` into the name and the texts of the values."""
        from fusionlab.plugins.method_names import NameWithValues, split_method

        parts = NameWithValues.parse(text)
        if "/" in parts.name:  # a whole method, as it is printed
            backbone, strategy = split_method(text, plugins)
            raise FusionlabError(
                f"{text!r} is a method, not a strategy; give the strategy as {strategy}"
                + (f", and --backbone {backbone}" if _has(self, "backbone") else "")
            )
        return f"{parts.name}@{parts.tag}" if parts.tag else parts.name, parts.values

    def _chosen(self, name: str, ctx: click.Context, parsed: Mapping[str, Any]) -> str | None:
        """Return the value of an option of the command, from its arguments or the environment."""
        option = next((param for param in self.params if param.name == name), None)
        if option is None:
            return None
        value, _ = option.consume_value(ctx, parsed)
        return value if isinstance(value, str) else None  # click marks "not given" by an object

    def _refuse_shadowing(
        self, registration: Registration[StrategyRef], options: list[click.Option]
    ) -> None:
        """Refuse a strategy with an option that the command has already."""
        own_names = {"--help", "-h", "help"} | {
            name for p in self.params for name in (p.name or "", *p.opts, *p.secondary_opts)
        }
        for option in options:
            names = {option.name or "", *option.opts, *option.secondary_opts}
            if clashes := own_names & names:
                raise CommandError(
                    f"the strategy {registration.qualified} cannot be used: {min(clashes)} already "
                    f"belongs to 'fusionlab {self.name}'; its parameter must be renamed"
                )
            own_names |= names

    def _refuse_foreign_presets(self, ctx: click.Context, options: list[click.Option]) -> None:
        """Refuse a preset or task that sets other options than those it may set."""
        allowed = _PRESETTABLE | {option.name for option in options}
        if foreign := (ctx.default_map or {}).keys() - allowed:
            raise CommandError(
                f"the preset or task sets {min(foreign)!r}, which is not an option it may set "
                f"here; allowed: {', '.join(sorted(map(str, allowed)))}"
            )


def _has(command: click.Command, name: str) -> bool:
    return any(param.name == name for param in command.params)


def _task_values(
    task: str, strategy: str | None, plugins: Plugins
) -> tuple[str, dict[str, object]]:
    """Return the strategy of a task and its values: option or parameter -> value.

    An explicit strategy replaces the whole method of the task.
    """
    from fusionlab.plugins.method_names import NameWithValues, split_method

    try:
        defaults = plugins.tasks.find(task).ref
    except FusionlabError as error:
        raise CommandError(f"{error} (see 'fusionlab tasks')") from error
    values: dict[str, object] = {"color": defaults.color, "range_policy": defaults.range_policy}
    if strategy:
        return strategy, values
    backbone, text = split_method(defaults.method, plugins)
    parts = NameWithValues.parse(text)
    return parts.name, {**values, "backbone": backbone, **parts.values}


class _Text(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on only
    """The type of an option that `Param.parse` reads: tuples, optional values, free text."""

    def __init__(self, param: Param) -> None:
        self.param = param
        self.name = f"{param.kind.__name__}{',...' if param.many else ''}"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):  # a default, already a value
            return value
        try:
            return self.param.parse(value)
        except FusionlabError as error:
            self.fail(str(error), param, ctx)


def _option(param: Param) -> click.Option:
    """Return the `--option` of a parameter of a strategy."""
    flag = param.name.replace("_", "-")
    switch = param.kind is bool and not param.many and not param.optional
    names = [f"--{flag}/--no-{flag}" if switch else f"--{flag}", param.name]
    default: dict[str, Any] = {} if param.required else {"default": param.default}
    shown_default: bool | str = param.default is not None
    if param.many and isinstance(param.default, tuple):
        shown_default = param.format(param.default)
    return click.Option(
        names,
        type=_type(param),
        required=param.required,
        help=param.help,
        show_default=shown_default,
        **default,
    )


def _type(param: Param) -> Any:
    """Return the click type of a parameter."""
    if param.many or param.optional or (param.kind is str and not param.choices):
        return _Text(param)
    if param.choices:
        return click.Choice(param.choices)
    low = param.gt if param.ge is None else param.ge
    high = param.lt if param.le is None else param.le
    if (low, high) == (None, None):
        return param.kind
    kind: Any = click.IntRange if param.kind is int else click.FloatRange
    return kind(
        low,
        high,
        min_open=param.ge is None and param.gt is not None,
        max_open=param.le is None and param.lt is not None,
    )
