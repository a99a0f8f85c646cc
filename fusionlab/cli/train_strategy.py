"""`fusionlab train-strategy`: train the networks of a learned strategy on a frozen backbone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.options import StrategyCommand
from fusionlab.cli.output import show_progress
from fusionlab.cli.session import Session, cli_errors, quiet_decoders
from fusionlab.cli.threads import threads_option
from fusionlab.cli.training import (
    given_options,
    options_to_resume,
    record_options,
    run_options,
    run_with_progress,
    show_result,
    show_start,
)

if TYPE_CHECKING:
    from fusionlab.strategy import Strategy
    from fusionlab.training.learned_strategy import StrategyTrainer

EXAMPLES = """\b
Examples:
  fusionlab train-strategy rfn pairs/ -o runs/mine
  fusionlab train-strategy rfn infrared/ visible/ -o runs/mine --size 128 --iterations 10000
  fusionlab train-strategy -o runs/mine --resume
  fusionlab train-strategy rfn pairs/ -o runs/next --checkpoint runs/mine/mine.safetensors
  fusionlab fuse --strategy rfn --checkpoint runs/mine/mine.safetensors a.png b.png
"""


class TrainStrategyCommand(StrategyCommand):
    """A command with the options of a strategy, whose --resume replaces the defaults of all."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Use the values of the resumed run as defaults, then parse."""
        values = options_to_resume(ctx, self, given_options(self, ctx, args))
        ctx.default_map = {**(ctx.default_map or {}), **values}
        return super().parse_args(ctx, args)

    def _refuse_foreign_presets(self, ctx: click.Context, options: list[click.Option]) -> None:
        """Accept every default: they come from a run of this command, not from a preset."""


@click.command(name="train-strategy", cls=TrainStrategyCommand, epilog=EXAMPLES)
@click.argument("strategy", metavar="STRATEGY")
@click.argument("data", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="SET",
    help="Held-out images: an image set, or one folder per source.  [default: every "
    "tenth image of SET]",
)
@click.option(
    "--backbone",
    metavar="NAME[@TAG]",
    help="The backbone to train on; the weights fit its features only.  [default: that of 'fuse']",
)
@click.option(
    "--scale",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'.",
)
@click.option("--size", type=int, default=128, show_default=True, help="Edge of the random crops.")
@click.option("--iterations", type=int, default=10_000, show_default=True)
@run_options(batch=4, validate_every=500)
@threads_option
@click.pass_context
def train_strategy(
    ctx: click.Context,
    /,
    *,
    strategy: Strategy,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    output: Path,
    tag: str | None,
    backbone: str | None,
    scale: tuple[str, ...],
    device: str,
    tensorboard: bool,
    data_note: str,
    license_terms: str,
    resume: bool,
    **others: Any,
) -> None:
    """Train the networks of a learned STRATEGY on an image set, on the features of a backbone.

    SET is a folder with sub-folders a/ b/ ... whose files are paired by stem, or several folders or
    templates such as 'set/{}_ir.*', one per source; see 'fusionlab pairs --help'. The backbone does
    not change. The strategy defines the loss. The output folder receives last.pt (to --resume from,
    also after Ctrl-C), log.jsonl, and the weights of the best validation as TAG.safetensors with
    their card TAG.json.
    """
    session: Session = ctx.obj
    options = dict(ctx.params)
    with cli_errors(), quiet_decoders(), ExitStack() as stack:
        from fusionlab.training.run_folder import RunFolder
        from fusionlab.training.settings import StrategySettings
        from fusionlab.training.train import strategy_run

        folder = RunFolder(output, tag or "", resume)
        settings = StrategySettings(**others)  # the options left are its fields
        with show_progress("reading images") as reading:
            run = strategy_run(
                strategy,
                data,
                folder,
                settings,
                validation=validation,
                backbone=backbone or "",
                scale=scale,
                device=device,
                tensorboard=tensorboard,
                plugins=session.plugins,
                reading=reading,
            )
            names, trainer = stack.enter_context(run)
        record_options(output, {**options, **_strategy_options(strategy, names[1])})
        show_start(trainer, _facts(trainer, *names))
        card = run_with_progress(trainer, folder, names, data_note, license_terms)
    if card:
        losses = ", ".join(f"{term} {card.validation[term]:.5g}" for term in trainer.terms)
        text = f"{losses} on {card.validation['images']} held-out images"
        show_result(card, folder, "loss", text)


def _strategy_options(strategy: Strategy, name: str) -> dict[str, str]:
    """Return the name of a strategy and its parameters, as they are typed on the command line."""
    from fusionlab.parameters import params_of

    options = {
        param.name: param.format(getattr(strategy, param.name))
        for param in params_of(type(strategy))
    }
    if options["checkpoint"].endswith(".safetensors"):  # a path, not a tag
        options["checkpoint"] = str(Path(options["checkpoint"]).resolve())
    return {"strategy": name, **options}


def _facts(trainer: StrategyTrainer, backbone: str, strategy: str) -> dict[str, Any]:
    settings = trainer.settings
    count = sum(parameter.numel() for parameter in trainer.networks.parameters())
    return {
        "strategy": f"{strategy}, {count} parameters",
        "backbone": backbone,
        "images": f"{len(trainer.images)}, and {len(trainer.validation_images)} held out",
        "loss": " + ".join(trainer.terms),
        "stages": f"{settings.iterations} iterations of {settings.batch} x "
        f"{settings.size}x{settings.size}",
    }
