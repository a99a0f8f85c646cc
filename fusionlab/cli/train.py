"""`fusionlab train`: train a backbone as an autoencoder, and export its weights with a card."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import OptionWithAliases
from fusionlab.cli.output import show_progress
from fusionlab.cli.session import CommandError, Session, cli_errors, quiet_decoders
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
from fusionlab.plugins.presets import training_options

if TYPE_CHECKING:
    from fusionlab.training.autoencoder import AutoencoderTrainer
    from fusionlab.training.settings import Stage

EXAMPLES = """\b
Examples:
  fusionlab train photos/ -o runs/mine
  fusionlab train -o runs/mine --resume
  fusionlab train photos/ --preset paper --lambda 1000 -o runs/1e3
  fusionlab train photos/ --validation held-out/ -o runs/mine --flips --batch 8 \\
      --size 64 --iterations 20000 --precision bf16 --size 256 --iterations 5000 \\
      --precision fp32 --lr-decay 5000 --lr-schedule cosine --ema-decay 0.999

\b
  torchrun --nproc-per-node 4 -m fusionlab train photos/ -o runs/mine --batch 8 --device cuda
  fusionlab curves runs/mine
  fusionlab fuse --backbone densefuse@runs/mine/mine.safetensors a.png b.png
"""


class TrainCommand(Command):
    """A command whose --preset and --resume replace the defaults of the other options.

    The command line is parsed twice: first leniently, to find these two; then for real.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Use the values of the preset, or of the resumed run, as defaults; then parse."""
        explicit = given_options(self, ctx, args)
        values = options_to_resume(ctx, self, explicit)
        if values and explicit.get("preset"):
            raise CommandError(
                "a run is resumed with the options it was started with; leave out --preset"
            )
        if not values and (name := explicit.get("preset")):
            values = self._preset(ctx.obj or Session(), name, explicit.get("backbone"))
        for name, alternative in (("iterations", "epochs"), ("epochs", "iterations")):
            if name in explicit:  # explicit options win
                values.pop(alternative, None)
        ctx.default_map = {**(ctx.default_map or {}), **values}
        return super().parse_args(ctx, args)

    def _preset(self, session: Session, name: str, backbone: str | None) -> dict[str, Any]:
        """Return the values of a preset for a backbone: option -> value."""
        plugins = session.plugins
        with cli_errors():
            from fusionlab.plugins.method_names import NameWithValues

            text = backbone or plugins.default("backbone")
            registration = plugins.backbones.find(NameWithValues.parse(text).name)
            values = training_options(name, registration, plugins)
        if unknown := values.keys() - {param.name for param in self.params}:
            raise CommandError(f"the preset {name} sets {min(unknown)!r}, which is not an option")
        return values


@click.command(cls=TrainCommand, epilog=EXAMPLES)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Held-out images: a folder or a tar shard; repeatable.  [default: every tenth image of "
    "DATA, 1000 at most]",
)
@click.option(
    "--backbone", metavar="NAME", help="The backbone to train, with parameters: NAME,name=value."
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Take the defaults from a preset, such as 'paper'; explicit options win.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True),
    help="CSV file with the columns shard, name, source: selects members of tar shards.",
)
@click.option(
    "--sources",
    default="*",
    show_default=True,
    metavar="PATTERN",
    help="With --manifest: which sources to use, for example 'coco-*'.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to keep the decoded images, 64 KiB each, for this and later runs.  [default: the "
    "output folder]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    metavar="THREADS",
    help="Threads that decode images.  [default: one per processor]",
)
@click.option(
    "--lambda",
    "--ssim-weight",
    "ssim_weight",
    cls=OptionWithAliases,
    type=float,
    default=100.0,
    show_default=True,
    help="Weight of the structure loss (Eq. 1); the paper uses 1, 10, 100 and 1000.",
)
@click.option(
    "--pixel-loss",
    type=click.Choice(["mse", "euclidean"]),
    default="mse",
    show_default=True,
    help="Mean squared error on 0..255, as in the authors' program; or the distance of Eq. 2.",
)
@click.option(
    "--structure-loss",
    type=click.Choice(["ssim", "contrast-structure"]),
    default="ssim",
    show_default=True,
    help="1 - SSIM (Eq. 3); or what the authors' program computes instead.",
)
@click.option(
    "--size",
    type=int,
    multiple=True,
    default=[256],
    show_default=True,
    help="Edge of the random crops from the images of 256x256; repeat it for stages, together "
    "with --iterations or --epochs.",
)
@click.option(
    "--iterations",
    type=int,
    multiple=True,
    help="Iterations, one number for each --size.  [default: 40000]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    multiple=True,
    help="Instead of --iterations: how often to use every image.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    multiple=True,
    default=["fp32"],
    show_default=True,
    help="Precision of the layers, once for all stages or once for each --size.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Start from these weights (.safetensors, with their card) instead of random ones.",
)
@run_options(batch=2, validate_every=1000)
@threads_option
@click.pass_context
def train(
    ctx: click.Context,
    /,
    *,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    output: Path,
    tag: str | None,
    preset: str | None,
    manifest: Path | None,
    sources: str,
    size: tuple[int, ...],
    iterations: tuple[int, ...],
    epochs: tuple[int, ...],
    precision: tuple[str, ...],
    data_note: str,
    license_terms: str,
    resume: bool,
    **others: Any,
) -> None:
    """Train a backbone on DATA: folders of images or tar shards.

    The images are converted to gray and 256x256. Adam minimizes the mean squared error on 0..255
    plus lambda (1 - SSIM). The output folder receives last.pt (to --resume from, also after
    Ctrl-C), log.jsonl (see 'fusionlab curves'), the decoded images, and the weights of the best
    validation as TAG.safetensors with their card TAG.json.
    """
    options = dict(ctx.params)
    with cli_errors(), quiet_decoders(), ExitStack() as stack:
        from fusionlab.training.data.image_files import TrainingFiles
        from fusionlab.training.run_folder import RunFolder
        from fusionlab.training.settings import AutoencoderSettings
        from fusionlab.training.train import backbone_run

        folder = RunFolder(output, tag or "", resume)
        files = TrainingFiles.find(data, validation, manifest, sources)
        per_epoch = max(1, len(files.training) // max(1, others["batch"]))
        settings = AutoencoderSettings(
            stages=_stages(size, iterations, epochs, precision, per_epoch),
            **_pop_fields(others, AutoencoderSettings),
        )
        with show_progress("reading images") as reading:  # the options left are its arguments
            run = backbone_run(
                files, folder, settings, plugins=ctx.obj.plugins, reading=reading, **others
            )
            names, trainer = stack.enter_context(run)
        if trainer.processes.is_main:
            record_options(output, options)
            show_start(trainer, {"backbone": names[0], "preset": preset, **_facts(trainer)})
        card = run_with_progress(trainer, folder, names, data_note, license_terms)
    if card:
        text = (
            "{mae:.3f} gray levels, PSNR {psnr:.2f} dB, SSIM {ssim:.5f} on {images} held-out images"
        )
        show_result(card, folder, "error", text.format(**card.validation))


def _pop_fields(options: dict[str, Any], settings: type) -> dict[str, Any]:
    """Remove the options that are fields of a settings class, and return them."""
    names = settings.__dataclass_fields__.keys() & options.keys()  # type: ignore[attr-defined]
    return {name: options.pop(name) for name in names}


def _stages(
    size: tuple[int, ...],
    iterations: tuple[int, ...],
    epochs: tuple[int, ...],
    precision: tuple[str, ...],
    per_epoch: int,
) -> tuple[Stage, ...]:
    """Combine the options that are given once per stage."""
    from fusionlab.training.settings import AutoencoderSettings, Stage

    if iterations and epochs:
        raise CommandError("give --iterations or --epochs, not both")
    name, lengths = "iterations", iterations or (AutoencoderSettings().iterations,)
    if epochs:
        name, lengths = "epochs", tuple(count * per_epoch for count in epochs)
    if len(size) != len(lengths):
        raise CommandError(f"give one --{name} for each --size, got {len(lengths)} for {len(size)}")
    if len(precision) == 1:
        precision *= len(size)
    if len(size) != len(precision):
        raise CommandError(
            f"give --precision once, or once for each --size, got {len(precision)} for {len(size)}"
        )
    return tuple(map(Stage, size, lengths, precision))  # type: ignore[arg-type]  # checked by click


def _facts(trainer: AutoencoderTrainer) -> dict[str, Any]:
    settings = trainer.settings
    return {
        "images": f"{len(trainer.images)}, and {len(trainer.validation_images)} held out",
        "loss": f"{settings.pixel_loss} + {settings.ssim_weight:g} x {settings.structure_loss}",
        "stages": [
            f"{stage.iterations} iterations of {settings.batch} x {stage.size}x{stage.size} in "
            f"{stage.precision}"
            for stage in settings.stages
        ],
    }
