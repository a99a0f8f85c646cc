"""Export trained weights, with the card that records their origin."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import fusionlab
from fusionlab.checkpoint import Card, load_weights
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.training.trainer import Trainer


def export_weights(
    path: Path,
    trainer: Trainer,
    validation: Mapping[str, Any],
    backbone: str,
    strategy: str = "",
    *,
    data_note: str = "",
    license_terms: str = "not stated",
) -> Card:
    """Write the best weights of a run as safetensors, and their card next to them.

    The weights of a backbone can be used at once as `BACKBONE@PATH`, those of a strategy as its
    `checkpoint`. They are loaded once to make sure.

    Args:
        path: the weights file, `TAG.safetensors`; the card becomes `TAG.json`.
        trainer: the trainer, after its `run`.
        validation: the figures that `run` returned.
        backbone: the name under which the backbone is registered; of a strategy, the name of the
            backbone it was trained on, with the tag of its weights.
        strategy: the name under which the learned strategy is registered.
        data_note: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.

    Returns:
        The card, with the SHA-256 of the weights.

    Raises:
        FusionlabError: a file cannot be written.
    """
    content = save({name: weight.contiguous() for name, weight in trainer.best.items()})
    card = Card(
        tag=path.stem,
        sha256=sha256_of_bytes(content),
        backbone=backbone,
        license=license_terms,
        data={
            "description": data_note,
            "training_images": len(trainer.images),
            "training_images_sha256": trainer.images_sha256,
            "held_out_images": len(trainer.validation_images),
        },
        settings=asdict(trainer.settings)
        | {"iterations_done": trainer.iteration, "best_iteration": trainer.best_iteration},
        validation=dict(validation),
        parent=asdict(trainer.parent) if trainer.parent else None,
        made_with={
            "fusionlab": fusionlab.__version__,
            "commit": _commit(),
            "torch": str(torch.__version__),
            "device": str(trainer.device),
        },
        strategy=trainer.strategy_facts(strategy),
    )
    with atomic_write_all({path: content, Card.path_of(path): card.to_json().encode()}):
        pass
    load_weights(deepcopy(trainer.module), path)
    return card


def _commit() -> str:
    """Return the commit of the checkout that this code runs from; empty where it is installed."""
    checkout = Path(fusionlab.__file__).parents[1]
    if not (checkout / ".git").exists():
        return ""
    git = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    except OSError:  # no git
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
