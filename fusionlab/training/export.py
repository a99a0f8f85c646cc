"""Exporting trained weights with the card that says where they come from."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

import fusionlab
from fusionlab.checkpoint import Card, load_weights
from fusionlab.parameters import describe
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.training.loop import Training, Validation
from fusionlab.training.rules import RuleTraining
from fusionlab.training.run import Run


def export_weights(
    path: Path,
    training: Training,
    backbone: str,
    validation: Validation,
    *,
    data: str = "",
    license_terms: str = "not stated",
) -> Card:
    """Write the best weights of a run as safetensors, and their card beside them.

    What was written is usable at once as `BACKBONE@PATH`; it is loaded once to make sure.

    Args:
        path: the weights file, `TAG.safetensors`; the card becomes `TAG.json`.
        training: the run.
        backbone: the name under which the backbone is registered.
        validation: what `Training.run` returned.
        data: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.

    Returns:
        The card, with the SHA-256 of the weights.
    """
    card = _write(
        path,
        training.best,
        backbone=backbone,
        license=license_terms,
        data=_data(training, data),
        settings=_settings(training),
        validation=asdict(validation),
        parent=asdict(training.parent) if training.parent else None,
        made_with=_made_with(training),
    )
    deepcopy(training.backbone).load_checkpoint(path)
    return card


def export_networks(
    path: Path,
    training: RuleTraining,
    strategy: str,
    backbone: str,
    validation: Mapping[str, Any],
    *,
    data: str = "",
    license_terms: str = "not stated",
) -> Card:
    """Write the best networks of a learned strategy as safetensors, and their card beside them.

    What was written is usable at once as the strategy's `checkpoint`; it is loaded once to make
    sure.

    Args:
        path: the weights file, `TAG.safetensors`; the card becomes `TAG.json`.
        training: the run.
        strategy: the name under which the strategy is registered.
        backbone: the name of the backbone, with the tag of its weights.
        validation: what `RuleTraining.complete` returned.
        data: what the images are, for the card.
        license_terms: under which terms the weights may be used, for the card.

    Returns:
        The card, with the SHA-256 of the weights.
    """
    card = _write(
        path,
        training.best,
        backbone=backbone,
        license=license_terms,
        data=_data(training, data),
        settings=_settings(training),
        validation=dict(validation),
        parent=asdict(training.parent) if training.parent else None,
        made_with=_made_with(training),
        strategy={
            "name": strategy,
            "parameters": describe(training.strategy),
            "backbone_sha256": training.backbone.card and training.backbone.card.sha256,
        },
    )
    load_weights(deepcopy(training.networks), path)
    return card


def _write(path: Path, weights: Mapping[str, Tensor], **facts: Any) -> Card:
    content = save({name: weight.contiguous() for name, weight in weights.items()})
    card = Card(tag=path.stem, sha256=hashlib.sha256(content).hexdigest(), **facts)
    with atomic_write_all({path: content, Card.path_of(path): card.to_json().encode()}):
        pass
    return card


def _data(training: Training | RuleTraining, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "training_images": len(training.images),
        "training_images_sha256": training.images_sha256,
        "held_out_images": len(training.validation),
    }


def _settings(training: Run) -> dict[str, Any]:
    return asdict(training.schedule) | {
        "iterations_done": training.iteration,
        "best_iteration": training.best_iteration,
    }


def _made_with(training: Run) -> dict[str, str]:
    return {
        "fusionlab": fusionlab.__version__,
        "commit": _commit(),
        "torch": str(torch.__version__),
        "device": str(training.device),
    }


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
