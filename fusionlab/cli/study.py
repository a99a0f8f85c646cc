"""`fusionlab study`: a grid of methods, settings and image sets from a file, to tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Group, TableCommand
from fusionlab.cli.output import (
    LINE_SECONDS,
    duration,
    echo,
    json_option,
    show_facts,
    show_progress,
    warn,
)
from fusionlab.cli.session import (
    CommandError,
    CommandStopped,
    Session,
    cli_errors,
    command_line,
    quiet_decoders,
)
from fusionlab.cli.threads import threads_option

if TYPE_CHECKING:
    from fusionlab.evaluation.studies.file import StudyFile
    from fusionlab.evaluation.studies.plan import StudyPlan
    from fusionlab.evaluation.studies.study import Progress

EXAMPLES = """\b
A study file:
  [study]
  metrics = ["EN", "Qabf", "VIF"]
  range = { grid = ["clip", "minmax"] }
  against = "identity/l1norm"

\b
  [sets]
  tno = "data/tno"                  a folder with a/ b/ ..., relative to the file

\b
  [[methods]]
  backbone = { grid = ["densefuse@1e0", "densefuse@1e2"] }
  strategy = "l1norm"
  r = { grid = [0, 1, 2, 4] }

\b
Examples, in the order of a study:
  fusionlab study validate radius.toml                what would run, and mistakes
  fusionlab study run radius.toml -o radius/          compute, or continue
  fusionlab study status radius/                      how far it is
  fusionlab study report radius/                      tables and page of what is there so far

\b
Exit codes: 0 success, 1 some rows have no values, 2 nothing could be done, 130 stopped by Ctrl-C,
143 by SIGTERM.
"""

VALIDATE_EXAMPLES = """\b
Examples:
  fusionlab study validate radius.toml
  fusionlab study validate radius.toml --only tno --range clip    a part of it

\b
Exit codes: 0 success, also if some images are missing, which it lists; 2 the study cannot run.
"""

RUN_EXAMPLES = """\b
Examples:
  fusionlab study run radius.toml -o radius/          the same command continues after Ctrl-C
  fusionlab study run radius.toml -o radius/ --executor local:4
  fusionlab study run radius.toml -o radius/ --executor dask://10.0.0.1:8786
  fusionlab study run radius.toml -o try/ --only tno --metrics EN,Qabf
"""

STATUS_EXAMPLES = """\b
Examples:
  fusionlab study status radius/
  watch fusionlab study status radius/                again every two seconds
"""

REPORT_EXAMPLES = """\b
Examples:
  fusionlab study report radius/                      with the file that was run
  fusionlab study report radius.toml -o radius/       with this file, if that one has moved
  fusionlab study report radius/ --images worst:20 --order-by VIF
  fusionlab study report radius/ --single-file        to send by mail
