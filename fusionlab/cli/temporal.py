"""The options that say what carries over from frame to frame of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fusionlab.temporal import TemporalConsistency

F = TypeVar("F", bound=Callable[..., Any])


def temporal_options(*, two_pass: bool) -> Callable[[F], F]:
    """Return the decorator that adds --limits, --temporal and --motion.

    Args:
        two_pass: whether all frames are there before the first is fused.
    """
    kinds = "first, two-pass (measures all frames before), " if two_pass else "first, "
    options = [
        click.option(
            "--limits",
            default="causal",
            show_default=True,
            metavar="POLICY",
            help="Of a sequence, what decides about black and white where --scale or --range "
            f"measures them: {kinds}fixed=LO,HI (gray levels of the result), causal[=0.95] (they "
            "follow the frames slowly), or frame (each its own: flickers).",
        ),
        click.option(
            "--temporal",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.0,
            show_default=True,
            metavar="SHARE",
            help="Of a sequence, how much of its earlier weights a place keeps from frame to frame "
            "where nothing moves, such as 0.8: smooths weights that follow the noise.",
        ),
        click.option(
            "--motion",
            type=click.FloatRange(min=0, min_open=True),
            default=8.0,
            show_default=True,
            metavar="LEVELS",
            help="With --temporal, by how many gray levels of 255 something must change near a "
            "place for it to keep nothing.",
        ),
    ]

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def temporal_of(limits: str, temporal: float, motion: float) -> TemporalConsistency:
    """Return what the options say.

    Raises:
        FusionlabError: the limits are none.
    """
    from fusionlab.temporal import TemporalConsistency

    return TemporalConsistency(limits, temporal, motion)
