"""Train the siamese network on photographs: `python -m fusionlab_cnn.train DATA... -o FOLDER`.

DATA are folders of images and `.tar` shards. Weights and card are written to the folder; give the
weights to the strategy as its `checkpoint`.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import click

from fusionlab import Card, FusionlabError
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.training.data.image_cache import load_images
from fusionlab.training.data.image_files import TrainingFiles
from fusionlab.training.export import export_weights
from fusionlab.training.run_folder import STATE, RunFolder
from fusionlab.training.trainer import Progress
from fusionlab_cnn.trainer import PatchSettings, PatchTrainer


def train(
    files: TrainingFiles,
    folder: RunFolder,
    settings: PatchSettings,
    *,
    data_note: str = "",
    license_terms: str = "not stated",
) -> Card:
    """Train, print the progress, and export weights and card to the folder.

    The card has the seconds of the training, since its last start if it was resumed.

    Raises:
        FusionlabError: an image cannot be read, training diverged, ...
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the state has been saved.
    """
    with folder.locked():
        images, held_out = (
            load_images(part, folder.path) for part in (files.training, files.validation)
        )
        trainer = PatchTrainer(images, held_out, settings, folder.path)
        if folder.resume and (folder.path / STATE).exists():
            trainer.resume()
        start = time.perf_counter()
        figures = trainer.run(lambda progress: _report(progress, settings))
        seconds = round(time.perf_counter() - start)
        card = export_weights(
            folder.weights,
            trainer,
            figures,
            "identity",
            "cnn",
            data_note=data_note,
            license_terms=license_terms,
        )
        card = replace(card, made_with={**card.made_with, "seconds": seconds})
        with atomic_write_all({Card.path_of(folder.weights): card.to_json().encode()}):
            pass
    return card


def _report(progress: Progress, settings: PatchSettings) -> None:
    best = "" if progress.best_loss is None else f", best validation {progress.best_loss:.5f}"
    click.echo(
        f"{progress.iteration}/{settings.iterations}: softmax {progress.terms['softmax']:.5f}, "
        f"{progress.images_per_second:.0f} patches/s{best}"
    )


_DEFAULTS = PatchSettings()
_PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.argument("data", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--out", required=True, type=_PATH, help="Folder to write to.")
@click.option(
    "--validation", multiple=True, type=_PATH, help="Held-out images; else every tenth of DATA."
)
@click.option("--manifest", type=_PATH, help="CSV file that selects members of shards.")
@click.option("--sources", default="*", help="Which sources of the manifest, as a pattern.")
@click.option("--tag", default="", help="Name of the weights; else that of the folder.")
@click.option("--resume", is_flag=True, help="Continue the run that the folder holds.")
@click.option("--iterations", default=_DEFAULTS.iterations, show_default=True)
@click.option("--batch", default=_DEFAULTS.batch, show_default=True, help="Patches per iteration.")
@click.option("--learning-rate", default=_DEFAULTS.learning_rate, show_default=True)
@click.option(
    "--lr-decay",
    default=_DEFAULTS.lr_decay,
    show_default=True,
    help="Number of last iterations over which the rate falls to zero.",
)
@click.option(
    "--validation-patches",
    default=_DEFAULTS.validation_patches,
    show_default=True,
    help="Held-out patches of a validation; the final one has five times as many.",
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True)
@click.option("--data-note", default="", help="What the images are, for the card.")
@click.option(
    "--license", "license_terms", default="not stated", help="Terms of the weights, for the card."
)
def main(
    data: tuple[Path, ...],
    out: Path,
    validation: tuple[Path, ...],
    manifest: Path | None,
    sources: str,
    tag: str,
    resume: bool,
    data_note: str,
    license_terms: str,
    **options: float,
) -> None:
    """Run the command."""
    try:
        card = train(
            TrainingFiles.find(data, validation, manifest, sources),
            RunFolder(out, tag, resume),
            PatchSettings(**{**asdict(_DEFAULTS), **options}),
            data_note=data_note,
            license_terms=license_terms,
        )
    except FusionlabError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(card.validation))


if __name__ == "__main__":
    main()