"""

SHOWN_ROWS = 20
"""How many rows `validate` names."""

file_argument = click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE"
)
output_option = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the study, for its scores and tables.",
)


def _overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that replace what the file says."""
    options = (
        click.option(
            "--metrics",
            metavar="NAME[@CONVENTION],...",
            help="The columns, instead of those in the file.",
        ),
        click.option(
            "--range",
            "range_policy",
            metavar="POLICY,...",
            help="How values become gray levels: auto, clip, minmax or own, instead of what the "
            "file says; several make a row of each.",
        ),
        click.option(
            "--color",
            metavar="MODE,...",
            help="How color images are fused: gray, luma, per-channel or auto, instead of what the "
            "file says; several make a row of each.",
        ),
        click.option(
            "--against",
            metavar="ROW",
            help="The row that all others are compared with, instead of that in the file.",
        ),
        click.option(
            "--device", metavar="DEVICE", help="cpu or cuda, instead of what the file says."
        ),
        click.option(
            "--only",
            multiple=True,
            metavar="SET",
            help="Only this image set of the file; repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class _InOrder(Group):
    """Lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order in which they were added."""
        return list(self.commands)


@click.group(cls=_InOrder, epilog=EXAMPLES)
def study() -> None:
    """Run a grid of methods, settings and image sets from a file.

    Every value that may vary takes { grid = [...] }: each combination is a row of the tables. Every
    row is scored on every sample of every set. What is computed stays computed: run again, after an
    interruption or with a larger grid, only what is missing is computed.
    """


@study.command(
    cls=TableCommand, short_help="Print what a study would compute.", epilog=VALIDATE_EXAMPLES
)
@file_argument
@_overrides
@json_option
@click.pass_obj
def validate(session: Session, /, *, file: Path, as_json: bool, **options: Any) -> None:
    """Print what a study would compute, and find mistakes before it runs; nothing is written.

    It prints the sets with their samples, the rows of the tables, the rows of scores (one method on
    one sample, by all metrics), what varies, the images that are missing, and how many significance
    tests there will be, with a warning if none of them can succeed.
    """
    with cli_errors():
        plan = _plan(file, options, session)
    problems = [item.problem for entry in plan.sets for item in entry.items if item.problem]
    labels = [row.label for row in plan.sets[0].methods]
    hidden = len(labels) - SHOWN_ROWS
    more = f"... and {hidden:,} more; --json prints them all" if hidden > 0 else ""
    show_facts(
        {
            "study": plan.file.name,
            "sets": [f"{e.name}: {len(e.items)} samples, {len(e.methods)} rows" for e in plan.sets],
            "metrics": ", ".join(dict.fromkeys(m.name for e in plan.sets for m in e.metrics)),
            "left out": [
                f"{entry.name}: {label}: {reason}"
                for entry in plan.sets
                for label, reason in entry.left_out.items()
            ],
            "problems": problems,
            "rows of scores": plan.cells if as_json else f"{plan.cells:,}",
            "color": ", ".join(_settings(plan, "color")),
            "range": ", ".join(_settings(plan, "range")),
            "factors": [f"{name}: {', '.join(values)}" for name, values in plan.factors.items()],
            "tests": [f"{kind}: {count:,}" for kind, count in plan.tests.items()],
            "rows": labels if as_json or not more else [*labels[:SHOWN_ROWS], more],
        },
        as_json=as_json,
    )
    for kind, change in plan.vain_tests.items():
        warn(
            f"none of the {plan.tests[kind]:,} tests of the comparison {kind!r} can be "
            f"significant, however large the difference; {change}"
        )


@study.command(
    cls=TableCommand,
    short_help="Compute what is missing, and write the tables.",
    epilog=RUN_EXAMPLES,
)
@file_argument
@output_option
@_overrides
@click.option(
    "--executor",
    metavar="KIND[:N]",
    help="Where to compute: threads, local (processes of this machine) or dask, each with a number "
    "of workers, or dask://HOST:PORT. The scores are the same.  [default: as in the file, or a "
    "process for each core, at most 8]",
)
@click.option("--overwrite", is_flag=True, help="Compute everything anew, instead of continuing.")
@click.option("--json", "as_json", is_flag=True, help="Print events as lines of JSON, for scripts.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    file: Path,
    output: Path,
    executor: str | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compute what is missing of a study, and write its tables.

    Scores are kept as they come: after an interruption, or with a larger grid, the same command
    continues. `study report` makes a page of them.
    """
    session: Session = ctx.obj
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.studies.study import run_study

        plan = _plan(file, options, session)
        last: Progress | None = None
        again = command_line(ctx, "study run", without=("overwrite",))

        def problem(text: str) -> None:
            if as_json:
                echo(json.dumps({"event": "problem", "problem": text}))
            else:
                warn(f"no score: {text}")

        try:
            with _shown(plan.file.name, as_json=as_json) as show:

                def progress(counts: Progress) -> None:
                    nonlocal last
                    last = counts
                    show(counts)

                results = run_study(
                    plan,
                    output,
                    executor=executor,
                    overwrite=overwrite,
                    progress=progress,
                    on_problem=problem,
                    facts={"file": file.read_text(encoding="utf-8")},
                )
        except KeyboardInterrupt as stop:
            kept = last.kept if last else 0
            raise CommandStopped(
                f"stopped; {kept:,} of {plan.cells:,} rows of scores are kept in {output}/; "
                f"continue with: {again}",
                stop,
            ) from None
    failed = last.failed if last else 0
    values = any(row.values for report in results.reports.values() for row in report.rows)
    if as_json:
        counts = last.as_json("complete") if last else {}
        echo(json.dumps({"event": "complete", **counts, "output": str(output)}))
    else:
        reused = last.reused if last else 0
        echo(f"{plan.cells} rows of scores: {reused} from earlier runs, {failed} failed")
        echo(f"written to {output}/")
        page = command_line(ctx, "study report", without=("overwrite", "executor", "as_json"))
        old = (output / "report" / "index.html").exists()
        echo(f"{'its page is older; write it again' if old else 'next, a page'}: {page}")
    if unsaved := next((one.unsaved for one in results.reports.values() if one.unsaved), ""):
        raise CommandError(unsaved)
    ctx.exit(0 if not failed else 1 if values else 2)


@study.command(cls=TableCommand, short_help="Print how far a study is.", epilog=STATUS_EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@threads_option
@json_option
def status(*, folder: Path, as_json: bool) -> None:
    """Print how far the study in a folder is, also while it runs.

    A row of scores is one method on one sample. The state is running, stopped or complete; the time
    left is there once ten rows have been computed.
    """
    with cli_errors():
        from fusionlab.evaluation.studies.study import read_status

        content = read_status(folder)
    if as_json:
        show_facts(content, as_json=True)
        return
    show_facts(
        {
            "state": content["state"],
            "rows of scores": f"{content['done']:,} of {content['total']:,}",
            "from earlier runs": content["reused"],
            "failed": content["failed"],
            "rate": f"{content['rows_per_second']:.3g} rows per second"
            if content["rows_per_second"]
            else None,
            "time left": duration(content["seconds_left"])
            if content["state"] == "running" and content["seconds_left"] is not None
            else None,
        },
        as_json=False,
    )


@study.command(
    cls=TableCommand,
    short_help="Write tables and page of what is there so far.",
    epilog=REPORT_EXAMPLES,
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the study.  [default: DIR, if the folder is given instead of the file]",
)
@_overrides
@click.option(
    "--images",
    default="all",
    show_default=True,
    metavar="all|none|worst:N",
    help="Which samples the page shows with their images, where the study has kept them "
    "(save_images = true).",
)
@click.option(
    "--order-by",
    metavar="METRIC",
    help="Metric by which samples are the worst.  [default: one that compares with the sources]",
)
@click.option(
    "--weight-maps",
    is_flag=True,
    help="Also compute and show the weights of the strategies, where they have any.",
)
@click.option("--single-file", is_flag=True, help="Put the whole page into one file.")
@click.pass_obj
def report(
    session: Session,
    /,
    *,
    file: Path,
    output: Path | None,
    images: str,
    order_by: str | None,
    weight_maps: bool,
    single_file: bool,
    **options: Any,
) -> None:
    """Write the tables and the page of what a study has computed so far.

    No score is computed, so that this can be done while the study runs. Give the folder of the
    study; or its file, with the folder as -o. The page, report/index.html in that folder, needs no
    server and no network.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.page.weight_maps import ComputedWeightMaps
        from fusionlab.evaluation.page.write import write_page
        from fusionlab.evaluation.studies.study import known_results, read_status, write_results

        if file.is_dir():
            output, file = output or file, _study_of(file)
        if output is None:
            raise CommandError(f"which folder has {file} been run into? give it by -o, or alone")
        read_status(output)
        plan = _plan(file, options, session)
        results = known_results(plan, output, {"file": file.read_text(encoding="utf-8")})
        write_results(results, output)
        with show_progress("samples of the page") as show:
            page = write_page(
                results,
                output / "report",
                images=images,
                single_file=single_file,
                order_by=order_by,
                weight_maps=ComputedWeightMaps(results) if weight_maps else None,
                progress=show,
            )
    known = sum(len(report.rows) for report in results.reports.values())
    echo(f"{known} of {plan.cells} rows of scores; written to {output}/")
    echo(f"open {page}")


def _plan(path: Path, options: dict[str, Any], session: Session) -> StudyPlan:
    """Read a study, replace what options say, and plan it."""
    from fusionlab.errors import FusionlabError
    from fusionlab.evaluation.studies.file import STUDY_KEYS, read_study
    from fusionlab.evaluation.studies.plan import plan_study

    study = _overridden(read_study(path), options)
    try:
        return plan_study(study, session.plugins)
    except FusionlabError as error:
        option = error.option or ""
        if not option or options.get(option):  # it is about an option of the command
            raise
        key = {"range_policy": "range"}.get(option, option)
        place = f"[study] {key}: " if key in STUDY_KEYS else ""
        raise FusionlabError(f"{path}: {place}{error}", code=error.code, path=error.path) from error


def _study_of(folder: Path) -> Path:
    """Return the file of the study that has been run into a folder."""
    from fusionlab.errors import FusionlabError
    from fusionlab.evaluation.studies.study import read_status

    name = read_status(folder).get("file")
    if name is None or not Path(name).is_file():
        raise FusionlabError(
            f"the file of the study in {folder} is not at {name} any more; give it: fusionlab "
            f"study report FILE -o {folder}",
            code="no-study",
            path=folder,
        )
    return Path(name)


def _overridden(file: StudyFile, options: dict[str, Any]) -> StudyFile:
    """Return a study with the options that are given in place of what the file says."""
    from fusionlab.errors import FusionlabError

    settings = dict(file.settings)
    compare = file.compare
    for name, option in (("range", "range_policy"), ("color", "color")):
        if options[option]:
            settings[name] = tuple(options[option].split(","))
            if len(settings[name]) == 1:  # then rows cannot be compared along it any more
                compare = tuple(c for c in compare if c.partition("=")[0] != name)
    only = options["only"]
    names = [entry.name for entry in file.sets]
    if unknown := [name for name in only if name not in names]:
        raise FusionlabError(
            f"the study has no set {unknown[0]!r}; sets: {', '.join(names)}",
            code="no-such-set",
            option="only",
        )
    return replace(
        file,
        settings=settings,
        compare=compare,
        sets=tuple(entry for entry in file.sets if not only or entry.name in only),
        metrics=tuple((options["metrics"] or "").replace(",", " ").split()) or file.metrics,
        against=options["against"] or file.against,
        device=options["device"] or file.device,
    )


def _settings(plan: StudyPlan, name: str) -> list[str]:
    """Return the values of a setting of the rows that are fused here."""
    rows = [row.describe() for entry in plan.sets for row in entry.methods]
    return list(dict.fromkeys(str(row[name]) for row in rows if name in row))


@contextmanager
def _shown(name: str, *, as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows progress, a line at the start first: as events, or as every command does."""
    from fusionlab.evaluation.run import ENOUGH_ROWS

    printed: float | None = None
    if not as_json:
        with show_progress("rows of scores", ENOUGH_ROWS) as show:

            def counted(counts: Progress) -> None:
                nonlocal printed
                if printed is None:
                    printed = time.monotonic()
                    echo(_header(name, counts), err=True)  # above the bar
                note = f"{counts.failed} failed" if counts.failed else ""
                show(counts.done, counts.total, note, counts.reused)

            yield counted
        return

    def event(counts: Progress) -> None:
        nonlocal printed
        if printed is None or time.monotonic() - printed >= LINE_SECONDS:
            kind = "start" if printed is None else "progress"
            printed = time.monotonic()
            echo(json.dumps({"event": kind, **counts.as_json("running")}))

    yield event


def _header(name: str, counts: Progress) -> str:
    """Return what a run prints before it computes."""
    workers = "1 worker" if counts.workers == 1 else f"{counts.workers} workers"
    reused = f", {counts.reused:,} from earlier runs" if counts.reused else ""
    return f"{name}: {counts.total:,} rows of scores{reused}; {workers}"
