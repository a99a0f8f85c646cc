"""`fusionlab train-strategy`: train the networks of a learned strategy on a frozen backbone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.options import StrategyCommand
from fusionlab.cli.output import on_terminal, show_facts
from fusionlab.cli.session import (
    CommandError,
    CommandInterrupted,
    Session,
    cli_errors,
    quiet_decoders,
)
from fusionlab.cli.train import training_progress, weights_file

if TYPE_CHECKING:
    from torch import nn

    from fusionlab.backbone import Backbone
    from fusionlab.checkpoint import Card
    from fusionlab.plugins.registry import Plugins
    from fusionlab.strategy import LearnedStrategy, Strategy
    from fusionlab.training.rules import RuleTraining

EXAMPLES = """\b
Examples:
  fusionlab train-strategy rfn pairs/ -o runs/mine
  fusionlab train-strategy rfn infrared/ visible/ -o runs/mine --size 128 --iterations 10000
  fusionlab train-strategy rfn pairs/ -o runs/mine --resume        with the same options
  fusionlab train-strategy rfn pairs/ -o runs/next --checkpoint runs/mine/mine.safetensors
  fusionlab fuse --strategy rfn --checkpoint runs/mine/mine.safetensors a.png b.png
"""


@click.command(name="train-strategy", cls=StrategyCommand, epilog=EXAMPLES)
@click.argument("strategy", metavar="STRATEGY")
@click.argument("sets", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="SET",
    help="Held-out images, likewise an image set or a folder for each source.  [default: every "
    "tenth image of SET]",
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
@click.option(
    "--backbone",
    metavar="NAME[@TAG]",
    help="On whose features to train; the weights are good for these alone.  [default: that of "
    "'fuse']",
)
@click.option(
    "--scale",
    multiple=True,
    default=["full"],
    show_default=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'.",
)
@click.option("--size", type=int, default=128, show_default=True, help="Edge of the random crops.")
@click.option("--iterations", type=int, default=10_000, show_default=True)
@click.option("--batch", type=int, default=4, show_default=True, help="Images an iteration.")
@click.option("--learning-rate", type=float, default=1e-4, show_default=True, help="Of Adam.")
@click.option(
    "--cooldown",
    type=int,
    default=0,
    show_default=True,
    help="Let the learning rate fall to zero over this many last iterations.",
)
@click.option(
    "--averaging",
    type=float,
    default=0.0,
    show_default=True,
    metavar="DECAY",
    help="Average the weights exponentially, for example with 0.999; 0: do not.",
)
@click.option("--flips/--no-flips", default=False, show_default=True, help="Mirror at random.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--validate-every", type=int, default=500, show_default=True, metavar="ITERATIONS")
@click.option("--tensorboard", is_flag=True, help="Also log for TensorBoard, in the output folder.")
@click.option("--data-note", default="", help="For the card: what the images are.")
@click.option(
    "--license",
    "license_terms",
    default="not stated",
    show_default=True,
    help="For the card: under which terms the weights may be used.",
)
@click.option("--resume", is_flag=True, help="Go on where the run in --output stopped.")
@click.pass_obj
def train_strategy(
    session: Session,
    /,
    *,
    strategy: Strategy,
    sets: tuple[Path, ...],
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

    SET is a folder with sub-folders a/ b/ ... whose files are paired by stem, or several folders,
    one for each source. The backbone stays as it is. The strategy says what is minimized. The
    folder given by --output receives last.pt (to --resume from, also after Ctrl-C), log.jsonl,
    and the weights of the best validation as TAG.safetensors with their card TAG.json.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.fusion import available_device
        from fusionlab.imaging.scale import parse_scales
        from fusionlab.plugins.factory import build_backbone, method_id
        from fusionlab.runs.image_sets import find_image_set
        from fusionlab.storage.atomic import make_folder
        from fusionlab.storage.locking import exclusive_lock
        from fusionlab.strategy import LearnedStrategy
        from fusionlab.training.export import export_networks
        from fusionlab.training.rules import RuleSettings, RuleTraining
        from fusionlab.training.sets import hold_out, load_subjects

        plugins = session.plugins
        name = plugins.strategies.name_of(type(strategy))
        if not isinstance(strategy, LearnedStrategy):
            raise CommandError(
                f"the strategy {name!r} has no networks, so there is nothing to train"
            )
        settings = RuleSettings(**others)  # the options left are named like its fields
        place = available_device(device)
        frozen = build_backbone(backbone or plugins.default("backbone"), plugins)
        networks, parent = _networks(strategy, frozen, plugins, settings.seed)
        weights = weights_file(output, tag, resume=resume)
        scales = parse_scales(scale)
        with on_terminal("reading images") as progress:
            images = load_subjects(find_image_set(sets), scales, progress)
            held_out = load_subjects(find_image_set(validation), scales) if validation else []
        if not held_out:
            images, held_out = hold_out(images)
        make_folder(output)
        with exclusive_lock(output):
            training = RuleTraining(
                strategy,
                networks,
                frozen,
                images,
                held_out,
                settings,
                output,
                place,
                parent=parent,
                tensorboard=tensorboard,
            )
            if resume and (output / "last.pt").exists():  # else it was killed before the first
                training.resume()
            place_name = method_id(frozen, strategy, plugins).partition("/")[0]
            _show(training, name, place_name)
            try:
                with training_progress(settings.iterations) as shown:
                    final = training.complete(shown)
            except KeyboardInterrupt:
                raise CommandInterrupted(
                    f"stopped at iteration {training.iteration}, saved; go on with the same "
                    f"command and --resume (-o {shlex.quote(str(output))})"
                ) from None
            card = export_networks(
                weights,
                training,
                name,
                place_name,
                final,
                data=data_note,
                license_terms=license_terms,
            )
    losses = ", ".join(f"{term} {final[term]:.5g}" for term in training.terms)
    show_facts(
        {
            "weights": f"{weights} (SHA-256 {card.sha256[:12]}...)",
            "loss": f"{losses} on {final['images']} held-out images",
        },
        as_json=False,
    )


def _networks(
    strategy: LearnedStrategy, backbone: Backbone, plugins: Plugins, seed: int
) -> tuple[nn.ModuleList, Card | None]:
    """Build the networks: with random weights, or with those of the checkpoint, and its card."""
    import torch

    from fusionlab.plugins.factory import build_networks

    if strategy.checkpoint is not None:
        networks, _, card = build_networks(strategy, backbone, plugins)
        return networks, card
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.ModuleList(strategy.network(level) for level in backbone.levels), None


def _show(training: RuleTraining, strategy: str, backbone: str) -> None:
    """Say what is going to be computed."""
    settings = training.settings
    count = sum(p.numel() for p in training.networks.parameters())
    show_facts(
        {
            "strategy": f"{strategy}, {count} parameters",
            "backbone": backbone,
            "images": f"{len(training.images)}, and {len(training.validation)} held out",
            "loss": " + ".join(training.terms),
            "stages": f"{settings.iterations} iterations of {settings.batch} x "
            f"{settings.size}x{settings.size}",
            "device": str(training.device),
            "from": f"iteration {training.iteration}" if training.iteration else None,
        },
        as_json=False,
    )
