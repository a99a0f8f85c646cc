"""The rows of a preset: its methods, as far as they are installed, and its published table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.methods import Method, MethodBuilder
from fusionlab.plugins.presets import PublishedTable, package_to_install, preset_methods


def build_preset_rows(
    preset: str, builder: MethodBuilder, samples: Sequence[str]
) -> tuple[list[Method], dict[str, str]]:
    """Build the methods that a preset compares, and leave out those that cannot be built.

    A preset may name methods of packages that are not installed; they must not cost its table.

    Args:
        preset: its name.
        builder: builds the rows.
        samples: names of the samples of the image set.

    Returns:
        The rows, and method -> why it has none.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    available: list[str] = []
    left_out: dict[str, str] = {}
    for method in preset_methods(preset, builder.plugins):
        try:
            builder.build(method)
        except FusionlabError as error:
            package = package_to_install(preset, method, builder.plugins)
            left_out[method] = f"install {package}, which offers it" if package else str(error)
        else:
            available.append(method)
    return builder.build(available, samples), left_out


def published_labels(
    table: PublishedTable, labels: Collection[str], builder: MethodBuilder
) -> dict[str, str]:
    """Return which of our rows belong to the rows of a published table.

    Args:
        table: the published rows.
        labels: labels of our rows.
        builder: finds the label of a method.

    Returns:
        Name of the published row -> label of ours; published rows without one are left out.
    """
    matches: dict[str, str] = {}
    for name, method in table.methods.items():
        label = method
        if label not in labels:
            with suppress(FusionlabError):  # it is not installed
                label = builder.build(method)[0].label
        if label in labels:
            matches[name] = label
    return matches
