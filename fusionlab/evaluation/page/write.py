"""Write the page of a study: `index.html` and what it loads, or everything in one file."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

import fusionlab
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.page.content import (
    SetContent,
    decimals,
    describe_rows,
    overview,
    references_by_kind,
    set_content,
)
from fusionlab.evaluation.page.html import GENERATOR, page_html
from fusionlab.evaluation.page.images import (
    IMAGES,
    THUMBNAILS,
    ImageChoice,
    SetImages,
    WeightMaps,
)
from fusionlab.evaluation.page.ordering import order_metrics
from fusionlab.evaluation.page.sweeps import can_draw, caption, draw_sweep, sweeps
from fusionlab.evaluation.page.values import chunk_script, value_chunks
from fusionlab.evaluation.reporting.effects_table import effects_table
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.storage.atomic import replace_folder

INDEX = "index.html"
DATA, PLOTS = "data", "plots"
ROWS_SHOWN = 200
"""Tables have more rows at the press of a button: the layout of a thousand takes seconds."""
RANKS_SHOWN = 50
TYPES = {".png": "image/png", ".webp": "image/webp"}


def write_page(
    results: StudyResults,
    folder: str | Path,
    *,
    images: str = "all",
    single_file: bool = False,
    order_by: str | None = None,
    weight_maps: WeightMaps | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Path:
    """Write the page of a study: tables, plots, and the images behind the numbers.

    The page needs no server and no network. It is written as a whole or not at all, and replaces an
    earlier page.

    Args:
        results: the study, or the evaluation of one set.
        folder: of the page; its `index.html` is what people open. It may hold an earlier page, but
            nothing else.
        images: which samples are shown with their images: `all`, `none`, or `worst:N` of each set.
            Images are shown where they are kept (`save_images` of an evaluation).
        single_file: put everything into `index.html`, also the images.
        order_by: the metric by which samples are the worst, and ordered at first; None: see
            `ordering.order_metrics`.
        weight_maps: returns the weight maps of a row and a sample, for example
            `fusionlab.evaluation.page.weight_maps.ComputedWeightMaps(results)`; None: no maps.
        progress: called with (samples written, samples in all).

    Returns:
        The path of `index.html`.

    Raises:
        FusionlabError: the choice of images or the metric is unknown (codes `image-choice`,
            `no-such-metric`), or the folder holds something else (code `not-a-page`) or cannot be
            written (code `unwritable`).
    """
    choice = ImageChoice.parse(images)
    folder = Path(folder)
    check_folder(folder)
    orders = order_metrics(results.reports.values(), order_by)
    with replace_folder(folder) as target:
        sets, data, chunks = _write_sets(results, target, choice, orders, weight_maps, progress)
        inlined: dict[str, Any] = {}
        if single_file:
            inlined = chunks | _inlined_images(target)
        else:
            (target / DATA).mkdir()
            for name, chunk in chunks.items():
                (target / DATA / f"{name}.js").write_text(chunk_script(name, chunk), "ascii")
        plots = {
            path: Markup((target / path).read_text(encoding="utf-8"))  # noqa: S704  # drawn here
            for entry in sets
            for path in (sweep["path"] for sweep in entry.sweeps)
        }
        made, _ = describe_rows(results)
        content = {
            "name": results.name,
            "facts": results.facts,
            "known": results.known,
            "total": results.total,
            "sets": sets,
            "overview": overview(results),
            "effects": effects_table(results.effects, results.reports) if results.effects else None,
            "made": made,
            "plots": plots,
            "can_draw": can_draw(),
            "rows_shown": ROWS_SHOWN,
            "ranks_shown": RANKS_SHOWN,
            "version": fusionlab.__version__,
        }
        html = page_html(content, data | {"single": single_file}, inlined)
        if single_file:
            _remove_parts(target)
        # names of files may hold bytes that are not text
        (target / INDEX).write_bytes(html.encode(errors="backslashreplace"))
    return folder / INDEX


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a page of ours.

    Raises:
        FusionlabError: it does (code `not-a-page`), or it is a file.
    """
    if not os.path.lexists(folder):
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    foreign = names - {INDEX, DATA, PLOTS, IMAGES, THUMBNAILS}
    if not foreign and (not names or _is_page(folder / INDEX)):
        return
    raise FusionlabError(
        f"{folder} holds {min(foreign or names)}, which is no part of a page; choose another "
        "folder for it",
        code="not-a-page",
        path=folder,
    )


