"""Trained weights: a safetensors file, and the card beside it that says where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.errors import FusionlabError
from fusionlab.parameters import check_name
from fusionlab.storage.hashing import sha256_of_bytes

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Card:
    """Where a checkpoint comes from: the file that lies beside the weights.

    The card of `X.safetensors` is `X.json`; its `sha256` is that of the weights file and is
    checked whenever the weights are loaded.
    """

    backbone: str
    """Whose weights they are; of a strategy's, on the features of which they were trained."""
    tag: str
    sha256: str
    license: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the network was trained on."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Loss, lambda, iterations, batch, learning rate, ... of the training."""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """How well held-out images come back, in gray levels."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the programs, and the commit of the training code."""
    parent: Mapping[str, Any] | None = None
    """The card of the weights that the training started from; None: from random ones."""
    strategy: Mapping[str, Any] | None = None
    """The learned strategy whose networks they are: its `name`, its `parameters`, and
    `backbone_sha256`, that of the weights of the backbone. None: the weights of a backbone."""

    def __post_init__(self) -> None:
        check_name(self.tag)
        if not isinstance(self.sha256, str):
            raise TypeError(f"sha256 must be text, got {self.sha256!r}")

    @staticmethod
    def path_of(weights: Path) -> Path:
        """Return where the card of a weights file lies."""
        return weights.with_suffix(".json")

    @classmethod
    def read(cls, weights: Path) -> Card:
        """Read the card that lies beside `weights`.

        Raises:
            FusionlabError: there is no card, or it is not one.
        """
        path = cls.path_of(weights)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if "licence" in facts:  # the spelling of cards written before the first release
                facts["license"] = facts.pop("licence")
            return cls(**facts)
        except FileNotFoundError:
            raise FusionlabError(
                f"{weights} has no card: expected {path.name} beside it, as 'fusionlab train' "
                "writes it"
            ) from None
        except (OSError, TypeError, ValueError) as error:
            raise FusionlabError(f"{path} is not the card of a checkpoint: {error}") from error

    def to_json(self) -> str:
        """Return the card as the text of its file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def load_weights(module: nn.Module, weights: Path) -> Card:
    """Load a safetensors file into a module, and return its card.

    Raises:
        FusionlabError: the file is missing or damaged, differs from the SHA-256 in its card, or
            holds the weights of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = Card.read(weights)
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise FusionlabError(f"cannot read the weights {weights}: {error.strerror}") from error
    found = sha256_of_bytes(content)
    if found != card.sha256:
        raise FusionlabError(
            f"{weights} is not the file its card describes: expected SHA-256 "
            f"{card.sha256[:12]}..., got {found[:12]}...; copy both files again"
        )
    try:
        module.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise FusionlabError(
            f"{weights} does not hold the weights of {type(module).__name__}: "
            f"{' '.join(str(error).split())}"
        ) from error
    return card
