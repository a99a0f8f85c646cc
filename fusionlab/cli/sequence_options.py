"""The options that say what the frames of a sequence are, and which belong to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from click.core import ParameterSource

from fusionlab.cli.session import CommandError


class FramesPerSecond(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on only
    """A positive number: 25, 29.97 or 30000/1001."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """Return the number as a fraction."""
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(
                f"{value!r} is not a positive number such as 25, 29.97 or 30000/1001", param, ctx
            )
        return rate


SEQUENCE_OPTIONS = (
    click.option(
        "--sequence",
        is_flag=True,
        help="The sources are sequences: the images of folders in natural order, the pages of "
        "files. Videos are so anyway.",
    ),
    click.option(
        "--sync",
        type=click.Choice(["name", "frame", "time"]),
        help="Of sequences, which frames belong to each other: those of one name, those of one "
        "number, or those of nearly the same time.  [default: name for folders, else frame]",
    ),
    click.option(
        "--offset",
        "offsets",
        multiple=True,
        type=float,
        metavar="SECONDS",
        help="With --sync time, when the first frame of a source was taken, once for each source.",
    ),
    click.option(
        "--rate",
        type=FramesPerSecond(),
        metavar="FPS",
        help="Frames per second of sequences that state none, such as folders: 25 or 30000/1001.",
    ),
)
"""Which frames belong to each other."""

AUDIO_OPTION = click.option(
    "--audio", is_flag=True, help="Of sequences, copy the audio of the first source to the video."
)

BATCH_OPTION = click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="FRAMES",
    help="Of a sequence, how many frames are fused in one batch, where none depends on another: "
    "for GPUs, which small frames do not fill.",
)

OF_SEQUENCES = ("sync", "offsets", "rate", "audio", "batch", "limits", "temporal", "motion")
"""Options that mean nothing without a sequence."""


def is_sequence(ctx: click.Context, sources: Sequence[Path]) -> bool:
    """Return whether the sources of a command are sequences."""
    if ctx.params["sequence"]:
        return True
    from fusionlab.sequences.opening import is_sequence_file

    return any(is_sequence_file(source) for source in sources if source.is_file())


def named_results(
    texts: Sequence[str], known: Mapping[str, Path] = MappingProxyType({})
) -> dict[str, Path]:
    """Return name -> path of the results that are given as `--fused NAME=PATH`.

    Args:
        texts: what was given.
        known: results that have their names already.
    """
    results = dict(known)
    for text in texts:
        name, equals, path = text.partition("=")
        if not (equals and name.strip() and name.isprintable() and path):
            raise CommandError(f"--fused must be NAME=PATH, got {text!r}")
        if name in results:
            raise CommandError(f"--fused must give each result its own name, got {name!r} twice")
        results[name] = Path(path)
    return results


def refuse_given(ctx: click.Context, names: Sequence[str], reason: str) -> None:
    """Refuse the options with these parameters, if one is given.

    Args:
        ctx: of the command, which knows what was given.
        names: of the parameters.
        reason: continues a sentence that begins with the option.
    """
    for param in ctx.command.get_params(ctx):
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if param.name in names and given:
            raise CommandError(f"{param.opts[0]} {reason}")
