"""`fusionlab evaluate`: methods on an image set, by metrics, as a table that can be published."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import TableCommand
from fusionlab.cli.options import OptionWithAliases, with_options
from fusionlab.cli.output import echo, json_option, show_facts, show_progress, warn
from fusionlab.cli.registration import (
    FOR_BOTH,
    RegistrationChoice,
    registrar_of,
    registrar_of_rig,
)
from fusionlab.cli.score import metrics_option, score_color_option
from fusionlab.cli.session import (
    CommandError,
    CommandStopped,
    Session,
    cli_errors,
    quiet_decoders,
)
from fusionlab.cli.threads import threads_option

if TYPE_CHECKING:
    from fusionlab.evaluation.reporting.report import Report
    from fusionlab.registration.registrar import Registrar

EXAMPLES = """\b
Examples:
  fusionlab evaluate set/ --method densefuse/l1norm --method densefuse/addition
  fusionlab evaluate set/ --preset paper -o table2/          Table II of the paper
  fusionlab evaluate ir/ vis/ --method densefuse@1e2/l1norm,r=0 --metrics EN,Qabf,VIF
  fusionlab evaluate set/ --row "no window" densefuse/l1norm,r=0 --row 3x3 densefuse/l1norm
  fusionlab evaluate set/ --fused Theirs=results/ --fused CBF=old/fused_{}_cbf.png
  fusionlab evaluate set/ --method densefuse/l1norm --fused Theirs=results/ --against Theirs
  fusionlab evaluate set/ --method mertens --color luma --metrics MS_SSIM,saturation,hue_error
  fusionlab evaluate ir/ vis/ --fused GTF=gtf/ --metrics Qabf@vifb --score-color per-channel
  fusionlab evaluate focus/ --method densefuse/l1norm --truth focus/truth
  fusionlab evaluate set/ --preset paper -o table2/ --resume
  fusionlab evaluate set/ --preset paper -o table2/ --report      and a page with the images

\b
Exit codes: 0 success, 1 some images have no score, 2 nothing could be done, 130 stopped by
Ctrl-C.
"""


@click.command(cls=TableCommand, epilog=EXAMPLES)
@click.argument("sets", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="[BACKBONE[@TAG]/]STRATEGY[,name=value]",
    help="A row: fuse the set with this method; repeatable.  [default: those of the preset, unless "
    "--row or --fused is given]",
)
@click.option(
    "--row",
    "named",
    multiple=True,
    nargs=2,
    metavar="NAME METHOD",
    help="A row with a name of your own; repeatable.",
)
@click.option(
    "--fused",
    multiple=True,
    metavar="NAME=DIR",
    help="A row: the results in DIR, one image for each stem, made by any program; if their names "
    "hold more than the stem, write {} for it: NAME=DIR/fused_{}_x.png. The first = before an "
    "existing folder ends the name, which may be r=2; repeatable.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Take methods, metrics, scale, color and range policy from a preset, such as 'paper', and "
    "print its published rows next to ours; explicit options win.",
)
@metrics_option
@click.option(
    "--range",
    "range_policy",
    type=click.Choice(["auto", "clip", "minmax", "own"]),
    help="How results become displayable: for each row as 'fuse' does it (auto), the same for all "
    "rows that are fused here, or for each row as the program of its authors saves ('own').  "
    "[default: that of the preset, or auto]",
)
@click.option(
    "--scale",
    multiple=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'; fused and scored alike. "
    "Images that take up little of the range of their type are refused unless it is given.  "
    "[default: that of the preset, or auto]",
)
@click.option(
    "--color",
    metavar="MODE",
    help="How color images are fused, as for 'fuse': gray, luma, per-channel or auto.  [default: "
    "that of the preset, or gray, since metrics score the luminance; 'fuse' has auto]",
)
@score_color_option
@with_options(*FOR_BOTH)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of true images, one for each stem, named as for --fused: adds the columns "
    "PSNR_truth and SSIM_truth, which compare the results with them.",
)
@click.option(
    "--baselines/--no-baselines",
    default=True,
    show_default=True,
    help="Also fuse with the strategies of learned backbones on pixels, and test the gain of the "
    "network. Without, there are fewer tests, and smaller differences become significant.",
)
@click.option(
    "--against",
    metavar="ROW",
    help="Also compare every row with this one: differences, intervals, significance.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the tables (Markdown, LaTeX, CSV), study.json, and the scores as they come, "
    "to resume from.  [default: only print the tables]",
)
@click.option("--resume", is_flag=True, help="Resume an earlier run in --output.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in --output.")
@click.option(
    "--save-images",
    "--save-pictures",
    cls=OptionWithAliases,
    is_flag=True,
    help="Keep exactly the images that are scored, in --output: images/ROW/SAMPLE.png.",
)
@click.option(
    "--report",
    "with_page",
    is_flag=True,
    help="Also write a page to look at, report/index.html in --output: the tables, plots, and "
    "every sample with its images, which are kept.",
)
@click.option(
    "--digits", type=click.IntRange(0, 10), default=4, show_default=True, help="Decimals shown."
)
@click.option(
    "--deviations/--no-deviations",
    default=True,
    show_default=True,
    help="Whether table.tex has deviations and intervals.",
)
@click.option(
    "--executor",
    default="threads",
    metavar="KIND[:N]",
    help="Where to compute: threads, local (processes of this machine) or dask, each with a number "
    "of workers, or dask://HOST:PORT. The scores are the same.  [default: a thread for each core, "
    "at most 8]",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@threads_option
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    *,
    sets: tuple[Path, ...],
    methods: tuple[str, ...],
    named: tuple[tuple[str, str], ...],
    fused: tuple[str, ...],
    register: str | None,
    transforms: Path | None,
    reference: int | None,
    rig: bool,
    with_page: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fuse an image set with every method, score the results, and print a table.

    SET is a folder with sub-folders a/ b/ c/ ... whose files are paired by stem, or several folders
    or templates such as 'set/{}_ir.*', one for each source; see 'fusionlab pairs --help'. The image
    is scored as it would be written.

    Every row of a learned backbone adds a row of the same strategy on pixels, without a network:
    the second table shows the gain of the network over the strategy alone.
    """
    session: Session = ctx.obj
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.result_folder import parse_result_folder

        folders = (dict([parse_result_folder(text)]) for text in fused)
        rows = [*methods, *([dict(named)] if named else []), *folders]
        options["save_images"] |= with_page
        choice = RegistrationChoice(register, transforms, reference, rig)
        options["register"] = _registrar(sets, choice, session)
        report = _evaluate(sets, rows, options, session)
        _show(report, as_json=as_json)
        page = _write_page(report, sets, options) if with_page else None
    if options["output"] is not None and not (report.unsaved or as_json):
        echo("", f"written to {options['output']}/")
        if page is not None:
            echo(f"open {page}")
    if reused := sum(row.reused for row in report.rows):
        echo(f"{reused} of {len(report.rows)} rows of scores come from the earlier run", err=True)
    if report.unsaved:
        raise CommandError(report.unsaved)
    failed = bool(report.broken) or any(row.problem for row in report.rows)
    ctx.exit(0 if not failed else 1 if any(row.values for row in report.rows) else 2)


