"""Which methods have a row in a table: those of a preset that are installed, and that fit the set.

A method that has none does not cost the other rows anything; the reason is printed with the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.methods import Method, MethodBuilder
from fusionlab.plugins.presets import PublishedTable, package_to_install, preset_methods
from fusionlab.plugins.registry import Plugins, normalized_name
from fusionlab.runs.image_sets import ImageSetItem


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
            left_out[method] = _advice(package, builder.plugins) if package else str(error)
        else:
            available.append(method)
    return builder.build(available, samples), left_out


def split_by_fit(
    rows: Sequence[Method], items: Sequence[ImageSetItem]
) -> tuple[list[Method], dict[str, str]]:
    """Split rows into those that fit an image set and those that do not.

    A row fits if its method takes the number of sources of every sample. In a set whose samples
    have different numbers of sources, a method for exactly two is left out as a whole: its mean
    would be over other images than those of the other rows.

    Args:
        rows: the methods.
        items: the samples; those that cannot be fused do not count.

    Returns:
        The rows that fit, and label -> why another one does not.
    """
    counts = sorted({len(item.sources) for item in items if not item.problem})
    fitting: list[Method] = []
    left_out: dict[str, str] = {}
    for row in rows:
        needed = next(filter(None, map(row.needs, counts)), "")
        if needed:
            left_out[row.label] = f"it needs {needed}, the set has {_range_text(counts)}"
        else:
            fitting.append(row)
    return fitting, left_out


def check_rows(
    rows: Sequence[Method],
    left_out: Mapping[str, str],
    against: str | None,
    builder: MethodBuilder,
    samples: Sequence[str],
) -> str | None:
    """Check that there are rows, among them `against`.

    Args:
        rows: the rows of the table.
        left_out: label -> why another method has no row.
        against: label or name of the row to compare with, or None.
        builder: finds the label of a name.
        samples: names of the samples of the image set.

    Returns:
        The label of the row to compare with, or None.

    Raises:
        FusionlabError: there are no rows (codes `nothing-to-evaluate`, `no-row-fits`), or there is
            no such row (code `no-such-row`).
    """
    labels = [row.label for row in rows]
    reasons = [f"{label}: {reason}" for label, reason in left_out.items()]
    if not labels and reasons:
        raise FusionlabError(
            f"no method fits the image set: {'; '.join(reasons)}", code="no-row-fits"
        )
    if not labels:
        raise FusionlabError(
            "nothing to evaluate; name a method, a folder of results or a preset",
            code="nothing-to-evaluate",
        )
    if against is not None and against not in labels:
        with suppress(FusionlabError):  # spelled in another way, with a default value perhaps
            against = builder.build(against, samples)[0].label
    if against is not None and against not in labels:
        problem = f": {left_out[against]}" if against in left_out else ""
        raise FusionlabError(
            f"there is no row {against!r} to compare with{problem}; rows: {', '.join(labels)}",
            code="no-such-row",
            option="against",
        )
    return against


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


def published_note(
    policies: Sequence[str], settings: Mapping[str, object], items: int, images: int
) -> str:
    """Return why published rows do not compare with ours; empty if they may.

    Args:
        policies: the range policies of our rows.
        settings: those of the preset.
        items: the number of samples that ours are means over.
        images: the number of images that the published rows are means over.
    """
    if items != images:
        return f"These are means over {images} images, ours over {items}: they do not compare."
    published_policy = settings.get("range_policy", policies[0])
    if any(policy != published_policy for policy in policies):
        ours = ", ".join(policies)
        return f"These were made with the range policy {published_policy}, ours with {ours}."
    return ""


def _advice(package: str, plugins: Plugins) -> str:
    """Return what to do where a package does not offer a method of a preset."""
    if any(plugin.name == normalized_name(package) for plugin in plugins.loaded):
        return f"the installed {package} does not offer it"
    return f"install {package}, which offers it"


def _range_text(counts: Sequence[int]) -> str:
    """Return `3`, or `2 to 5` for counts that differ."""
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
