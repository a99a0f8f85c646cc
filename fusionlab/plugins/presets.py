"""Presets: named defaults that plugins contribute to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusionlab.parameters import check_name


@dataclass(frozen=True)
class Preset:
    """What one plugin means by a preset such as `paper`; several plugins may share a name.

    Presets only replace defaults: what a user says explicitly always wins.

    Args:
        name: what `--preset` takes.
        summary: one line: what this part of it reproduces.
        settings: options of the pipeline, for example `{"range_policy": "minmax"}`.
        strategies: name of one of this plugin's strategies -> its parameters, for example
            `{"l1norm": {"r": 0}}`. `fusionlab evaluate` compares those that are named.
        backbones: which of this plugin's backbones `fusionlab evaluate` compares, with tags.
        metrics: which metrics it computes, for example `("EN", "Qabf@paper")`.
        published: rows of a published table to print beside its own: the name of a method, or of
            somebody else's, -> metric -> value.
        published_images: how many images these are means over; other sets do not compare.
        trainings: name of one of this plugin's backbones -> options of `fusionlab train`, for
            example `{"densefuse": {"batch": 2, "epochs": (4,)}}`.
    """

    name: str
    summary: str
    settings: Mapping[str, object] = field(default_factory=dict)
    strategies: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    trainings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    backbones: Sequence[str] = ()
    metrics: Sequence[str] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    published_images: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
