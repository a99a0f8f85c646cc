"""`fusionlab watch`: fuse sets of files as they arrive in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.fuse_files import as_lines
from fusionlab.cli.fuse_folders import output_folder
from fusionlab.cli.fuse_method import fusion_of_method
from fusionlab.cli.fuse_model import check_model_options, fusion_of_model
from fusionlab.cli.method_options import COMPUTE_OPTIONS, METHOD_OPTIONS, SIZE_OPTIONS
from fusionlab.cli.options import StrategyCommand, max_pixels_option, with_options
from fusionlab.cli.output import (
    RepeatedWarnings,
    echo,
    json_option,
    show_facts,
    stdout_is_terminal,
)
from fusionlab.cli.registration import FOR_FRAMES, RegistrationChoice, registrar_of
from fusionlab.cli.session import CommandError, Session, cli_errors, quiet_decoders, with_flag
from fusionlab.cli.temporal import temporal_of, temporal_options
from fusionlab.cli.threads import threads_option
from fusionlab.errors import FusionlabError
from fusionlab.plugins.tasks import DETECT

if TYPE_CHECKING:
    from fusionlab.runs.file_fusion import FileFusion
    from fusionlab.sequences.latencies import Latencies
    from fusionlab.sequences.watch import WatchOutcome, WatchRun
    from fusionlab.temporal import TemporalConsistency

EXAMPLES = """\b
Examples:
  fusionlab watch cam/ -o live/                   cam/ir/ with cam/vis/, or 01_ir.png 01_vis.png
  fusionlab watch thermal/ visible/ -o live/ --scale 6700,7100 --depth 8
  fusionlab watch 'cam/{}_T.tif' 'cam/{}_V.jpg' -o live/ --transforms rig.json
  fusionlab watch cam/ -o live/ --limits causal --temporal 0.8
  fusionlab watch cam/ -o live/ --existing --idle 60     ends when no file has come for a minute
  fusionlab watch cam/ -o live/ --json | jq -c .progress

