"""`fusionlab evaluate`: methods on an image set, by metrics, as a table that can be published."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.output import json_option, on_terminal, show_facts, warn
from fusionlab.cli.score import chosen_metrics, metrics_option
from fusionlab.cli.session import (
    CommandError,
    CommandInterrupted,
    Session,
    cli_errors,
    quiet_decoders,
)

if TYPE_CHECKING:
    from fusionlab.evaluation.report import Report
    from fusionlab.evaluation.run import Evaluation
    from fusionlab.evaluation.scores import Outcome
    from fusionlab.runs.image_sets import ImageSetItem

EXAMPLES = """\b
Examples:
  fusionlab evaluate set/ --method densefuse/l1norm --method densefuse/addition
  fusionlab evaluate set/ --preset paper -o table2/          Table II of the paper
  fusionlab evaluate ir/ vis/ --method densefuse@1e2/l1norm,r=0 --metrics EN,Qabf,VIF
  fusionlab evaluate set/ --fused Theirs=results/ --fused CBF=old/fused_{}_cbf.png
  fusionlab evaluate set/ --method densefuse/l1norm --fused Theirs=results/ --against Theirs
  fusionlab evaluate set/ --preset paper -o table2/ --resume
\b
Exit codes: 0 all is well, 1 some images have no score, 2 nothing could be done, 130 stopped by
Ctrl-C.
"""


@click.command(epilog=EXAMPLES)
@click.argument("sets", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="BACKBONE[@TAG]/STRATEGY[,name=value]",
    help="A row: fuse the set with this method; repeatable.  [default: those of the preset, where "
    "there is no --fused either]",
)
@click.option(
    "--fused",
    multiple=True,
    metavar="NAME=DIR",
    help="A row: the results in DIR, one image for each stem, made by whatever program; where "
    "their names hold more than the stem, write {} for it: NAME=DIR/fused_{}_x.png.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Take methods, metrics and the range policy from a preset, such as 'paper', and print "
    "its published rows beside ours; explicit options win.",
)
@metrics_option
@click.option(
    "--range",
    "range_policy",
    type=click.Choice(["clip", "minmax", "auto"]),
    help="How results become displayable, the same for all rows that are fused here; 'auto' is "
    "refused, it would not be the same.  [default: minmax]",
)
@click.option(
    "--scale",
    multiple=True,
    default=["full"],
    show_default=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'; fused and scored alike.",
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
    help="Folder for table.md, table.tex, means.csv, comparisons.csv, images.csv, "
    "evaluation.json; and for the scores as they come, to resume from.  [default: only print the "
    "table]",
)
@click.option("--resume", is_flag=True, help="Go on with what an earlier run in --output has.")
@click.option("--overwrite", is_flag=True, help="Replace what is in --output.")
@click.option(
    "--digits", type=click.IntRange(0, 10), default=4, show_default=True, help="Decimals shown."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many images are worked on at the same time.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    *,
    sets: tuple[Path, ...],
    methods: tuple[str, ...],
    fused: tuple[str, ...],
    preset: str | None,
    metrics: str | None,
    range_policy: Any,
    scale: tuple[str, ...],
    against: str | None,
    output: Path | None,
    resume: bool,
    overwrite: bool,
    digits: int,
    jobs: int,
    device: str,
    as_json: bool,
) -> None:
    """Fuse an image set with every method, score the results, and print a table.

    SET is a folder with sub-folders a/ b/ c/ ... whose files are paired by stem, or several
    folders, one for each source. What is scored is the gray picture as it would be written.

    Every row of a learned backbone brings along the same strategy on pixels, without a network:
    the second table, the lift, tells what the network adds to the rule.
    """
    session: Session = ctx.obj
    plugins = session.plugins
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.measures import find_measures
        from fusionlab.evaluation.methods import (
            FolderMethod,
            FusionMethod,
            Method,
            build_methods,
        )
        from fusionlab.evaluation.metric_input import RULE
        from fusionlab.evaluation.report import Report
        from fusionlab.evaluation.run import Evaluation
        from fusionlab.evaluation.store import check_folder
        from fusionlab.fusion import available_device
        from fusionlab.imaging.scale import parse_scales
        from fusionlab.runs.image_sets import find_image_set
        from fusionlab.storage.atomic import atomic_write_all, make_folder
        from fusionlab.storage.locking import exclusive_lock

        settings = plugins.preset_settings(preset) if preset else {}
        policy: Any = range_policy or settings.get("range_policy", "minmax")
        scales = parse_scales(scale)
        names = methods or (plugins.preset_methods(preset) if preset and not fused else ())
        entries = find_image_set(sets)
        stems = [entry.stem for entry in entries]

        def build(names: Sequence[str]) -> list[FusionMethod]:
            return build_methods(
                names, plugins, preset=preset, range_policy=policy, scale=scales, device=device
            )

        rows: list[Method] = [*build(names), *(FolderMethod.parse(text, stems) for text in fused)]
        labels = [row.label for row in rows]
        if against is not None and against not in labels and "/" in against:
            against = build([against])[0].label  # spelled in another way
        _check_labels(labels, against)
        measures = find_measures(chosen_metrics(session, metrics, preset), plugins)
        if output is not None:
            check_folder(output, resume=resume, overwrite=overwrite)
            make_folder(output)
        elif resume:
            raise CommandError("--resume needs the folder of the earlier run: add -o FOLDER")
        with exclusive_lock(output) if output is not None else nullcontext():
            evaluation = Evaluation(
                rows,
                measures,
                output,
                resume=resume,
                scale=scales,
                jobs=jobs,
                device=available_device(device),
            )
            outcomes = _run(evaluation, entries)
            published, images = plugins.published(preset) if preset else ({}, 0)
            report = Report(
                rows,
                evaluation.scores(entries, outcomes),
                outcomes,
                {
                    "set": " ".join(map(str, sets)),
                    "preset": preset or "none",
                    "range": f"{policy}; files as they are" if fused else policy,
                    "scale": " ".join(map(str, scales)),
                    "color": RULE,
                    "scored": "the pictures as written, in gray levels 0..255",
                },
                published=published,
                unlike=_unlike(policy, settings, len(entries), images),
                against=against,
                digits=digits,
            )
            _show(report, as_json=as_json)
            if output is not None:  # after the table: the disk may be full
                with atomic_write_all(report.files(output)):
                    pass
                if not as_json:
                    click.echo(f"\nwritten to {output}/")
    if reused := sum(outcome.reused for outcome in outcomes):
        click.echo(
            f"{reused} of {len(outcomes)} rows of scores come from the earlier run", err=True
        )
    if evaluation.unwritten:
        raise CommandError(evaluation.unwritten)
    failed = any(outcome.problem for outcome in outcomes)
    ctx.exit(0 if not failed else 1 if any(outcome.values for outcome in outcomes) else 2)


def _check_labels(labels: Sequence[str], against: str | None) -> None:
    if not labels:
        raise CommandError("nothing to evaluate: add --method, --fused or --preset")
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise CommandError(f"two rows are called {twice!r}; choose another name")
    if against is not None and against not in labels:
        raise CommandError(
            f"there is no row {against!r} to compare with; rows: {', '.join(labels)}"
        )


def _unlike(policy: str, settings: Mapping[str, object], entries: int, images: int) -> str:
    """Say why published rows do not compare with ours; empty if they may."""
    if entries != images:
        return f"These are means over {images} images, ours over {entries}: they do not compare."
    if policy != (theirs := settings.get("range_policy", policy)):
        return f"These were made with the range policy {theirs}, ours with {policy}."
    return ""


def _show(report: Report, *, as_json: bool) -> None:
    """Print the tables, in what the terminal or the pipe can show."""
    from fusionlab.evaluation.rendering import to_text

    if as_json:
        click.echo(report.to_json(), nl=False)
        return
    show_facts(report.settings, as_json=False)
    coding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for table in report.tables:
        click.echo(f"\n{to_text(table)}".encode(coding, "replace").decode(coding))


def _run(evaluation: Evaluation, entries: Sequence[ImageSetItem]) -> list[Outcome]:
    """Score everything, tell what has no score, and keep the rest when stopped."""
    outcomes: list[Outcome] = []
    total = len(entries) * len(evaluation.methods)
    told = set()
    try:
        with on_terminal("evaluating") as progress:
            for outcome in evaluation.run(entries):
                outcomes.append(outcome)
                progress(len(outcomes), total)
                if outcome.problem and outcome.problem not in told:
                    told.add(outcome.problem)
                    warn(f"no score: {outcome.problem}")
    except KeyboardInterrupt:
        hint = "go on with --resume" if evaluation.folder else "with -o FOLDER it could go on"
        raise CommandInterrupted(
            f"stopped after {evaluation.done} of {total} rows of scores; {hint}"
        ) from None
    return outcomes
