"""Checkpoints: a safetensors file of trained weights, and a card that records their origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.parameters import check_name
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.storage.schema import check, parse_json

if TYPE_CHECKING:
    from torch import nn


class _CardOfStrategy(TypedDict):
    name: str
    backbone_sha256: NotRequired[str | None]


@dataclass(frozen=True)
class Card:
    """The origin of a checkpoint, stored next to its weights.

    The card of `X.safetensors` is `X.json`. Its `sha256` is checked against the weights file
    whenever the weights are loaded.
    """

    backbone: str
    """The name of the backbone; for a strategy, of the backbone it was trained on."""
    tag: str
    sha256: str
    license: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the network was trained on."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Loss, lambda, iterations, batch, learning rate, ... of the training."""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """Errors of the reconstruction of held-out images, in gray levels."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the libraries, and the commit of the training code."""
    parent: Mapping[str, Any] | None = None
    """The card of the weights that the training started from; None for random weights."""
    strategy: Mapping[str, Any] | None = None
    """For the networks of a learned strategy: its `name`, its `parameters`, and the SHA-256 of the
    weights of the backbone, `backbone_sha256`. None for the weights of a backbone."""

    def __post_init__(self) -> None:
        check_name(self.tag)

    @staticmethod
    def path_of(weights: Path) -> Path:
        """Return the path of the card of a weights file."""
        return weights.with_suffix(".json")

    @classmethod
    def read(cls, weights: Path) -> Card:
        """Read the card of a weights file.

        Raises:
            FusionlabError: there is no card (code `no-card`), or it is not valid (code `bad-card`).
        """
        path = cls.path_of(weights)
        try:
            facts = parse_json(path.read_bytes(), Mapping[str, Any])
            if "licence" in facts:  # the spelling of cards written before the first release
                facts["license"] = facts.pop("licence")
            check(facts, cls)
            check(facts.get("strategy"), _CardOfStrategy | None)
            return cls(
                **{field.name: facts[field.name] for field in fields(cls) if field.name in facts}
            )
        except FileNotFoundError:
            raise FusionlabError(
                f"{weights} has no card: expected {path.name} next to it", code="no-card", path=path
            ) from None
        except (OSError, ValueError) as error:
            raise FusionlabError(
                f"{path} is not the card of a checkpoint: {error}", code="bad-card", path=path
            ) from error

    def to_json(self) -> str:
        """Return the card as the text of its file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def load_weights(module: nn.Module, weights: Path) -> Card:
    """Load a safetensors file into a module, and return its card.

    Raises:
        FusionlabError: the file cannot be read (code `unreadable`), its SHA-256 differs from that
            in its card (code `hash-mismatch`), or it holds the weights of another network (code
            `other-network`).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = Card.read(weights)
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise FusionlabError(
            f"cannot read the weights {weights}: {error.strerror}", code="unreadable", path=weights
        ) from error
    sha256 = sha256_of_bytes(content)
    if sha256 != card.sha256:
        raise FusionlabError(
            f"{weights} is not the file its card describes: expected SHA-256 "
            f"{card.sha256[:12]}..., got {sha256[:12]}...; copy both files again",
            code="hash-mismatch",
            path=weights,
        )
    try:
        module.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        # torch lists the tensors that do not fit, one a line, below a heading
        first, *others = str(error).splitlines()[1:] or [str(error)]
        more = f"; and {len(others)} more" if others else ""
        raise FusionlabError(
            f"{weights} does not hold the weights of {type(module).__name__}: "
            f"{' '.join(first.split()).rstrip('.')}{more}",
            code="other-network",
            path=weights,
        ) from error
    return card