def _registrar(
    sets: Sequence[Path], choice: RegistrationChoice, session: Session
) -> Registrar | None:
    """Return what registers the sources, cropped to where all are data, as metrics need it."""
    from fusionlab.registration.registrar import cropping_registrar

    registrar = registrar_of(choice, session.plugins)
    if registrar is not None and choice.rig:
        from fusionlab.runs.image_sets import find_image_set

        registrar, lines = registrar_of_rig(find_image_set(sets), registrar)
        echo(*lines, err=True)
    return cropping_registrar(registrar, session.plugins)


def _evaluate(
    sets: Sequence[Path], rows: Sequence[Any], options: dict[str, Any], session: Session
) -> Report:
    """Evaluate with a progress bar; report problems as they come, and how far it got at Ctrl-C."""
    from fusionlab.evaluation.evaluate import evaluate as evaluate_methods
    from fusionlab.evaluation.run import ENOUGH_ROWS

    done, reused = 0, None
    try:
        with show_progress("evaluating", ENOUGH_ROWS) as show:

            def progress(finished: int, total: int) -> None:
                nonlocal done, reused
                done = finished
                reused = finished if reused is None else reused
                show(finished, total, reused=reused)

            return evaluate_methods(
                sets,
                rows,
                plugins=session.plugins,
                progress=progress,
                on_problem=lambda problem: warn(f"no score: {problem}"),
                **options,
            )
    except KeyboardInterrupt as stop:
        hint = "continue with --resume" if options["output"] else "with -o FOLDER it can be resumed"
        raise CommandStopped(f"stopped after {done} rows of scores; {hint}", stop) from None


def _write_page(report: Report, sets: Sequence[Path], options: Mapping[str, Any]) -> Path:
    """Write the page of an evaluation into its folder."""
    from fusionlab.evaluation.page.write import write_page
    from fusionlab.evaluation.studies.results import StudyResults
    from fusionlab.runs.image_sets import find_image_set
    from fusionlab.runs.record import LIBRARIES
    from fusionlab.storage.versions import library_versions

    versions = library_versions(LIBRARIES)
    facts = {
        "command": shlex.join(["fusionlab", *sys.argv[1:]]),
        "versions": " ".join(f"{name}={number}" for name, number in versions.items()),
    }
    output, registrar = options["output"], options["register"]
    name = report.name or output.name
    results = StudyResults(
        name,
        {name: report},
        {name: find_image_set(sets)},
        output,
        facts,
        registrars={} if registrar is None else {name: registrar},
    )
    with show_progress("samples of the page") as show:
        return write_page(results, output / "report", progress=show)


def _show(report: Report, *, as_json: bool) -> None:
    """Print the tables."""
    from fusionlab.evaluation.reporting.files import json_text
    from fusionlab.evaluation.reporting.formats import to_text

    if as_json:
        echo(*json_text(report).rstrip("\n").split("\n"))
        return
    show_facts(report.settings, as_json=False)
    for table in report.tables:
        echo("", *to_text(table).split("\n"))