def _is_page(index: Path) -> bool:
    try:
        with index.open("rb") as file:
            return GENERATOR.encode() in file.read(500)
    except OSError:
        return False


def _write_sets(
    results: StudyResults,
    target: Path,
    choice: ImageChoice,
    orders: list[int],
    weight_maps: WeightMaps | None,
    progress: Callable[[int, int], None],
) -> tuple[list[SetContent], dict[str, Any], dict[str, Any]]:
    """Write images and plots; return what the page shows, its data, and its chunks."""
    _, places = describe_rows(results)
    reports = results.reports
    chosen = [
        choice.samples(report.scores, order)
        for report, order in zip(reports.values(), orders, strict=True)
    ]
    done, total = 0, sum(map(len, chosen))

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    sets, data, chunks = [], [], {}
    for number, (name, report) in enumerate(reports.items()):
        content = set_content(results, name, number, places)
        content.sweeps.extend(_write_sweeps(report, number, name, target))
        images = SetImages(results, name, number, target, weight_maps)
        chunks[f"samples-{number}"] = images.write(chosen[number], step)
        chunks |= value_chunks(number, report.scores, report.digits)
        sets.append(content)
        data.append(_set_data(report, name, orders[number]))
    return sets, {"name": results.name, "sets": data}, chunks


def _set_data(report: Report, name: str, order: int) -> dict[str, Any]:
    """Return what the scripts need of a set from the start."""
    means = np.where(np.isfinite(report.scores.means()), report.scores.means(), np.nan)
    return {
        "name": name,
        "rows": report.scores.methods,
        "samples": len(report.scores.samples),
        "order": order,
        "comparisons": references_by_kind(report),
        "metrics": [
            {"name": metric.name, "direction": metric.direction, "decimals": places}
            for metric, places in zip(report.scores.metrics, decimals(report), strict=True)
        ],
        "means": [[None if np.isnan(v) else float(f"{v:.10g}") for v in row] for row in means],
    }


def _write_sweeps(report: Report, number: int, name: str, target: Path) -> list[Mapping[str, str]]:
    """Write the plots of a set as SVG, if matplotlib is installed."""
    if not any(report.scores.counts):  # nothing has been computed yet
        return []
    factors = [report.factors.get(label, {}) for label in report.scores.methods]
    plots: list[Mapping[str, str]] = []
    for index, (factor, series) in enumerate(sweeps(factors).items()):
        path = f"{PLOTS}/{number}-{index}.svg"
        if can_draw():
            (target / PLOTS).mkdir(exist_ok=True)
            salt = f"{number}-{index}"
            (target / path).write_bytes(draw_sweep(factor, series, report.scores, salt))
        text = f"Means of each metric over {factor} on {name}, {len(series)} series"
        lines = caption(series, len(report.scores.samples))
        plots.append({"factor": factor, "path": path, "text": text, "caption": lines})
    return plots if can_draw() else []


def _inlined_images(target: Path) -> dict[str, Any]:
    """Return chunk -> path -> data URI: one for each sample, one for the thumbnails of a set."""
    chunks: dict[str, dict[str, str]] = {}
    for folder in (IMAGES, THUMBNAILS):
        for path in sorted((target / folder).rglob("*.*")):
            image_set, sample = path.parent.name, path.name.partition("-")[0]
            name = f"{IMAGES}-{image_set}-{sample}" if folder == IMAGES else f"{folder}-{image_set}"
            chunks.setdefault(name, {})[path.relative_to(target).as_posix()] = _data_uri(path)
    return chunks


def _data_uri(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{TYPES[path.suffix]};base64,{content}"


def _remove_parts(target: Path) -> None:
    """Remove what has become part of the page."""
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
