"""Train from folders of images to exported weights: the functions to call from Python.

`train_backbone` and `train_strategy` do everything that the commands do. The context managers
`backbone_run` and `strategy_run` stop halfway, at a trainer that is ready to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from fusionlab.backbone import Backbone
from fusionlab.checkpoint import Card
from fusionlab.engine.device import available_device
from fusionlab.errors import FusionlabError
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.plugins.factory import (
    build_backbone,
    build_networks,
    default_backbone,
    parse_backbone,
)
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import NameWithValues, method_id
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.image_sets import find_image_set
from fusionlab.strategy import LearnedStrategy, Strategy
from fusionlab.training.autoencoder import AutoencoderTrainer, check_backbone
from fusionlab.training.data.hold_out import STEP, hold_out
from fusionlab.training.data.image_cache import GrayImages, load_images
from fusionlab.training.data.image_files import TrainingFiles
from fusionlab.training.data.samples import Sample, load_samples
from fusionlab.training.distributed import ProcessGroup, process_group
from fusionlab.training.export import export_weights
from fusionlab.training.learned_strategy import StrategyTrainer
from fusionlab.training.log import summary_writer_class
from fusionlab.training.run_folder import STATE, RunFolder
from fusionlab.training.settings import AutoencoderSettings, StrategySettings
from fusionlab.training.trainer import Progress, Trainer

Count = Callable[[int, int], None]
"""Called with the number of images read so far, and of all."""


def _ignore(*_: Any) -> None:
    """Show no progress."""


def train_backbone(
    data: Sequence[Path],
    output: Path,
    settings: AutoencoderSettings | None = None,
    *,
    validation: Sequence[Path] = (),
    tag: str = "",
    resume: bool = False,
    data_note: str = "",
    license_terms: str = "not stated",
    progress: Callable[[Progress], None] = _ignore,
    **options: Any,
) -> Card | None:
    """Train a backbone as an autoencoder and export its weights to a folder.

    Args:
        data: folders and `.tar` shards of training images.
        output: the folder for checkpoint, log, decoded images, weights and card.
        settings: everything that decides the result; None: the defaults.
        validation: held-out images; empty: every tenth of `data`, 1000 at most.
        tag: name of the weights; empty: the name of the folder.
        resume: continue the run that the folder holds; the other arguments must be the same.
        data_note: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.
        progress: called with every line of the log.
        **options: further arguments of `backbone_run`.

    Returns:
        The card of the weights; None in all but the main one of several processes.

    Raises:
        FusionlabError: something is wrong with the arguments or images, or training diverged.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the state has been saved.
    """
    folder = RunFolder(output, tag, resume)
    files = TrainingFiles.find(data, validation)
    with backbone_run(files, folder, settings, **options) as (names, trainer):
        return run_and_export(
            trainer,
            folder,
            names,
            data_note=data_note,
            license_terms=license_terms,
            progress=progress,
        )


def train_strategy(
    strategy: LearnedStrategy,
    data: Sequence[Path],
    output: Path,
    settings: StrategySettings | None = None,
    *,
    validation: Sequence[Path] = (),
    tag: str = "",
    resume: bool = False,
    data_note: str = "",
    license_terms: str = "not stated",
    progress: Callable[[Progress], None] = _ignore,
    **options: Any,
) -> Card | None:
    """Train the networks of a learned strategy and export their weights to a folder.

    Args:
        strategy: the strategy; its `checkpoint`, if any, is where training starts.
        data: an image set as `find_image_set` takes it.
        output: the folder for checkpoint, log, weights and card.
        settings: everything else that decides the result; None: the defaults.
        validation: a held-out image set; empty: every tenth image of `data`.
        tag: name of the weights; empty: the name of the folder.
        resume: continue the run that the folder holds; the other arguments must be the same.
        data_note: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.
        progress: called with every line of the log.
        **options: further arguments of `strategy_run`.

    Returns:
        The card of the weights.

    Raises:
        FusionlabError: something is wrong with the arguments or images, or training diverged.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the state has been saved.
    """
    folder = RunFolder(output, tag, resume)
    run = strategy_run(strategy, data, folder, settings, validation=validation, **options)
    with run as (names, trainer):
        return run_and_export(
            trainer,
            folder,
            names,
            data_note=data_note,
            license_terms=license_terms,
            progress=progress,
        )


@contextmanager
def backbone_run(
    files: TrainingFiles,
    folder: RunFolder,
    settings: AutoencoderSettings | None = None,
    *,
    backbone: str = "",
    start: Path | None = None,
    cache: Path | None = None,
    workers: int = 0,
    device: str = "cpu",
    tensorboard: bool = False,
    plugins: Plugins | None = None,
    reading: Count = _ignore,
) -> Iterator[tuple[tuple[str], AutoencoderTrainer]]:
    """Check everything, lock the folder, read the images, and yield a trainer that can run.

    Args:
        files: the images.
        folder: the folder of the run, locked as long as the block lasts.
        settings: everything that decides the result; None: the defaults.
        backbone: name of the backbone, with parameters; empty: the default of the installed
            plugins.
        start: weights to start from (`.safetensors` with a card); None: random ones.
        cache: where to keep the decoded images; None: in the folder of the run.
        workers: threads that decode images; 0: one per processor.
        device: where to compute: `cpu`, `cuda`, `cuda:1`, ...
        tensorboard: also log for TensorBoard.
        plugins: who offers the backbone; None: the installed plugins.
        reading: called with the number of images decoded so far, and of all.

    Yields:
        The registered name of the backbone, with the given parameters, and the trainer, resumed if
        the folder holds a state.
    """
    plugins = plugins or installed()
    settings = settings or AutoencoderSettings()
    text = backbone or plugins.default("backbone").partition("@")[0]
    name, registration, cls, values = parse_backbone(text, plugins)
    if name.tag:
        raise FusionlabError(
            f"training starts from random weights; leave out @{name.tag}, or start from its file",
            code="tag-in-training",
            option="start",
        )
    with ExitStack() as stack:
        processes, place = stack.enter_context(process_group(available_device(device)))
        check_backbone(cls, len(files.training), settings, processes)
        if start:
            Card.read(start)
        if tensorboard:
            summary_writer_class()
        if processes.is_main:
            stack.enter_context(folder.locked())
        images = _load_images(files, cache or folder.path, workers, processes, reading)
        check_backbone(cls, len(images[0]), settings, processes)  # without those left out
        trainer = AutoencoderTrainer(
            cls,
            *images,
            settings,
            folder.path,
            place,
            start,
            parameters=values,
            tensorboard=tensorboard,
            processes=processes,
        )
        _resume(trainer, folder)
        yield (str(NameWithValues(registration.ref.name, values=name.values)),), trainer


@contextmanager
def strategy_run(
    strategy: Strategy,
    data: Sequence[Path],
    folder: RunFolder,
    settings: StrategySettings | None = None,
    *,
    validation: Sequence[Path] = (),
    backbone: str = "",
    scale: Sequence[str] = ("auto",),
    device: str = "cpu",
    tensorboard: bool = False,
    plugins: Plugins | None = None,
    reading: Count = _ignore,
) -> Iterator[tuple[tuple[str, str], StrategyTrainer]]:
    """Read the images, lock the folder, and yield a trainer that can run.

    Args:
        strategy: the strategy; its `checkpoint`, if any, is where training starts.
        data: an image set as `find_image_set` takes it.
        folder: the folder of the run, locked as long as the block lasts.
        settings: everything else that decides the result; None: the defaults.
        validation: a held-out image set; empty: every tenth image of `data`.
        backbone: name of the backbone, with a tag; empty: the one that `Fusion` takes.
        scale: which values of the sources are black and white, see `fusionlab.imaging.scale`.
        device: where to compute: `cpu`, `cuda`, `cuda:1`, ...
        tensorboard: also log for TensorBoard.
        plugins: who offers backbone and strategy; None: the installed plugins.
        reading: called with the number of images read so far, and of all.

    Yields:
        The registered names of backbone and strategy, and the trainer, resumed if the folder
        holds a state.
    """
    plugins = plugins or installed()
    settings = settings or StrategySettings()
    name = plugins.strategies.name_of(type(strategy))
    if not isinstance(strategy, LearnedStrategy):
        raise FusionlabError(
            f"the strategy {name!r} has no networks, so there is nothing to train",
            code="not-trainable",
        )
    place = available_device(device)
    frozen = build_backbone(backbone or default_backbone(strategy, plugins), plugins)
    networks, strategy, parent = _networks(strategy, frozen, plugins, settings.seed)
    samples = _load_samples(data, validation, parse_scales(scale), reading)
    with folder.locked():
        trainer = StrategyTrainer(
            strategy,
            networks,
            frozen,
            *samples,
            settings,
            folder.path,
            place,
            parent=parent,
            tensorboard=tensorboard,
        )
        _resume(trainer, folder)
        yield (method_id(frozen, strategy, plugins).partition("/")[0], name), trainer


def run_and_export(
    trainer: Trainer,
    folder: RunFolder,
    names: Sequence[str],
    *,
    data_note: str = "",
    license_terms: str = "not stated",
    progress: Callable[[Progress], None] = _ignore,
) -> Card | None:
    """Run a trainer to its end and export the weights.

    Args:
        trainer: the trainer that `backbone_run` or `strategy_run` yielded.
        folder: the folder of the run.
        names: the registered names that they yielded.
        data_note: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.
        progress: called with every line of the log.

    Returns:
        The card; None in all but the main one of several processes.
    """
    figures = trainer.run(progress)
    if not trainer.processes.is_main:
        return None
    return export_weights(
        folder.weights, trainer, figures, *names, data_note=data_note, license_terms=license_terms
    )


def _resume(trainer: Trainer, folder: RunFolder) -> None:
    """Load the state of a run; there is none where it was killed before its first validation."""
    if folder.resume and (folder.path / STATE).exists():
        trainer.resume()


def _load_images(
    files: TrainingFiles, cache: Path, workers: int, processes: ProcessGroup, reading: Count
) -> tuple[GrayImages, GrayImages]:
    """Decode the images in the main process; the others then map the result."""
    if not processes.is_main:
        processes.barrier()
    images, held_out = (
        load_images(part, cache, workers=workers, progress=reading)
        for part in (files.training, files.validation)
    )
    if processes.is_main:
        processes.barrier()
    return images, held_out


def _load_samples(
    data: Sequence[Path], validation: Sequence[Path], scales: Sequence[Scale], reading: Count
) -> tuple[list[Sample], list[Sample]]:
    """Read the image sets to train on and to validate on."""
    samples = load_samples(find_image_set(data), scales, reading)
    if not validation:
        return hold_out(samples, first=STEP - 1)
    return samples, load_samples(find_image_set(validation), scales)


def _networks(
    strategy: LearnedStrategy, backbone: Backbone, plugins: Plugins, seed: int
) -> tuple[torch.nn.ModuleList, LearnedStrategy, Card | None]:
    """Build the networks, with random weights or those of the checkpoint.

    Returns:
        The networks; the strategy, with the tag of the checkpoint in place of its path; the card
        of the checkpoint.
    """
    if strategy.checkpoint is not None:
        return build_networks(strategy, backbone, plugins)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = torch.nn.ModuleList(strategy.network(level) for level in backbone.levels)
    return networks, strategy, None
