"""`fusionlab train`: train a backbone as an autoencoder, and export its weights with a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.session import Refused, Session, Stopped, refusing
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.training.loop import Report

EXAMPLES = """\b
Examples:
  fusionlab train photos/ --validation held-out/ -o runs/mine --tag mine
  fusionlab train photos/ --validation held-out/ -o runs/mine --tag mine --resume
  fusionlab train photos/ --validation held-out/ -o runs/1e3 --tag 1e3 --lambda 1000 \\
      --size 128 --iterations 20000 --size 256 --iterations 5000 --precision bf16
  fusionlab fuse --backbone densefuse@runs/mine/mine.safetensors a.png b.png
"""


@click.command(epilog=EXAMPLES)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--validation",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Held-out images, likewise a folder or a tar shard; repeatable.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the checkpoint, the log and the weights.",
)
@click.option("--tag", required=True, help="Name of the weights: NAME.safetensors, NAME.json.")
@click.option("--backbone", metavar="NAME", help="Which backbone to train.")
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
    "--lambda",
    "ssim_weight",
    type=float,
    default=100.0,
    show_default=True,
    help="Weight of the SSIM loss (Eq. 1).",
)
@click.option(
    "--size",
    type=int,
    multiple=True,
    default=[256],
    show_default=True,
    help="Edge of the random crops; repeat it, with --iterations, for stages.",
)
@click.option(
    "--iterations",
    type=int,
    multiple=True,
    default=[40_000],
    show_default=True,
    help="Iterations, one number for each --size.",
)
@click.option("--batch", type=int, default=2, show_default=True)
@click.option("--learning-rate", type=float, default=1e-4, show_default=True)
@click.option(
    "--cooldown",
    type=int,
    default=0,
    show_default=True,
    help="Let the learning rate fall to zero over this many last iterations.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="What the layers compute in.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--validate-every", type=int, default=1000, show_default=True, metavar="ITERATIONS")
@click.option("--data-note", default="", help="For the card: what the images are.")
@click.option(
    "--licence",
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
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@click.pass_obj
def train(
    session: Session,
    *,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    output: Path,
    tag: str,
    backbone: str | None,
    manifest: Path | None,
    sources: str,
    ssim_weight: float,
    size: tuple[int, ...],
    iterations: tuple[int, ...],
    batch: int,
    learning_rate: float,
    cooldown: int,
    seed: int,
    precision: Any,
    device: str,
    validate_every: int,
    data_note: str,
    licence: str,
    start: Path | None,
    resume: bool,
) -> None:
    """Train a backbone on DATA: folders of images or tar shards.

    Gray, 256x256, mean squared error on 0..255 plus lambda (1 - SSIM), Adam. The folder given by
    --output receives last.pt (to --resume from, also after Ctrl-C), log.jsonl, and the weights of
    the best validation as TAG.safetensors with their card TAG.json.
    """
    if len(size) != len(iterations):
        raise Refused(
            f"give one --iterations for each --size, got {len(iterations)} for {len(size)}"
        )
    plugins = session.plugins
    with refusing():
        from fusionlab.fusion import available_device
        from fusionlab.method import backbone_class
        from fusionlab.names import check_name
        from fusionlab.training.data import Manifest, load_images
        from fusionlab.training.export import export_weights
        from fusionlab.training.loop import Training
        from fusionlab.training.settings import Settings, Stage

        check_name(tag)
        if (output / "last.pt").exists() and not resume:
            raise FusionlabError(
                f"{output} holds a run already; go on with --resume, or choose another folder"
            )
        settings = Settings(
            ssim_weight=ssim_weight,
            stages=tuple(Stage(*stage) for stage in zip(size, iterations, strict=True)),
            batch=batch,
            learning_rate=learning_rate,
            cooldown=cooldown,
            seed=seed,
            precision=precision,
            validate_every=validate_every,
        )
        offer = plugins.backbones.find(backbone or plugins.default("backbone").partition("@")[0])
        chosen = Manifest(manifest, sources) if manifest else None
        with _counting() as count:
            images = load_images(list(data), chosen, count)
            held_out = load_images(list(validation), chosen, count)
        training = Training(
            backbone_class(offer),
            images,
            held_out,
            settings,
            output,
            available_device(device),
            start,
        )
        if resume:
            training.resume()
        click.echo(
            f"training {offer.ref.name} on {len(training.images)} images, validating on "
            f"{len(training.validation)}, from iteration {training.iteration}"
        )
        try:
            with _progress(settings.iterations) as progress:
                final = training.run(progress)
        except KeyboardInterrupt:
            raise Stopped(
                f"stopped at iteration {training.iteration}, saved; go on with --resume"
            ) from None
        weights = output / f"{tag}.safetensors"
        card = export_weights(
            weights, training, offer.ref.name, final, data=data_note, licence=licence
        )
    click.echo(f"weights  {weights}  (SHA-256 {card.sha256[:12]}...)")
    click.echo(
        f"error    {final.mae:.3f} grey levels, PSNR {final.psnr:.2f} dB, SSIM {final.ssim:.5f} "
        f"on {final.images} held-out images"
    )


@contextmanager
def _counting() -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many images have been read."""
    from rich.console import Console

    with Console(stderr=True).status("reading images") as status:
        yield lambda count: status.update(f"reading images: {count}")


@contextmanager
def _progress(iterations: int) -> Iterator[Callable[[Report], None]]:
    """Show losses, speed and the time left; on a pipe, a line every 1000 iterations."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    text = TextColumn("{task.description}")
    with Progress(*columns, text, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=iterations)

        def show(report: Report) -> None:
            line = (
                f"pixel {report.pixel:.3f}  SSIM {report.ssim:.5f}  "
                f"{report.images_per_second:.0f} images/s"
            )
            bars.update(task, completed=report.iteration, description=line)
            if not console.is_terminal and report.iteration % 1000 == 0:
                console.print(f"{report.iteration:>8}/{iterations}  {line}")

        yield show
