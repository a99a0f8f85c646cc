"""Draw the losses of training runs, as Fig. 5 and Fig. 6 of the paper do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.errors import FusionlabError
from fusionlab.imaging.figures import new_figure
from fusionlab.training.log import FILE_NAME, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_ITERATIONS = 5000
"""The number of iterations that Fig. 5 shows."""


@dataclass(frozen=True)
class Curves:
    """The losses in the log of one run."""

    name: str
    settings: dict[str, Any]
    training: list[dict[str, Any]]
    """`iteration`, `pixel`, `structure`, `total`: means since the previous line."""
    validation: list[dict[str, Any]]
    """`iteration`, `pixel`, `ssim`, ... on held-out images."""

    @classmethod
    def read(cls, run: Path) -> Curves:
        """Read the folder of a run, or its log.

        Raises:
            FusionlabError: there is no log, or it holds no losses of a backbone (code
                `no-losses`).
        """
        path = run / FILE_NAME if run.is_dir() else run
        lines = read_log(path)
        training = [line for line in lines if {"pixel", "structure", "total"} <= line.keys()]
        if not training:
            raise FusionlabError(
                f"{path} holds no losses: expected the folder of a run that trains a backbone, or "
                f"its {FILE_NAME}",
                code="no-losses",
                path=path,
            )
        path = path.resolve()
        return cls(
            name=path.parent.name if path.name == FILE_NAME else path.stem,
            settings=next((line["settings"] for line in lines if "settings" in line), {}),
            training=training,
            validation=[
                {"iteration": line["iteration"], **line["validation"]}
                for line in lines
                if "ssim" in line.get("validation", ())
            ],
        )

    @property
    def weight(self) -> float | None:
        """Lambda of Eq. 1."""
        return self.settings.get("ssim_weight")


def draw_training(runs: Sequence[Curves], iterations: int = PAPER_ITERATIONS) -> Figure:
    """Draw pixel, structure and total loss of the first iterations, as in Fig. 5.

    Each run has its own color; the axes of the losses are logarithmic. A point is a mean since
    the previous point, by default over 50 iterations.

    Raises:
        FusionlabError: matplotlib is not installed (code `missing-package`), or the logs hold
            none of these iterations (code `no-losses`).
    """
    first = min(run.training[0]["iteration"] for run in runs)
    if first > iterations:
        raise FusionlabError(
            f"there is nothing to draw up to iteration {iterations}; the first in the log is "
            f"{first}",
            code="no-losses",
        )
    figure, axes = _panels(3)
    only_ssim = {run.settings.get("structure_loss", "ssim") for run in runs} == {"ssim"}
    structure = "SSIM loss" if only_ssim else "structure loss"
    panels = (("pixel", "pixel loss"), ("structure", structure), ("total", "total loss"))
    for (key, title), axis in zip(panels, axes, strict=True):
        for run, color, label in _with_colors(runs):
            points = [line for line in run.training if line["iteration"] <= iterations]
            _plot(axis, points, [point[key] for point in points], color, label)
        _finish(axis, title)
    axes[0].legend(frameon=False)
    return figure


def draw_validation(runs: Sequence[Curves]) -> Figure:
    """Draw the pixel loss and 1 - SSIM of held-out images, as in Fig. 6.

    The paper draws SSIM itself; 1 - SSIM shows the differences near 1.

    Raises:
        FusionlabError: matplotlib is not installed.
    """
    figure, axes = _panels(2)
    for run, color, label in _with_colors(runs):
        points = run.validation
        _plot(axes[0], points, [point["pixel"] for point in points], color, label)
        _plot(axes[1], points, [1 - point["ssim"] for point in points], color, label)
    _finish(axes[0], "validation: mean squared error")
    _finish(axes[1], "validation: 1 - SSIM")
    axes[0].legend(frameon=False)
    return figure


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = new_figure(4.6 * count, 3.8)
    return figure, figure.subplots(1, count)


def _with_colors(runs: Sequence[Curves]) -> list[tuple[Curves, str, str]]:
    weights = [run.weight for run in runs]
    ambiguous = len(set(weights)) < len(weights) or None in weights
    labels = [run.name if ambiguous else f"λ = {run.weight:g}" for run in runs]
    return [(run, f"C{number}", labels[number]) for number, run in enumerate(runs)]


def _plot(
    axis: Axes, points: Sequence[dict[str, Any]], values: list[float], color: str, label: str
) -> None:
    iterations = [point["iteration"] for point in points]
    axis.plot(iterations, values, color=color, label=label, linewidth=1.2)


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title)
    axis.set_xlabel("iterations")
    axis.set_yscale("log")
    axis.grid(visible=True, which="major", linewidth=0.3)
