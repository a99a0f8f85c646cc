"""The metadata of an exported model: what its graph takes and returns, and how it was made.

An exported model is an ONNX file. Its graph has one input per source, `source_1` to `source_K`,
float32 `(N, 1, H, W)` in 0..1, and the output `fused`, likewise, as the decoder returns it: values
may lie outside 0..1. With `depths`, scale and range policy are in the graph, too: its inputs are
`image_1` to `image_K`, its output is `fused_image`, and all hold images as files have them.

All else is in one entry of the metadata of the file, `KEY`, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.storage.schema import Count, NotOurs, Within, check, newer_version, parse_json
from fusionlab.storage.versions import library_versions

KEY = "fusionlab"
"""The name of the entry in the metadata of the file."""
FORMAT = 1
"""The version of the format that this version writes, and the only one that it reads."""
DTYPES = {8: "uint8", 16: "uint16", 32: "float32"}
"""Depth of an image in bits -> the numpy dtype of its values."""

_Depth = Literal[8, 16, 32]
_Size = Annotated[int, Within(1, 2**31)]


class Weights(TypedDict):
    """Trained weights inside the graph."""

    tag: str
    sha256: str
    license: str


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says about itself. Fields that records have, too, mean the same there."""

    format: Annotated[int, Within(FORMAT, FORMAT)]
    method: str
    """The full name of the method, for example `densefuse@1e2/l1norm,r=1,border=inside`."""
    backbone: str
    weights: Weights | None
    strategy: str
    parameters: Mapping[str, bool | str]
    """Those of the strategy, as options take them."""
    networks: Weights | None
    """Of a learned strategy."""
    sources: Annotated[int, Within(1, 1000)]
    """k: how many sources the graph has as inputs."""
    roles: tuple[str, ...]
    """What each source must be, where their order means something; else empty."""
    range: Literal["clip", "minmax"] | None
    """The range policy that the model was exported with; None: the decoded values."""
    saves: Literal["clip", "minmax"]
    """The range policy with which the program of the authors saves an image."""
    scale: tuple[str, ...]
    """Which values of the sources are black and white: once, or once for each."""
    color: Literal["auto", "per-channel", "luma", "gray"]
    shared_weights: bool
    """Whether the method computes one set of weights for the channels of a color image that is
    fused channel by channel. The graph computes weights for each plane that it is given."""
    looks_at_color: bool
    """Whether the method looks at the colors of the sources. The graph sees gray planes only."""
    depths: tuple[_Depth, ...] | None
    """The bits of each image that the graph takes, see `DTYPES`; the fused one has most of them.
    None: scale and range policy are not in the graph."""
    size: tuple[_Size, _Size] | None
    """The only height and width that the graph takes; None: any."""
    smallest: _Size
    """The smallest height and width that the graph was checked with; it may fail below."""
    size_divisor: _Size
    """Tiles begin and end at multiples of this. The graph itself takes any size."""
    halos: tuple[Count, Count, Count] | None
    """Of encoder, strategy and decoder, in pixels: a tile that is cut with their sum gives the
    values of the whole image, once their sum is cropped. None: an image cannot be cut."""
    difference: Annotated[float, Within(0, 1e300)]
    """The largest difference from the pipeline that was found at the export, in 0..1, where the
    values are nominally in 0..1; with `depths` in levels of the fused image, or 0..1 for floats."""
    differing: Annotated[float, Within(0, 1)]
    """The share of the pixels that differ by more than half a gray level of 255: where a strategy
    chooses between sources that are equal but for rounding."""
    checked: tuple[tuple[_Size, _Size], ...]
    """The heights and widths at which it was looked for."""
    opset: Count
    """The version of the operators of ONNX that the graph uses."""
    plugins: Mapping[str, str | None]
    """Distribution -> version of those that offer the strategy and the backbone."""
    libraries: Mapping[str, str]
    """Distribution -> version of those that made the model."""

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs of the graph, in the order of the sources."""
        name = "source" if self.depths is None else "image"
        return [f"{name}_{number}" for number in range(1, self.sources + 1)]

    @property
    def output(self) -> str:
        """The name of the output of the graph."""
        return "fused" if self.depths is None else "fused_image"

    @property
    def halo(self) -> int | None:
        """The sum of the halos, in pixels; None: an image cannot be cut."""
        return None if self.halos is None else sum(self.halos)

    @property
    def can_be_cut(self) -> bool:
        """Whether tiles give the result of the whole image."""
        return self.halos is not None and self.depths is None

    def to_json(self) -> str:
        """Return the text of the entry."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def read(cls, entries: Mapping[str, str], path: Path) -> ModelMetadata:
        """Read the metadata of a model.

        Args:
            entries: the metadata of its file, by their names.
            path: of the file, for errors.

        Raises:
            FusionlabError: the model is not one that fusionlab has exported (code
                `not-our-model`), its metadata are damaged, or a later version has written them
                (code `bad-model`).
        """
        if KEY not in entries:
            raise FusionlabError(
                f"{path} is not a model that fusionlab has exported: it has no metadata named "
                f"{KEY!r}",
                code="not-our-model",
                path=path,
            )
        facts: Any = None
        try:
            facts = parse_json(entries[KEY], Mapping[str, Any])
            check(facts, cls)
            metadata = cls(**{name: facts[name] for name in cls.__dataclass_fields__})
            metadata = replace(metadata, **_tuples(facts))
            _check_agreement(metadata)
        except NotOurs as problem:
            raise FusionlabError(
                f"the metadata of {path} {_what_is_wrong(facts, str(problem))}",
                code="bad-model",
                path=path,
            ) from problem
        return metadata


def _check_agreement(metadata: ModelMetadata) -> None:
    """Check what fields say about each other.

    Raises:
        NotOurs: they contradict.
    """
    k = metadata.sources
    if metadata.depths is not None and len(metadata.depths) != k:
        raise NotOurs(f"depths must be a list of {k}, got {len(metadata.depths)}")
    if len(metadata.scale) not in (1, k):
        raise NotOurs(f"scale must be a list of 1 or {k}, got {len(metadata.scale)}")
    divisor = metadata.size_divisor
    if metadata.halos and any(halo % divisor for halo in metadata.halos):
        raise NotOurs(f"halos must be multiples of {divisor}, got {metadata.halos}")


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return those fields that are lists in JSON as the tuples that they are."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    return {name: frozen(value) for name, value in facts.items() if isinstance(value, list)}


def _what_is_wrong(facts: Any, problem: str) -> str:
    """Return how the metadata are wrong, as the end of a sentence."""
    distribution = "fusionlab-imaging"
    ours = str(library_versions([distribution]).get(distribution))
    if newer := newer_version(facts, ("libraries", distribution), ours):
        return f"were written by fusionlab {newer}, which is newer than {ours}; update fusionlab"
    return f"are damaged: {problem}; export the method again"
