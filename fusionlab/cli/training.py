"""Shared by `fusionlab train` and `fusionlab train-strategy`: options, resuming, progress."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fusionlab.cli.output import console, echo, show_facts
from fusionlab.cli.session import CommandStopped, cli_errors
from fusionlab.errors import one_line
from fusionlab.safe_text import safe_text

if TYPE_CHECKING:
    from fusionlab.checkpoint import Card
    from fusionlab.training.run_folder import RunFolder
    from fusionlab.training.trainer import Progress, Trainer

Command = TypeVar("Command", bound=Callable[..., Any])


OPTIONS = (
    click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for the checkpoint, the log and the weights.",
    ),
    click.option(
        "--tag",
        help="Name of the weights: TAG.safetensors, TAG.json.  [default: name of the folder]",
    ),
    click.option("--learning-rate", type=float, default=1e-4, show_default=True, help="Of Adam."),
    click.option(
        "--lr-decay",
        type=int,
        default=0,
        show_default=True,
        metavar="ITERATIONS",
        help="Let the learning rate fall to zero over this many last iterations.",
    ),
    click.option(
        "--lr-schedule",
        type=click.Choice(["linear", "cosine"]),
        default="linear",
        show_default=True,
        help="How the learning rate falls.",
    ),
    click.option(
        "--ema-decay",
        type=float,
        default=0.0,
        show_default=True,
        metavar="DECAY",
        help="Use an exponential moving average of the weights, for example with 0.999; 0: no "
        "average.",
    ),
    click.option(
        "--flips/--no-flips", default=False, show_default=True, help="Mirror crops at random."
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ..."),
    click.option(
        "--tensorboard", is_flag=True, help="Also log for TensorBoard, in the output folder."
    ),
    click.option("--data-note", default="", help="For the card: what the images are."),
    click.option(
        "--license",
        "license_terms",
        default="not stated",
        show_default=True,
        help="For the card: under which terms the weights may be used.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue the run in --output, with the options it was started with.",
    ),
)
"""The options that both commands have, with the same defaults."""


def run_options(*, batch: int, validate_every: int) -> Callable[[Command], Command]:
    """Add the options that both commands have; the defaults of two of them differ."""
    options = (
        click.option(
            "--batch",
            type=int,
            default=batch,
            show_default=True,
            help="Images per iteration.",
        ),
        click.option(
            "--validate-every",
            type=int,
            default=validate_every,
            show_default=True,
            metavar="ITERATIONS",
        ),
        *OPTIONS,
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given_options(
    command: click.Command, ctx: click.Context, args: Sequence[str]
) -> Mapping[str, Any]:
    """Return the options of a command line that may be incomplete; none where it asks for help."""
    parser = command.make_parser(ctx)
    parser.ignore_unknown_options = True  # those of a strategy
    if ctx.resilient_parsing or not {*args}.isdisjoint(ctx.help_option_names):
        return {}
    try:
        explicit, _, _ = parser.parse_args(list(args))
    except click.UsageError:  # reported when the command line is parsed for real
        return {}
    return explicit


def options_to_resume(
    ctx: click.Context, command: click.Command, explicit: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of the run that a command line resumes; empty if it resumes none."""
    if not (explicit.get("resume") and explicit.get("output")):
        return {}
    with cli_errors():
        from fusionlab.training.run_folder import damaged_options, read_options

        folder = Path(explicit["output"])
        options = read_options(folder)
        options = {name: value for name, value in options.items() if value not in (None, [])}
        for param in command.params:
            if param.name not in options:
                continue
            try:
                param.type_cast_value(ctx, options[param.name])
            except (click.BadParameter, TypeError, ValueError) as error:
                raise damaged_options(folder, f"{param.name}: {one_line(error)}") from error
    return options


def record_options(folder: Path, options: Mapping[str, Any]) -> None:
    """Write the options of a run to its folder, for `options_to_resume`."""
    from fusionlab.training.run_folder import write_options

    resumable = {name: value for name, value in options.items() if name not in ("output", "resume")}
    write_options(folder, resumable)


def show_start(trainer: Trainer, facts: Mapping[str, Any]) -> None:
    """Print what is going to be computed."""
    world_size = trainer.processes.world_size
    show_facts(
        {
            **facts,
            "device": f"{trainer.device}{f' x {world_size}' if world_size > 1 else ''}",
            "from": f"iteration {trainer.iteration}" if trainer.iteration else None,
        },
        as_json=False,
    )


def show_result(card: Card, folder: RunFolder, name: str, figures: str) -> None:
    """Print where the weights are, and the figures of their validation."""
    weights = f"{folder.weights} (SHA-256 {card.sha256[:12]}...)"
    show_facts({"weights": weights, name: figures}, as_json=False)


def run_with_progress(
    trainer: Trainer, folder: RunFolder, names: Sequence[str], data_note: str, license_terms: str
) -> Card | None:
    """Run a trainer and export its weights; say how to resume when Ctrl-C stops it."""
    from fusionlab.training.train import run_and_export

    iterations, shown = trainer.settings.iterations, trainer.processes.is_main
    try:
        with training_progress(iterations, shown=shown) as progress:
            return run_and_export(
                trainer,
                folder,
                names,
                data_note=data_note,
                license_terms=license_terms,
                progress=progress,
            )
    except KeyboardInterrupt as stop:
        command = click.get_current_context().info_name
        raise CommandStopped(
            f"stopped at iteration {trainer.iteration}, saved; resume with "
            f"'fusionlab {command} -o {shlex.quote(str(folder.path))} --resume'",
            stop,
        ) from None


@contextmanager
def training_progress(
    iterations: int, *, shown: bool = True
) -> Iterator[Callable[[Progress], None]]:
    """Show losses, speed and the remaining time; in a pipe, twenty lines for the whole run."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    terminal = console(err=True)
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    on_terminal = shown and terminal.is_terminal
    last_part = 0
    with Bars(
        *columns,
        TextColumn("{task.description}", markup=False),
        console=terminal,
        disable=not on_terminal,
    ) as bars:
        task = bars.add_task("", total=iterations)

        def show(progress: Progress) -> None:
            nonlocal last_part
            terms = "  ".join(f"{name} {value:.5g}" for name, value in progress.terms.items())
            line = f"{terms}  {progress.images_per_second:.1f} images/s"
            bars.update(task, completed=progress.iteration, description=safe_text(line))
            part = 20 * progress.iteration // iterations
            if shown and not on_terminal and part > last_part:
                last_part = part
                echo(f"{progress.iteration:>8}/{iterations}  {line}", err=True)

        yield show
