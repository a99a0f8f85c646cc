"""The names of methods: their grammar, and the name of a method that is built already.

One grammar is used everywhere (tables, records, command line):

    [PLUGIN:]BACKBONE[@TAG][,name=value...]/[PLUGIN:]STRATEGY[,name=value...]

for example `densefuse@1e2/l1norm,r=0`. Pixel strategies may be written without a backbone.

For weights that no plugin offers, TAG is the path of their safetensors file; in the name of a built
method it is TAG-HASH, with the first digits of their SHA-256. Values of a strategy may contain
slashes (paths of checkpoints); values of a backbone may not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fusionlab import parameters
from fusionlab.checkpoint import Card
from fusionlab.errors import FusionlabError
from fusionlab.plugins.loading import strategy_class

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.plugins.registry import Plugins
    from fusionlab.strategy import Strategy

WEIGHTS = ".safetensors"
"""Suffix of files with weights."""
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".model"}
"""Suffixes of files with weights that torch has pickled; they are refused."""

_NAME = rf"(?:{parameters.NAME.pattern}:)?{parameters.NAME.pattern}"
_BACKBONE = re.compile(rf"{_NAME}(?:@[^,]+)?(?:,[^/]*)?")
_STRATEGY = re.compile(rf"(?P<name>{_NAME})(?:,.*)?", re.DOTALL)


@dataclass(frozen=True)
class NameWithValues:
    """A backbone or a strategy as it is written: `NAME[@TAG][,name=value...]`."""

    name: str
    tag: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> the text of its value."""

    @classmethod
    def parse(cls, text: str) -> NameWithValues:
        """Split a text into its parts.

        Raises:
            FusionlabError: a part is not of the form name=value, or a name is given twice.
        """
        head, *parts = text.split(",")
        name, _, tag = head.partition("@")
        values: dict[str, str] = {}
        parameter = ""
        for part in parts:
            if "=" in part:
                parameter, _, value = part.partition("=")
                if parameter in values:
                    raise FusionlabError(f"{parameter!r} is given twice in {text!r}")
                values[parameter] = value
            elif parameter:  # the next element of a tuple: `theta=0.2,0.8`
                values[parameter] += f",{part}"
            else:
                raise FusionlabError(f"expected name=value after {head!r}, got {part!r}")
        return cls(name, tag, values)

    def __str__(self) -> str:
        head = f"{self.name}@{self.tag}" if self.tag else self.name
        return ",".join([head, *(f"{name}={value}" for name, value in self.values.items())])


def split_method(text: str, plugins: Plugins) -> tuple[str, str]:
    """Split the name of a method into its backbone and its strategy, each with parameters.

    For a pixel strategy without a backbone, the backbone is the baseline of the plugins.

    Raises:
        FusionlabError: the name does not follow the grammar (code `method-name`), or a strategy
            that is not a pixel strategy has no backbone (code `missing-backbone`).
    """
    for slash in re.finditer("/", text):
        backbone, strategy = text[: slash.start()], text[slash.end() :]
        match = _STRATEGY.fullmatch(strategy)
        # the separator is the first slash before the name of a strategy; slashes before it belong
        # to the path of the backbone's weights, slashes after it to values of the strategy
        if match and not _is_weights_file(match["name"]) and _BACKBONE.fullmatch(backbone):
            return backbone, strategy
    name = text.partition(",")[0]
    form = "BACKBONE[@TAG][,name=value]/STRATEGY[,name=value]"
    if "/" in name or _is_backbone(name, plugins):
        raise FusionlabError(f"a method is written {form}, got {text!r}", code="method-name")
    if strategy_class(plugins.strategies.find(name)).domain == "pixels":
        return plugins.default("baseline"), text
    raise FusionlabError(
        f"the strategy {name!r} merges features, so the method needs a backbone: a method is "
        f"written {form}, got {text!r}",
        code="missing-backbone",
    )


def method_id(
    backbone: Backbone,
    strategy: Strategy,
    plugins: Plugins,
    *,
    omit_defaults: bool = False,
    shown: Collection[str] = (),
) -> str:
    """Return the full name of a method: `densefuse@1e2/l1norm,r=1,border=inside`.

    Args:
        backbone: the backbone, with its weights loaded.
        strategy: the strategy.
        plugins: the plugins that offer them; others are named by their class.
        omit_defaults: leave out parameters that have their default values.
        shown: parameters of the strategy that are never left out.

    Raises:
        FusionlabError: a value of the backbone contains a slash.
    """
    left = backbone_id(backbone, plugins, omit_defaults=omit_defaults)
    name = plugins.strategies.name_of(type(strategy))
    values = parameters.texts(strategy, omit_defaults=omit_defaults, shown=shown)
    return f"{left}/{NameWithValues(name, values=values)}"


def backbone_id(backbone: Backbone, plugins: Plugins, *, omit_defaults: bool = False) -> str:
    """Return the full name of a backbone: `densefuse@1e2`; see `method_id`."""
    name = plugins.backbones.name_of(type(backbone))
    tag = "" if backbone.card is None else _tag_of(backbone.card, name, plugins)
    values = parameters.texts(backbone, omit_defaults=omit_defaults)
    for parameter, value in values.items():
        if "/" in value:
            raise FusionlabError(
                f"the parameter {parameter!r} of the backbone {name} must be text without '/', got "
                f"{value!r}"
            )
    return str(NameWithValues(name, tag, values))


def _is_backbone(text: str, plugins: Plugins) -> bool:
    """Return whether a text is the name of a registered backbone, with or without a tag."""
    names = {name for r in plugins.backbones.registrations for name in (r.ref.name, r.qualified)}
    return text.partition("@")[0] in names


def _is_weights_file(name: str) -> bool:
    return Path(name).suffix in {WEIGHTS, *PICKLES}


def _tag_of(card: Card, backbone: str, plugins: Plugins) -> str:
    """Return the tag of weights, with their hash unless a plugin offers them for this backbone."""
    for registration in plugins.backbones.registrations:
        weights = registration.ref.checkpoints.get(card.tag)
        same_name = backbone in (registration.ref.name, registration.qualified)
        if same_name and weights is not None and Card.read(weights).sha256 == card.sha256:
            return card.tag
    return f"{card.tag}-{card.sha256[:8]}"
