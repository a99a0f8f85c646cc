"""`fusionlab train`: train a backbone as an autoencoder, and export its weights with a card."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.output import on_terminal, show_facts
from fusionlab.cli.session import (
    CommandError,
    CommandInterrupted,
    Session,
    cli_errors,
    quiet_decoders,
)

if TYPE_CHECKING:
    from fusionlab.plugins.offers import BackboneRef
    from fusionlab.plugins.registry import Plugins, Registration
    from fusionlab.training.finding import ImageFile
    from fusionlab.training.loop import Training
    from fusionlab.training.processes import Processes
    from fusionlab.training.run import Report
    from fusionlab.training.settings import Stage
    from fusionlab.training.store import Images

RUN = "run.json"
"""What a run was asked for, in its folder: the options that --resume takes up again."""

EXAMPLES = """\b
Examples:
  fusionlab train photos/ -o runs/mine
  fusionlab train -o runs/mine --resume
  fusionlab train photos/ --preset paper --lambda 1000 -o runs/1e3
  fusionlab train photos/ --validation held-out/ -o runs/mine --flips --batch 8 \\
      --size 64 --iterations 20000 --precision bf16 --size 256 --iterations 5000 \\
      --precision fp32 --cooldown 5000 --schedule cosine --averaging 0.999
\b
  torchrun --nproc-per-node 4 -m fusionlab train photos/ -o runs/mine --batch 8 --device cuda
  fusionlab curves runs/mine
  fusionlab fuse --backbone densefuse@runs/mine/mine.safetensors a.png b.png
