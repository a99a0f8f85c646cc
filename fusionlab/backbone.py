"""What a backbone is: a frozen encoder and decoder, and the card of its weights.

A backbone turns images into features and features back into images. It is trained once
(`fusionlab.training`), frozen, and never touched by a fusion: the rule in the middle is
the only thing that changes from one experiment to the next.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from fusionlab.errors import FusionlabError
from fusionlab.names import check_name

Features = tuple[Tensor, ...]
"""What an encoder returns: one `(M, C, h, w)` tensor per level, finest first."""


@dataclass(frozen=True)
class Level:
    """One resolution at which a backbone offers features."""

    channels: int
    stride: int
    """Image pixels per feature pixel."""


@dataclass(frozen=True)
class Card:
    """Where a checkpoint comes from: the file that lies beside the weights.

    The card of `X.safetensors` is `X.json`; its `sha256` is that of the weights file and is
    checked whenever the weights are loaded.
    """

    backbone: str
    tag: str
    sha256: str
    licence: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the network was trained on."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Loss, lambda, iterations, batch, learning rate, ... of the training."""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """How well held-out images come back, in grey levels."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the programs, and the commit of the training code."""
    parent: Mapping[str, Any] | None = None
    """The card of the weights that the training started from; None: from random ones."""

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
            return cls(**json.loads(path.read_text(encoding="utf-8")))
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


class Backbone(nn.Module, ABC):
    """A frozen encoder and decoder.

    Callers speak images in 0..1; what scale a backbone uses inside is its own affair (both
    shipped ones work in grey levels, 0..255). Subclasses declare `levels`, and a `multiple`
    if their strides need the image to have a size divisible by it.

    A backbone stays a plain module: gradients reach the sources and the strategy through it,
    while its own parameters are frozen by `freeze`.
    """

    levels: ClassVar[tuple[Level, ...]]
    multiple: ClassVar[int] = 1
    """Height and width of an image must be multiples of this; the pipeline pads and crops."""
    trainable: ClassVar[bool] = False
    """Whether `fusionlab train` can train it: it has parameters, and random ones at first."""

    card: Card | None = None
    """The card of the loaded weights; None for random weights, or where there are none."""

    @abstractmethod
    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features, one tensor per level."""

    @abstractmethod
    def decode(self, features: Features) -> Tensor:
        """Turn features back into images `(M, 1, H, W)` in 0..1; they may overshoot."""

    @abstractmethod
    def halo(self, support: int) -> int:
        """Return how many image pixels away a result pixel can see.

        Args:
            support: how many feature pixels away the strategy looks.

        A tile that is larger by this on every side than what is kept of it gives exactly
        what the whole image would give.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode: what training minimises the error of."""
        return self.decode(self.encode(images))

    def freeze(self) -> Self:
        """Switch to evaluation and stop gradients to the parameters; return self."""
        return self.eval().requires_grad_(False)

    def load_checkpoint(self, weights: Path) -> Self:
        """Load a safetensors file, check it against its card, and freeze; return self.

        Raises:
            FusionlabError: the file is missing or damaged, differs from the SHA-256 in its
                card, or holds the weights of another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        card = Card.read(weights)
        try:
            content = weights.read_bytes()
        except OSError as error:
            raise FusionlabError(f"cannot read the weights {weights}: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != card.sha256:
            raise FusionlabError(
                f"{weights} is not the file its card describes: expected SHA-256 "
                f"{card.sha256[:12]}..., got {found[:12]}...; copy both files again"
            )
        try:
            self.load_state_dict(load(content))
        except (SafetensorError, RuntimeError) as error:
            raise FusionlabError(
                f"{weights} does not hold the weights of {type(self).__name__}: "
                f"{' '.join(str(error).split())}"
            ) from error
        self.card = card
        return self.freeze()
