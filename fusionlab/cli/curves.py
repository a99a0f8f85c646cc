"""`fusionlab curves`: draw the losses of training runs, as Fig. 5 and Fig. 6 of the paper do."""

from __future__ import annotations

from pathlib import Path

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import show_facts
from fusionlab.cli.session import CommandError, cli_errors

EXAMPLES = """\b
Examples:
  fusionlab curves runs/mine
  fusionlab curves runs/1e0 runs/1e1 runs/1e2 runs/1e3 -o figures/ --format svg
  fusionlab curves docs/training/1e?.jsonl --first 25000
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the two figures.  [default: the current folder]",
)
@click.option(
    "--format", "suffix", type=click.Choice(["png", "svg"]), default="png", show_default=True
)
@click.option(
    "--first",
    type=click.IntRange(min=1),
    metavar="ITERATIONS",
    help="How many iterations to draw.  [default: 5000, as in the paper]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def curves(
    runs: tuple[Path, ...], output: Path, suffix: str, first: int | None, *, overwrite: bool
) -> None:
    """Draw the losses of RUNS: folders of 'fusionlab train', or their logs.

    There are two figures: training.png shows the pixel, SSIM and total loss of the first
    iterations (Fig. 5 of the paper), validation.png the error of held-out images (Fig. 6). A run
    need not be finished.
    """
    with cli_errors():
        from fusionlab.imaging.figures import encode_figure
        from fusionlab.storage.atomic import atomic_write_all, make_folder
        from fusionlab.training.curves import (
            PAPER_ITERATIONS,
            Curves,
            draw_training,
            draw_validation,
        )

        logs = [Curves.read(run) for run in runs]
        figures = {"training": draw_training(logs, first or PAPER_ITERATIONS)}
        if any(log.validation for log in logs):
            figures["validation"] = draw_validation(logs)
        files = {
            output / f"{name}.{suffix}": encode_figure(figure, f".{suffix}")
            for name, figure in figures.items()
        }
        if existing := [path for path in files if path.exists() and not overwrite]:
            raise CommandError(f"{existing[0]} already exists; add --overwrite to replace it")
        make_folder(output)
        with atomic_write_all(files):
            pass
    show_facts({name: str(path) for name, path in zip(figures, files, strict=True)}, as_json=False)
