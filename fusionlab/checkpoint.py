"""Checkpoints: a safetensors file of trained weights, and a card that records their origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from fusionlab.errors import FusionlabError, one_line
from fusionlab.parameters import check_name
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import check, parse_json

if TYPE_CHECKING:
    from torch import nn


MAX_NAME = 100
"""Longest part of the name of a tensor in a message, in characters."""


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
        check_own_file(path, reading=True)
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
            in its card (code `hash-mismatch`), it holds the weights of another network (code
            `other-network`), or values that are not finite (code `not-finite`).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = Card.read(weights)
    check_own_file(weights, reading=True)
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
        problem = _misfit(module, _header_of(content))
        tensors = {} if problem else load(content)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        problem = one_line(error)
    if problem:
        raise FusionlabError(
            f"{weights} does not hold the weights of {type(module).__name__}: {problem}",
            code="other-network",
            path=weights,
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise FusionlabError(
                f"{weights} holds values in {name} that are not finite; train again, or take "
                "another file",
                code="not-finite",
                path=weights,
            )
    module.load_state_dict(tensors)
    return card


_FLOATS = {"F16", "BF16", "F32", "F64"}
"""Names in safetensors of the dtypes that floating-point weights may be stored in."""


def _header_of(content: bytes) -> dict[str, Any]:
    """Return name -> dtype, shape and place of each tensor in a safetensors file.

    The names are looked at before any tensor is made of them: a file may have any number.

    Raises:
        ValueError: the file has no such header.
        TypeError: likewise.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("its header is cut off")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise TypeError("its header is no list of tensors")
    header.pop("__metadata__", None)
    return header


def _misfit(module: nn.Module, header: Mapping[str, Any]) -> str:
    """Return why the tensors of a file are not those of a module; empty if they are."""
    expected = module.state_dict()
    for names, problem in (
        (expected.keys() - header.keys(), "it lacks"),
        (header.keys() - expected.keys(), "it has, and should not,"),
    ):
        if names:
            first = " ".join(min(names).split())[:MAX_NAME]
            return f"{problem} {first}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    misfits = []
    for name, tensor in expected.items():
        entry = header[name]
        if list(tensor.shape) != entry["shape"]:
            misfits.append(f"{name} must have the shape {[*tensor.shape]}, got {entry['shape']}")
        elif tensor.is_floating_point() != (entry["dtype"] in _FLOATS):
            misfits.append(f"{name} must be of the dtype {tensor.dtype}, got {entry['dtype']}")
    more = f"; and {len(misfits) - 1} more" if len(misfits) > 1 else ""
    return f"{misfits[0]}{more}" if misfits else ""