\b
Ctrl-C or SIGTERM ends it, with a summary.
Exit codes: 0 no set has failed, 1 some have, 2 all have, or it could not start.
"""

Seconds = click.FloatRange(min=0, min_open=True)


@click.command(cls=StrategyCommand, epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder for the images, which are named after their sources.",
)
@click.option("--existing", is_flag=True, help="Fuse the files that are there at the start, too.")
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="How many sets may wait, besides the one that is read and the one that is fused. If one "
    "more comes, the oldest is dropped and counted.",
)
@click.option(
    "--wait",
    type=Seconds,
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long a file waits for the others of its set.",
)
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=0.02,
    show_default=True,
    metavar="SECONDS",
    help="How long a file must not have changed before it is read; more where files are written in "
    "place and slowly.",
)
@click.option(
    "--poll",
    type=Seconds,
    default=0.02,
    show_default=True,
    metavar="SECONDS",
    help="How often the folders are listed; less often where that takes long.",
)
@click.option(
    "--idle",
    type=Seconds,
    metavar="SECONDS",
    help="End when no set has come for so long.  [default: never]",
)
@click.option(
    "--for",
    "duration",
    type=Seconds,
    metavar="SECONDS",
    help="End after so long.  [default: never]",
)
@click.option(
    "--every",
    type=Seconds,
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How often to print how many sets were fused, and their latency.",
)
@with_options(*METHOD_OPTIONS, *SIZE_OPTIONS)
@temporal_options(two_pass=False)
@with_options(*FOR_FRAMES, *COMPUTE_OPTIONS)
@click.option(
    "--record",
    is_flag=True,
    help="Also write how each image was made: next to it as .json, and into PNG and TIFF.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "jpg", "bmp", "tif"]),
    default="png",
    show_default=True,
    help="The format of the images.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@max_pixels_option("sources that claim")
@threads_option
@json_option
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    *,
    sources: tuple[Path, ...],
    output: Path,
    existing: bool,
    queue: int,
    wait: float,
    settle: float,
    poll: float,
    idle: float | None,
    duration: float | None,
    every: float,
    model: Path | None,
    depth: str | None,
    resize: Any,
    limits: str,
    temporal: float,
    motion: float,
    transforms: Path | None,
    crop: bool,
    record: bool,
    suffix: str,
    overwrite: bool,
    max_pixels: int,
    as_json: bool,
    **_of_method: Any,
) -> None:
    """Fuse the images that arrive in SOURCES, such as those of cameras that write frame by frame.

    SOURCES are what 'fuse' takes as folders: one folder with sub-folders a/ b/ ... or ir/ vis/, or
    with files named after sources, as 01_ir.png 01_vis.png; or a folder or a template for each
    source. Files that go with each other by their names are fused when all of them are there and
    complete: renamed into place, or not written to any more. Files that are there at the start are
    left alone.

    Where images come faster than they are fused, the oldest of those that wait are dropped, so that
    what is written is recent. The latency is the time from when the last file of a set was written
    until its image was.
    """
    session: Session = ctx.obj  # what else is given, those below read from the context
    if model is not None:
        check_model_options(ctx)
    with cli_errors(), quiet_decoders():
        from fusionlab.runs.file_fusion import load_sources
        from fusionlab.sequences.arrivals import Arrivals
        from fusionlab.sequences.watch import WatchRun

        carried = temporal_of(limits, temporal, motion)
        if carried.limits.kind == "two-pass":
            raise CommandError(
                "--limits two-pass measures all frames before the first is fused, and these are "
                "still to come; take first, causal or fixed=LO,HI"
            )
        folder = output_folder(output)
        choice = RegistrationChoice(None, transforms, None, rig=False, crop=crop)
        how = {
            "resize": resize,
            "registrar": registrar_of(choice, session.plugins, resize=resize),
            "max_pixels": max_pixels or None,
        }
        options = {
            **how,
            "depth": int(depth) if depth else None,
            "record": record,
            "temporal": carried.describe(),
        }
        made = _fusion_known(ctx, session, carried, options)
        arrivals = Arrivals(sources, existing=existing, settle=settle, patience=wait)

        def fusion_for(paths: Sequence[Path]) -> FileFusion:
            fusion, facts = made or _fusion_of(ctx, session, paths, carried, options)
            report.show_settings(facts | {"watching": " with ".join(arrivals.templates)})
            return fusion

        run = WatchRun(
            arrivals,
            partial(load_sources, **how),
            fusion_for,
            folder,
            f".{suffix}",
            carried,
            overwrite,
            queue,
            poll,
            idle,
            duration,
        )
        report = _Report(run, every, as_json=as_json)
        if not as_json:
            given = " ".join(map(str, sources))
            echo(f"watching {given}; Ctrl-C ends it", err=True)
        outcomes = run.run()
        try:
            for outcome in outcomes:
                report.tell(outcome)
        except KeyboardInterrupt:
            outcomes.close()
            for outcome in run.rest():
                report.tell(outcome)
        except FusionlabError:
            report.summarize()
            raise
    report.summarize()
    failed, fused = report.counts["failed"], report.counts["fused"]
    ctx.exit(0 if not failed else 1 if fused else 2)


def _fusion_known(
    ctx: click.Context,
    session: Session,
    temporal: TemporalConsistency,
    options: dict[str, Any],
) -> tuple[FileFusion, dict[str, Any]] | None:
    """Return what fuses, and its settings; None: the first set decides, by its task.

    What is wrong with it is then said before any file comes, and torch is imported.
    """
    detecting = ctx.params["task"] == DETECT or ctx.params["strategy"] is None
    if ctx.params["model"] is None and detecting:
        import_module("fusionlab.fusion")
        return None
    return _fusion_of(ctx, session, (), temporal, options)


def _fusion_of(
    ctx: click.Context,
    session: Session,
    paths: Sequence[Path],
    temporal: TemporalConsistency,
    options: dict[str, Any],
) -> tuple[FileFusion, dict[str, Any]]:
    """Return what fuses files like these, and its settings."""
    file_fusion: FileFusion
    if ctx.params["model"] is not None:
        file_fusion, facts = fusion_of_model(ctx, options)
    else:
        file_fusion, _, facts = fusion_of_method(ctx, session, paths, (), options)
    temporal.check(file_fusion.fusion)
    return file_fusion, facts


class _Report:
    """Prints what becomes of the sets."""

    def __init__(self, run: WatchRun, every: float, *, as_json: bool) -> None:
        self._run = run
        self._every = every
        self._as_json = as_json
        self._started = self._printed = monotonic()
        self._recent = self._no_latencies()
        self._warnings = RepeatedWarnings()
        self._settings: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()

    @staticmethod
    def _no_latencies() -> Latencies:
        from fusionlab.sequences.latencies import Latencies

        return Latencies()

    def show_settings(self, facts: dict[str, Any]) -> None:
        """Print how images are fused."""
        self._settings = facts
        if not self._as_json:
            show_facts(as_lines(facts), as_json=False)

    def tell(self, outcome: WatchOutcome | None) -> None:
        """Print the outcome of a set, and now and then how many there were."""
        if outcome is not None:
            self._tell(outcome)
        now = monotonic()
        if now - self._printed >= self._every:
            self._show_progress(now - self._printed)
            self._printed, self._recent = now, self._no_latencies()

    def _tell(self, outcome: WatchOutcome) -> None:
        self.counts[outcome.status] += 1
        if outcome.latency is not None:
            self._recent.add(outcome.latency)
        problem = with_flag(outcome.problem, outcome.option)
        if self._as_json:
            line = {
                "name": outcome.name,
                "status": outcome.status,
                "latency": outcome.latency and round(outcome.latency, 4),
                "output": str(outcome.output) if outcome.status == "fused" else None,
                "problem": problem or None,
                "warnings": outcome.notes,
            }
            echo(json.dumps(line))
        names = [
            outcome.name,
            *([str(outcome.output), outcome.output.name] if outcome.output else []),
        ]
        for note in outcome.notes:
            self._warnings.tell(note, names)
        if outcome.status == "failed":
            echo(f"failed: {problem}", err=True)
        elif outcome.status == "incomplete":
            self._warnings.tell(problem, names)
        elif outcome.status == "fused" and not (self._as_json or stdout_is_terminal()):
            latency = "" if outcome.latency is None else f"  {outcome.latency:.3f} s"
            echo(f"fused    {outcome.output}{latency}")

    def _facts(self, latencies: Latencies) -> dict[str, Any]:
        """Return the counts of all sets, and the latency of some."""
        own = {"fused": self.counts["fused"], "failed": self.counts["failed"]}
        latency = latencies.describe() if latencies.count else None
        return {**own, **self._run.counts, "latency": latency}

    def _show_progress(self, seconds: float) -> None:
        facts = self._facts(self._recent)
        rate = self._recent.count / seconds
        if self._as_json:
            seconds_in_all = round(monotonic() - self._started, 3)
            facts |= {"per_second": round(rate, 2), "seconds": seconds_in_all}
            echo(json.dumps({"progress": facts}))
            return
        latency = facts.pop("latency")
        counts = ", ".join(f"{number} {status}" for status, number in facts.items())
        text = f"; {rate:.1f} a second, latency {_milliseconds(latency)}" if latency else ""
        echo(f"watching: {counts}{text}", err=True)

    def summarize(self) -> None:
        """Print the summary."""
        self._warnings.tell_counts()
        facts = self._facts(self._run.latencies)
        seconds = monotonic() - self._started
        spent = {name: round(value, 3) for name, value in self._run.spent.seconds.items()}
        if self._as_json:
            time = {"seconds": round(seconds, 3), "spent": spent}
            echo(json.dumps({"summary": {**self._settings, **facts, **time}}))
            return
        latency = facts.pop("latency")
        rows = {
            "summary": ", ".join(f"{number} {status}" for status, number in facts.items()),
            "latency": latency and _milliseconds(latency),
            "time": f"{seconds:.1f} s (reading {spent['read']:.1f} s, fusing "
            f"{spent['fuse']:.1f} s, writing {spent['write']:.1f} s)",
            "output": f"{self._run.folder}/",
        }
        show_facts(rows, as_json=False)


def _milliseconds(latency: dict[str, float]) -> str:
    names = {"median": "median", "95%": "95 %", "max": "max"}
    return ", ".join(f"{1000 * latency[name]:.0f} ms ({text})" for name, text in names.items())
