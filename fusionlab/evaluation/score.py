"""Score one fused image: what `fusionlab score` does, as a function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from fusionlab.engine.device import available_device
from fusionlab.engine.workers import workers
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import MetricInput, ScoreColor, checked_score_color
from fusionlab.evaluation.metric import Metric, choose_metrics
from fusionlab.evaluation.range_check import check_range_use
from fusionlab.evaluation.sample import check_same_size
from fusionlab.evaluation.truth import truth_metrics
from fusionlab.imaging.given import given_array, given_scales, given_sources, with_files_read
from fusionlab.imaging.scale import Scale, parse_scales, scales_for
from fusionlab.plugins.host import installed
from fusionlab.plugins.registry import Plugins

ImageLike = Any
"""What `given_image` takes: a path, an array `(H, W)` or `(H, W, 3)`, a tensor, ..."""


def score(
    fused: ImageLike,
    sources: Iterable[ImageLike],
    metrics: str | Sequence[str] | None = None,
    *,
    truth: ImageLike | None = None,
    preset: str | None = None,
    scale: str | Scale | Sequence[str | Scale] = "auto",
    score_color: ScoreColor = "luma",
    device: str | torch.device = "cpu",
    plugins: Plugins | None = None,
) -> dict[str, float]:
    """Score a fused image against its sources, all of one size.

        fusionlab.score("fused.png", ["infrared.png", "visible.png"], "EN,Qabf")

    Color images are scored by their luminance, unless `score_color` says otherwise, except by
    metrics that take color. 16-bit values are divided by 257, floats (0..1) are multiplied by 255.

    Args:
        fused: the fused image: path, array `(H, W)` or `(H, W, 3)`, tensor `(H, W)` or
            `(C, H, W)` with C 1 or 3, or anything else that `Fusion` takes.
        sources: its sources, in any of these forms.
        metrics: names of metrics, `NAME[@CONVENTION]`, also separated by commas, or `"all"`; None
            uses those of the preset, or else one metric of each family.
        truth: the true image, what the fused one should be, in any of these forms. Adds
            `PSNR_truth` (dB) and `SSIM_truth`: PSNR and SSIM with the true image as the only
            source.
        preset: name of a preset, such as `"paper"`, that chooses the metrics.
        scale: which values of the sources are black and white.
        score_color: `"luma"`, or `"per-channel"`: each metric is the mean of its values for red,
            green and blue.
        device: where to compute: `"cpu"`, `"cuda"`, ...
        plugins: the plugins to use; None: all installed ones.

    Returns:
        Name of the metric -> value; nan where a metric is not defined: for this number of sources,
        for so small an image, or for an image of a single value.

    Raises:
        FusionlabError: a file cannot be read, the sizes differ (code `size-mismatch`), an image is
            of another kind (code `not-an-image`), or a metric is unknown.
    """
    plugins = plugins or installed()
    columns = choose_metrics(metrics, preset, plugins)
    if truth is not None:
        columns += truth_metrics(plugins)
    return score_by(
        columns, fused, sources, truth=truth, scale=scale, score_color=score_color, device=device
    )


def score_by(
    metrics: Sequence[Metric],
    fused: ImageLike,
    sources: Iterable[ImageLike],
    *,
    truth: ImageLike | None = None,
    scale: str | Scale | Sequence[str | Scale] = "auto",
    score_color: ScoreColor = "luma",
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """Score a fused image by metrics that are known already; like `score`.

    Metrics that compare with the true image need one.
    """
    place = available_device(device)
    score_color = checked_score_color(score_color)
    read = with_files_read(sources)
    images = [given_array(fused, "the fused image")]
    images += [given_array(i, name) for i, name in zip(*given_sources(read), strict=True)]
    if len(images) < 2:
        raise FusionlabError("expected at least one source, got none", code="no-sources")
    check_same_size([pixels.shape for _, pixels in images])
    scales = scales_for(given_scales(read, parse_scales(scale)), len(images) - 1)
    names, pixels = zip(*images, strict=True)
    check_range_use(pixels[1:], names[1:], scales)
    fused_input = MetricInput(pixels[:1], names[:1], device=place)
    source_input = MetricInput(pixels[1:], names[1:], scales, place)
    inputs = {False: source_input}
    if truth is not None:
        inputs[True] = _load_truth(truth, images[0], place)

    def value(metric: Metric) -> float:
        return metric.value(fused_input, inputs[metric.of_truth], score_color)

    with workers(in_parallel=place.type == "cpu") as threads:
        values = list(threads.map(value, metrics))
    return {metric.name: value for metric, value in zip(metrics, values, strict=True)}


def _load_truth(
    truth: ImageLike, fused: tuple[str, NDArray[Any]], device: str | torch.device
) -> MetricInput:
    """Return the true image of a fused one.

    Raises:
        FusionlabError: it cannot be read, or has another size (code `size-mismatch`).
    """
    (name, pixels), (fused_name, fused_pixels) = given_array(truth, "the true image"), fused
    (height, width), (rows, columns) = pixels.shape[:2], fused_pixels.shape[:2]
    if (height, width) != (rows, columns):
        raise FusionlabError(
            f"the true image must have the size of the fused one: {name} has {width}x{height} "
            f"pixels, {fused_name} {columns}x{rows}",
            code="size-mismatch",
            option="truth",
        )
    return MetricInput([pixels], [name], device=device)
