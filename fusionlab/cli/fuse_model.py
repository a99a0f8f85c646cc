"""The part of `fusionlab fuse` for exported models, which imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fusionlab.cli.session import CommandError
from fusionlab.cli.threads import chosen_threads

if TYPE_CHECKING:
    from fusionlab.exported.file_fusion import ModelFileFusion

IN_THE_MODEL = ("task", "strategy", "backbone", "preset", "device", "engine", "precision")
"""Options of what a model holds or decides."""

NOT_IN_THE_MODEL = ("save_weights", "save_index", "temporal")
"""Options of what it does not return."""


def check_model_options(ctx: click.Context) -> None:
    """Refuse options that a model leaves nothing to decide about."""
    for names, reason in (
        (IN_THE_MODEL, "the model decides it; leave one of them out"),
        (NOT_IN_THE_MODEL, "a model returns no weights; fuse with its method instead"),
    ):
        for param in ctx.command.get_params(ctx):
            given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
            if param.name in names and given:
                raise CommandError(f"{param.opts[0]} does not go with --model: {reason}")


def fusion_of_model(
    ctx: click.Context, options: dict[str, Any]
) -> tuple[ModelFileFusion, dict[str, Any]]:
    """Return the fusion of files with the model of a command, and the settings to print.

    Args:
        ctx: of the command, which knows what was given.
        options: of `FileFusion`.
    """
    from fusionlab.exported.file_fusion import ENGINE, ModelFileFusion
    from fusionlab.exported.model import ExportedModel

    def given(name: str) -> Any:
        default = ctx.get_parameter_source(name) is ParameterSource.DEFAULT
        return None if default else ctx.params[name]

    model = ExportedModel(
        ctx.params["model"],
        range_policy=ctx.params["range_policy"],
        scale=given("scale"),
        nodata=ctx.params["nodata"],
        color=given("color"),
        separate_weights=not ctx.params["shared_weights"],
        tile=ctx.params["tile"],
        threads=chosen_threads(),
    )
    facts = {
        "task": None,
        "detected": None,
        "model": str(model.path),
        "method": model.method,
        "preset": None,
        "range": model.range_policy,
        "color": model.color,
        "shared_weights": model.shared_weights,
        "scale": " ".join(map(str, model.scale)),
        "device": "cpu",
        "engine": ENGINE,
    }
    return ModelFileFusion(model, **options), facts