"""


class TrainCommand(click.Command):
    """A command whose --preset and --resume replace the defaults of the other options.

    The command line is parsed twice: once leniently, to learn what is chosen; then for real.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Enter the values of the preset, or of the run that goes on, as defaults; then parse."""
        parser = self.make_parser(ctx)
        try:
            given, _, _ = parser.parse_args(list(args))
        except click.UsageError:
            return super().parse_args(ctx, args)  # where it is reported
        if ctx.resilient_parsing or not {*args}.isdisjoint(ctx.help_option_names):
            return super().parse_args(ctx, args)
        values: dict[str, Any] = {}
        if given.get("resume") and given.get("output"):
            if given.get("preset"):
                raise CommandError("a run goes on with the options it has; leave out --preset")
            values = _asked_for(Path(given["output"]))
        elif name := given.get("preset"):
            session: Session = ctx.obj or Session()
            with cli_errors():
                registration = _backbone(session.plugins, given.get("backbone"))
                values = session.plugins.training_preset(name, registration)
            known = {param.name for param in self.params}
            if foreign := values.keys() - known:
                raise CommandError(
                    f"the preset {name} sets {min(foreign)!r}, which is no option here"
                )
        for one, other in (("iterations", "epochs"), ("epochs", "iterations")):
            if one in given:  # what is explicit wins
                values.pop(other, None)
        ctx.default_map = {**(ctx.default_map or {}), **values}
        return super().parse_args(ctx, args)


@click.command(cls=TrainCommand, epilog=EXAMPLES)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Held-out images, likewise a folder or a tar shard; repeatable.  [default: every tenth "
    "image of DATA, 1000 at most]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the checkpoint, the log and the weights.",
)
@click.option(
    "--tag", help="Name of the weights: TAG.safetensors, TAG.json.  [default: as the folder]"
)
@click.option("--backbone", metavar="NAME", help="Which backbone to train.")
@click.option(
    "--preset",
    metavar="NAME",
    help="Take the defaults from a preset, such as 'paper'; explicit options win.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True),
    help="CSV with columns shard, name, source: restricts tar shards.",
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
    help="Threads that decode images.  [default: one for each processor]",
)
@click.option(
    "--lambda",
    "ssim_weight",
    type=float,
    default=100.0,
    show_default=True,
    help="Weight of the structure loss (Eq. 1); the paper has 1, 10, 100 and 1000.",
)
@click.option(
    "--pixel-loss",
    type=click.Choice(["mse", "euclidean"]),
    default="mse",
    show_default=True,
    help="Mean square on 0..255, as the authors' program; or the distance that Eq. 2 prints.",
)
@click.option(
    "--structure-loss",
    type=click.Choice(["ssim", "contrast-structure"]),
    default="ssim",
    show_default=True,
    help="1 - SSIM (Eq. 3); or what the authors' program has in its place.",
)
@click.option(
    "--size",
    type=int,
    multiple=True,
    default=[256],
    show_default=True,
    help="Edge of the random crops from the images of 256x256; repeat it, with --iterations or "
    "--epochs, for stages.",
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
    help="Instead of --iterations: how often to show every image.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    multiple=True,
    default=["fp32"],
    show_default=True,
    help="What the layers compute in, once for all or once for each --size.",
)
@click.option("--flips/--no-flips", default=False, show_default=True, help="Mirror at random.")
@click.option(
    "--batch",
    type=int,
    default=2,
    show_default=True,
    help="Images an iteration; several processes share them.",
)
@click.option("--learning-rate", type=float, default=1e-4, show_default=True, help="Of Adam.")
@click.option(
    "--cooldown",
    type=int,
    default=0,
    show_default=True,
    help="Let the learning rate fall to zero over this many last iterations.",
)
@click.option(
    "--schedule",
    type=click.Choice(["linear", "cosine"]),
    default="linear",
    show_default=True,
    help="How it falls.",
)
@click.option(
    "--averaging",
    type=float,
    default=0.0,
    show_default=True,
    metavar="DECAY",
    help="Average the weights exponentially, for example with 0.999; 0: do not.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--validate-every", type=int, default=1000, show_default=True, metavar="ITERATIONS")
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard, in the output folder.")
@click.option("--data-note", default="", help="For the card: what the images are.")
@click.option(
    "--license",
    "license_terms",
    default="not stated",
    show_default=True,
    help="For the card: under which terms the weights may be used.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Start from these weights (.safetensors, with their card) instead of random ones.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where the run in --output stopped, with the options it was started with.",
)
@click.pass_context
def train(
    ctx: click.Context,
    /,
    *,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    output: Path,
    tag: str | None,
    backbone: str | None,
    preset: str | None,
    manifest: Path | None,
    sources: str,
    cache: Path | None,
    workers: int,
    size: tuple[int, ...],
    iterations: tuple[int, ...],
    epochs: tuple[int, ...],
    precision: tuple[str, ...],
    device: str,
    tensorboard: bool,
    data_note: str,
    license_terms: str,
    start: Path | None,
    resume: bool,
    **others: Any,
) -> None:
    """Train a backbone on DATA: folders of images or tar shards.

    The images become gray and 256x256. What is minimized is the mean squared error on 0..255
    plus lambda (1 - SSIM), by Adam. The folder given by --output receives last.pt (to --resume
    from, also after Ctrl-C), log.jsonl (see 'fusionlab curves'), the decoded images, and the
    weights of the best validation as TAG.safetensors with their card TAG.json.
    """
    asked = dict(ctx.params)
    with cli_errors(), quiet_decoders():
        from fusionlab.checkpoint import Card
        from fusionlab.fusion import available_device
        from fusionlab.plugins.factory import backbone_class
        from fusionlab.storage.atomic import make_folder
        from fusionlab.storage.locking import exclusive_lock
        from fusionlab.training.export import export_weights
        from fusionlab.training.log import summary_writer
        from fusionlab.training.loop import Training, check_run
        from fusionlab.training.processes import joined
        from fusionlab.training.settings import Settings

        weights = weights_file(output, tag, resume=resume)
        registration = _backbone(ctx.obj.plugins, backbone)
        cls = backbone_class(registration)
        files = _find(data, validation, manifest, sources)
        per_epoch = len(files[0]) // max(1, others["batch"])
        stages = _stages(size, iterations, epochs, precision, per_epoch)
        settings = Settings(stages=stages, **others)  # the options left are named like its fields
        with ExitStack() as stack:
            processes, place = stack.enter_context(joined(available_device(device)))
            check_run(cls, len(files[0]), settings, processes)
            if start:
                Card.read(start)
            if tensorboard:
                summary_writer()
            if processes.leads:
                make_folder(output)
                stack.enter_context(exclusive_lock(output))
            images, held_out = _load(files, cache or output, workers, processes)
            training = Training(
                cls,
                images,
                held_out,
                settings,
                output,
                place,
                start,
                tensorboard=tensorboard,
                processes=processes,
            )
            if resume and (output / "last.pt").exists():  # else it was killed before the first
                training.resume()
            if processes.leads:
                _note(output, asked)
                _show(training, {"backbone": registration.ref.name, "preset": preset})
            try:
                with training_progress(settings.iterations, shown=processes.leads) as progress:
                    final = training.run(progress)
            except KeyboardInterrupt:
                raise CommandInterrupted(
                    f"stopped at iteration {training.iteration}, saved; go on with "
                    f"'fusionlab train -o {shlex.quote(str(output))} --resume'"
                ) from None
            if final is None:  # another process leads
                return
            card = export_weights(
                weights,
                training,
                registration.ref.name,
                final,
                data=data_note,
                license_terms=license_terms,
            )
    show_facts(
        {
            "weights": f"{weights} (SHA-256 {card.sha256[:12]}...)",
            "error": f"{final.mae:.3f} gray levels, PSNR {final.psnr:.2f} dB, SSIM "
            f"{final.ssim:.5f} on {final.images} held-out images",
        },
        as_json=False,
    )


def _backbone(plugins: Plugins, name: str | None) -> Registration[BackboneRef]:
    return plugins.backbones.find(name or plugins.default("backbone").partition("@")[0])


def weights_file(output: Path, tag: str | None, *, resume: bool) -> Path:
    """Return where the weights will be written, and protect an earlier run."""
    from fusionlab.parameters import check_name

    name = tag or output.resolve().name
    try:
        check_name(name)
    except ValueError as error:
        raise CommandError(f"{error}" if tag else f"{error}; name the weights by --tag") from error
    weights = output / f"{name}.safetensors"
    taken = [path.name for path in (output / "last.pt", weights) if path.exists()]
    if taken and not resume:
        raise CommandError(
            f"{output} holds a run already ({taken[0]}); go on with --resume, or choose another "
            "folder"
        )
    return weights


def _find(
    data: tuple[Path, ...], validation: tuple[Path, ...], manifest: Path | None, sources: str
) -> tuple[list[ImageFile], list[ImageFile]]:
    """Find the images to train on, and those to validate on."""
    from fusionlab.training.finding import Manifest, check_apart, find_images, hold_out

    if sources != "*" and not manifest:
        raise CommandError("--sources chooses from a manifest; give that with --manifest")
    if manifest and all(place.is_dir() for place in (*data, *validation)):
        raise CommandError("--manifest chooses from tar shards; there are only folders")
    chosen = Manifest(manifest, sources) if manifest else None
    files = find_images(data, chosen)
    held_out = find_images(validation, chosen) if validation else []
    check_apart(files, held_out)
    return (files, held_out) if validation else hold_out(files)


def _stages(
    size: tuple[int, ...],
    iterations: tuple[int, ...],
    epochs: tuple[int, ...],
    precision: tuple[str, ...],
    per_epoch: int,
) -> tuple[Stage, ...]:
    """Put together what is given once for each stage."""
    from fusionlab.training.settings import Settings, Stage

    if iterations and epochs:
        raise CommandError("give --iterations or --epochs, not both")
    name, lengths = "iterations", iterations or (Settings().iterations,)
    if epochs:
        name, lengths = "epochs", tuple(count * max(1, per_epoch) for count in epochs)
    if len(size) != len(lengths):
        raise CommandError(f"give one --{name} for each --size, got {len(lengths)} for {len(size)}")
    if len(precision) == 1:
        precision *= len(size)
    if len(size) != len(precision):
        raise CommandError(
            f"give --precision once, or once for each --size, got {len(precision)} for {len(size)}"
        )
    return tuple(map(Stage, size, lengths, precision))  # type: ignore[arg-type]  # click has checked it


def _load(
    files: tuple[list[ImageFile], list[ImageFile]],
    folder: Path,
    workers: int,
    processes: Processes,
) -> tuple[Images, Images]:
    """Decode the images; of several processes, the first does, and the others map the result."""
    from fusionlab.training.store import load_images

    if not processes.leads:
        processes.wait()
    with on_terminal("reading images") as progress:
        images, held_out = (
            load_images(some, folder, workers=workers, progress=progress) for some in files
        )
    if processes.leads:
        processes.wait()
    return images, held_out


def _show(training: Training, facts: dict[str, Any]) -> None:
    """Say what is going to be computed."""
    settings, world = training.settings, training.processes.world
    show_facts(
        {
            **facts,
            "images": f"{len(training.images)}, and {len(training.validation)} held out",
            "loss": f"{settings.pixel_loss} + {settings.ssim_weight:g} x {settings.structure_loss}",
            "stages": [
                f"{stage.iterations} iterations of {settings.batch} x {stage.size}x{stage.size} "
                f"in {stage.precision}"
                for stage in settings.stages
            ],
            "device": f"{training.device}{f' x {world}' if world > 1 else ''}",
            "from": f"iteration {training.iteration}" if training.iteration else None,
        },
        as_json=False,
    )


def _note(output: Path, asked: dict[str, Any]) -> None:
    """Write down what the run was asked for; paths as absolute ones."""
    from fusionlab.storage.atomic import atomic_write_all

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value.resolve())
        return [plain(one) for one in value] if isinstance(value, tuple) else value

    kept = {name: plain(value) for name, value in asked.items() if name not in ("output", "resume")}
    with atomic_write_all({output / RUN: (json.dumps(kept, indent=2) + "\n").encode()}):
        pass


def _asked_for(output: Path) -> dict[str, Any]:
    """Return what the run in a folder was asked for."""
    try:
        asked: dict[str, Any] = dict(json.loads((output / RUN).read_text(encoding="utf-8")))
        asked["data"] = list(asked["data"])
    except FileNotFoundError:
        raise CommandError(f"there is nothing to resume: {output / RUN} does not exist") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CommandError(
            f"{output / RUN} is damaged ({error}); delete it, run the command that the run was "
            "started with in a new folder, stop it, and copy its run.json"
        ) from error
    return {name: value for name, value in asked.items() if value not in (None, [])}


@contextmanager
def training_progress(iterations: int, *, shown: bool = True) -> Iterator[Callable[[Report], None]]:
    """Show losses, speed and the time left; in a pipe, twenty lines for the whole run."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    text = TextColumn("{task.description}")
    drawn = shown and console.is_terminal
    printed = 0
    with Progress(*columns, text, console=console, disable=not drawn) as bars:
        task = bars.add_task("", total=iterations)

        def show(report: Report) -> None:
            nonlocal printed
            terms = "  ".join(f"{name} {value:.5g}" for name, value in report.terms.items())
            line = f"{terms}  {report.images_per_second:.1f} images/s"
            bars.update(task, completed=report.iteration, description=line)
            part = 20 * report.iteration // iterations
            if shown and not drawn and part > printed:
                printed = part
                click.echo(f"{report.iteration:>8}/{iterations}  {line}", err=True)

        yield show
