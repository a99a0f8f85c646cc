"""Evaluate methods on an image set: what `fusionlab evaluate` does, as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from fusionlab.engine.device import available_device
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.executors import ExecutorChoice
from fusionlab.evaluation.gray_levels import (
    LUMINANCE,
    SCORED_BY,
    ScoreColor,
    checked_score_color,
)
from fusionlab.evaluation.methods import Method, MethodBuilder, MethodLike
from fusionlab.evaluation.metric import choose_metrics
from fusionlab.evaluation.range_check import check_ranges_of_set
from fusionlab.evaluation.recipes import TablePolicy
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.result_folder import FolderMethod
from fusionlab.evaluation.rows import (
    build_preset_rows,
    check_rows,
    published_labels,
    published_note,
    split_by_fit,
)
from fusionlab.evaluation.run import ScoringRun
from fusionlab.evaluation.saved_images import SavedImages
from fusionlab.evaluation.score_journal import ScoreJournal, check_output_folder
from fusionlab.evaluation.scores import ScoreRow, Scores, in_order
from fusionlab.evaluation.scoring import ScoringSettings
from fusionlab.evaluation.truth import TruthFolder, truth_metrics
from fusionlab.imaging.color import Color
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.plugins.host import installed
from fusionlab.plugins.presets import PublishedTable, preset_settings, published_table
from fusionlab.plugins.registry import Plugins
from fusionlab.registration.registrar import Registrar, cropping_registrar
from fusionlab.runs.image_sets import names_of_sources, pair_images
from fusionlab.storage.locking import run_folder_lock

ImageSet = str | Path | Sequence[str | Path]
"""What `find_image_set` takes: a folder, or several folders or templates, one for each source."""


def evaluate(
    image_set: ImageSet | Mapping[str, ImageSet],
    methods: MethodLike | Mapping[str, MethodLike] | Sequence[Any] = (),
    metrics: str | Sequence[str] | None = None,
    *,
    against: str | None = None,
    preset: str | None = None,
    range_policy: TablePolicy | None = None,
    scale: str | Scale | Sequence[str | Scale] | None = None,
    color: Color | Literal["auto"] | None = None,
    score_color: ScoreColor = "luma",
    register: str | Registrar | None = None,
    truth: str | Path | None = None,
    baselines: bool = True,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    save_images: bool = False,
    executor: str = "threads",
    device: str | torch.device = "cpu",
    digits: int = 4,
    deviations: bool = True,
    progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
    plugins: Plugins | None = None,
) -> Report:
    """Fuse an image set with every method, score the results, and compare the methods.

        report = fusionlab.evaluate("set/", ["densefuse/l1norm", "densefuse/addition"], "EN,Qabf")
        print(report)

    A sample that cannot be fused or scored has no values; `Report.problems` says why. A method that
    does not take the number of sources of every sample is left out; `Report.left_out` says why. The
    image that is scored is the one that would be written, see docs/evaluation.md.

    Args:
        image_set: what `find_image_set` takes: a folder with sub-folders `a/ b/ ...` whose files
            are paired by name; or several folders or templates (`"set/{}_ir.*"`), one for each
            source; or a mapping of one name to either.
        methods: the rows, one or several: names of methods (`densefuse@1e2/l1norm,r=0`), instances
            of `Strategy` (on their default backbone) or `Fusion` (with the range policy, scale and
            color of the table), and folders of results made elsewhere (`"Theirs=DIR"`). A mapping
            gives labels: label -> method, where the folder of results is a `Path`. Without any
            method, those of the preset are used.
        metrics: names of metrics, `NAME[@CONVENTION]`, also separated by commas, or `"all"`; None
            uses those of the preset, or else one metric of each family.
        against: label or name of a row that every other row is compared with.
        preset: name of a preset, such as `"paper"`, that sets methods, metrics, parameters, scale,
            color and range policy, and adds its published rows; other arguments take precedence.
            Methods of the preset that are not installed are left out.
        range_policy: how results become displayable. `"auto"` (default): for each row as a `Fusion`
            does it by default, so that the image that users get is scored; `"clip"` or `"minmax"`:
            for all rows; `"own"`: for each row as the program of its authors saves, which its
            backbone or strategy declares. Where the rows differ, the table has a column for it.
        scale: which values of the sources are black and white, for the fusion and the metrics;
            None: `auto`, or what the preset says.
        color: how color images are fused, as for a `Fusion`; None: as the preset says, or else
            their luminance, in gray. Results in folders stay as they are.
        score_color: how color images are scored by metrics that do not take color: `"luma"`, or
            `"per-channel"`, each metric is the mean of its values for red, green and blue. So
            scores VIFB, whose values the convention `vifb` reproduces.
        register: how the sources are registered first, `METHOD[,model=MODEL]`, where METHOD may be
            `"auto"`; or a `Registrar`. They are cropped to where all of them are data, since
            metrics need data everywhere. None: they lie on each other already.
        truth: a folder with true images, what the results should be, one for each sample as for
            folders of results. Adds the columns `PSNR_truth` (dB) and `SSIM_truth`: PSNR and SSIM
            with the true image as the only source. A sample without a true image of its size has
            no value there, and `Report.problems` says so.
        baselines: add the same strategy on pixels to every strategy on a learned backbone, and
            compare the two: the gain of the network.
        output: a folder for the files of `Report.write`, and for the scores as they come.
        resume: reuse the scores of an earlier run in `output` where nothing has changed.
        overwrite: replace an earlier run in `output`.
        save_images: keep the images that are scored, in `output/images/ROW/SAMPLE.png`.
        executor: where to compute: `"threads:4"`, `"local:4"` (processes of this machine),
            `"dask:4"` or `"dask://HOST:PORT"`; without a number as many as torch has threads, at
            most 8. Scores do not depend on it. In a script, processes need
            `if __name__ == "__main__":` around its main part, as always in Python.
        device: where to compute: `"cpu"`, `"cuda"`, ...
        digits: decimals shown.
        deviations: whether `table.tex` has deviations and intervals.
        progress: called with (rows done, rows in all): first with the number of rows that an
            earlier run has, then after each method and image.
        on_problem: called with each row that is left out and each new problem, a sentence, as
            soon as it is known.
        plugins: the plugins to use; None: all installed ones.

    Raises:
        FusionlabError: nothing could be evaluated: there is no such image set, method or metric
            (codes `several-sets`, `nothing-to-evaluate`, `no-row-fits`, `no-metrics`,
            `no-such-row`, and others), or `output` holds an earlier run (code `earlier-run`).
    """
    plugins = plugins or installed()
    settings = preset_settings(preset, plugins) if preset else {}
    policy: Any = range_policy or settings.get("range_policy", "auto")
    scales = parse_scales(scale or cast("Any", settings.get("scale", "auto")))
    color = cast("Any", color or settings.get("color", "gray"))
    modes = ("auto", *get_args(Color))
    if color not in modes:
        raise FusionlabError(
            f"the color mode must be one of {', '.join(modes)}, got {color!r}",
            code="color-mode",
            option="color",
        )
    score_color = checked_score_color(score_color)
    folders = _folders(image_set)
    paired = pair_images(folders)
    items = paired.items
    check_ranges_of_set(items, scales)
    registrar = cropping_registrar(register, plugins)
    choice = ExecutorChoice.parse(executor)
    builder = MethodBuilder(plugins, preset, policy, scales, color, device, baselines)
    stems = [item.stem for item in items]
    absent: dict[str, str] = {}
    broken: dict[str, str] = {}
    if preset and not methods:
        rows, absent = build_preset_rows(preset, builder, stems)
    else:
        rows = builder.build(methods, stems, broken)
    rows, misfits = split_by_fit(rows, items)
    left_out = misfits | absent | broken
    against = check_rows(rows, left_out, against, builder, stems)
    on_problem = on_problem or (lambda _: None)
    columns = choose_metrics(metrics, preset, plugins)
    truth_folder = None if truth is None else TruthFolder.find(Path(truth), stems)
    if truth_folder is not None:
        columns += truth_metrics(plugins)
    folder = _output_folder(output, resume=resume, save_images=save_images)
    with ExitStack() as stack:
        if folder is not None:
            check = partial(check_output_folder, folder, resume=resume, overwrite=overwrite)
            stack.enter_context(run_folder_lock(folder, check))
        images = SavedImages(folder, resume=resume) if folder is not None else None
        run = ScoringRun(
            rows,
            columns,
            ScoreJournal(folder, resume=resume),
            settings=ScoringSettings(
                scales,
                available_device(device),
                truth=truth_folder,
                score_color=score_color,
                registrar=registrar,
            ),
            images=images if save_images else None,
            progress=progress or (lambda *_: None),
            blocked=plugins.blocked,
        )
        for label, reason in left_out.items():
            on_problem(f"{label} is left out: {reason}")
        with choice.open(device) as workers:
            scored = _reported(run.run(run.look_up(items), workers), on_problem)
        published = published_table(preset, plugins) if preset else PublishedTable()
        labels = [row.label for row in rows]
        score_rows = in_order(scored, stems, labels)
        report = Report(
            rows,
            Scores(labels, stems, columns, score_rows),
            score_rows,
            {
                "set": " ".join(map(str, folders)),
                "pairs": paired.description,
                "preset": preset or "none",
                "range": _describe_range(policy, rows),
                "scale": " ".join(map(str, scales)),
                "color": _describe_color(color, score_color),
                "scored": "the images as written, in gray levels 0..255",
                **({} if registrar is None else {"registered": str(registrar)}),
                **({} if truth_folder is None else {"truth": truth_folder.images.pattern}),
            },
            published=published.rows,
            published_labels=published_labels(published, labels, builder),
            published_note=published_note([policy], settings, len(items), published.images),
            explanations=published.notes,
            left_out=left_out,
            broken=frozenset(broken),
            against=against,
            digits=digits,
            unsaved=run.unsaved,
            name=_name(image_set, folders),
            deviations=deviations,
        )
        if folder is not None:
            _write(report, folder)
    return report


def _output_folder(output: str | Path | None, *, resume: bool, save_images: bool) -> Path | None:
    """Return the folder of the run; None: nothing is kept.

    Raises:
        FusionlabError: something needs the folder (codes `resume-without-output`, `no-output`).
    """
    if output is None and (resume or save_images):
        reason = "resuming needs" if resume else "images are saved in"
        raise FusionlabError(
            f"{reason} the folder of the run; give it as the output",
            code="resume-without-output" if resume else "no-output",
            option="output",
        )
    return None if output is None else Path(output)


def _folders(image_set: ImageSet | Mapping[str, ImageSet]) -> list[Path]:
    """Return the folders of an image set.

    Raises:
        FusionlabError: there is more than one image set, or none.
    """
    if isinstance(image_set, Mapping):
        if len(image_set) != 1:
            raise FusionlabError(
                f"an evaluation takes one image set, got {len(image_set)}; evaluate each of them",
                code="several-sets",
            )
        (image_set,) = image_set.values()
    if isinstance(image_set, str | Path):
        return [Path(image_set)]
    folders = [Path(folder) for folder in image_set]
    if not folders:
        raise FusionlabError("no image set is given; name a folder", code="no-set")
    return folders


def _name(image_set: ImageSet | Mapping[str, ImageSet], folders: Sequence[Path]) -> str:
    """Return the name of an image set: the one that is given, or those of its folders."""
    if isinstance(image_set, Mapping):
        return next(iter(image_set))
    return "+".join(names_of_sources(folders))


def _reported(
    scored: Iterator[list[ScoreRow]], on_problem: Callable[[str], None]
) -> list[ScoreRow]:
    """Return the rows, and report each problem once."""
    rows: list[ScoreRow] = []
    problems: set[str] = set()
    for row in chain.from_iterable(scored):
        rows.append(row)
        if row.problem and row.problem not in problems:
            problems.add(row.problem)
            on_problem(row.problem)
    return rows


def _describe_range(policy: str, rows: Sequence[Method]) -> str:
    """Return the range policy of the rows that are fused here."""
    has_files = any(isinstance(row, FolderMethod) for row in rows)
    explained = {
        "auto": "auto: clip, or minmax where the strategy needs it",
        "own": "own: as the program of the authors of each method saves",
    }
    text = explained.get(policy, policy)
    return f"{text}; files as they are" if has_files else text


def _describe_color(color: str, score_color: ScoreColor) -> str:
    """Return how color is fused and scored."""
    if (color, score_color) == ("gray", "luma"):
        return LUMINANCE
    return f"{color}, scored by {SCORED_BY[score_color]}"


def _write(report: Report, folder: Path) -> None:
    """Write a report; what has been computed is not lost if the disk is full."""
    try:
        report.write(folder)
    except FusionlabError as error:
        report.unsaved = report.unsaved or str(error)
