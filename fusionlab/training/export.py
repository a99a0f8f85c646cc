"""Exporting trained weights with the card that says where they come from."""

from __future__ import annotations

import hashlib
import subprocess
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

import fusionlab
from fusionlab.files import written_together
from fusionlab.training.loop import Training, Validation
from fusionlab.weights import Card


def export_weights(
    path: Path,
    training: Training,
    backbone: str,
    validation: Validation,
    *,
    data: str = "",
    licence: str = "not stated",
) -> Card:
    """Write the best weights of a run as safetensors, and their card beside them.

    What was written is usable at once as `BACKBONE@PATH`; it is loaded once to make sure.

    Args:
        path: the weights file, `TAG.safetensors`; the card becomes `TAG.json`.
        training: the run.
        backbone: the name under which the backbone is registered.
        validation: what `Training.run` returned.
        data: what the images are, for the card.
        licence: under which terms the weights may be used, for the card.

    Returns:
        The card, with the SHA-256 of the weights.
    """
    content = save({name: weight.contiguous() for name, weight in training.best.items()})
    card = Card(
        backbone=backbone,
        tag=path.stem,
        sha256=hashlib.sha256(content).hexdigest(),
        licence=licence,
        data={
            "description": data,
            "training_images": len(training.images),
            "training_images_sha256": training.images_sha256,
            "held_out_images": len(training.validation),
        },
        settings=asdict(training.settings)
        | {"iterations_done": training.iteration, "best_iteration": training.best_iteration},
        validation=asdict(validation),
        parent=asdict(training.parent) if training.parent else None,
        made_with={
            "fusionlab": fusionlab.__version__,
            "commit": _commit(),
            "torch": str(torch.__version__),
            "device": str(training.device),
        },
    )
    with written_together({path: content, Card.path_of(path): card.to_json().encode()}):
        pass
    deepcopy(training.backbone).load_checkpoint(path)
    return card


def _commit() -> str:
    """Return the commit of the checkout this code runs from; empty where it is installed."""
    checkout = Path(fusionlab.__file__).parents[1]
    if not (checkout / ".git").exists():
        return ""
    git = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    except OSError:  # no git
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
