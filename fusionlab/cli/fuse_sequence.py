"""The part of `fusionlab fuse` for sequences: videos, and folders and stacks of frames."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.fuse_files import as_lines, names_folder
from fusionlab.cli.fuse_method import fusion_of_method
from fusionlab.cli.fuse_model import fusion_of_model
from fusionlab.cli.output import RepeatedWarnings, echo, show_facts, show_progress, warn
from fusionlab.cli.pairs import pairing_facts
from fusionlab.cli.registration import RegistrationChoice, registrar_of, registrar_of_rig
from fusionlab.cli.sequence_options import refuse_given
from fusionlab.cli.session import CommandError, CommandStopped, Session, with_flag
from fusionlab.cli.temporal import temporal_of
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.registration.registrar import Registrar
    from fusionlab.runs.file_fusion import FileFusion
    from fusionlab.runs.image_sets import ImageSet
    from fusionlab.sequences.contract import FrameSets
    from fusionlab.sequences.outcome import FrameOutcome
    from fusionlab.sequences.run import SequenceRun
    from fusionlab.sequences.writing.output import SequenceOutput

OTHER_VIDEOS = (".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv", ".gif")
"""Suffixes that mean a video, or an animation, of a kind that is not written."""


def fuse_sequence(
    ctx: click.Context, session: Session, sources: Sequence[Path], choice: RegistrationChoice
) -> dict[str, int]:
    """Fuse sequences, print what becomes of them, and return how many frames there are of each.

    Args:
        ctx: of the command, which knows what was given.
        session: of the command.
        sources: files, folders or templates.
        choice: what was given about registration.
    """
    from fusionlab.sequences.run import SequenceRun

    given = ctx.params
    _check_options(ctx)
    sync = given["sync"] or _usual_sync(sources)
    image_set = _image_set(ctx, sources) if sync == "name" else None
    registrar, facts = _registrar(ctx, session, choice, image_set)
    sets = _frame_sets(ctx, sources, sync, image_set, registrar)
    temporal = temporal_of(given["limits"], given["temporal"], given["motion"])
    path, suffix = _result_path(given["output"], sources)
    options: dict[str, Any] = {
        "depth": int(given["depth"]) if given["depth"] else None,
        "resize": given["resize"],
        "registrar": registrar,
        "record": given["record"],
        "weights": given["save_weights"],
        "index_folder": given["save_index"],
        "overlay_folder": given["show_registration"],
        "max_pixels": given["max_pixels"] or None,
        "temporal": temporal.describe(),
    }
    file_fusion: FileFusion
    if given["model"] is not None:
        file_fusion, settings = fusion_of_model(ctx, options)
    else:
        file_fusion, _, settings = fusion_of_method(
            ctx, session, (), (), options, lambda _: _first_images(sets)
        )
    temporal.check(file_fusion.fusion)
    output = _output(ctx, path, suffix, sources, sets, file_fusion)
    run = SequenceRun(
        file_fusion,
        output,
        temporal,
        sources=_folders_and_files(sources, image_set),
        record=given["record"],
        resume=given["resume"],
        overwrite=given["overwrite"],
        batch=given["batch"],
        matching={
            "sync": sync,
            "offsets": list(given["offsets"]),
            "rate_given": given["rate"] and str(given["rate"]),
        },
    )
    facts |= settings
    facts |= {
        "sync": sync,
        "limits": str(temporal.limits),
        "temporal": temporal.smoothing or None,
        "rate": None if sets.rate is None else f"{float(sets.rate):.6g}",
    }
    passes = 1 + len(temporal.passes(file_fusion.fusion))
    return _Shown(run, sets, facts, passes, as_json=given["as_json"]).run()


def _check_options(ctx: click.Context) -> None:
    """Refuse options that are not for sequences."""
    refuse_given(
        ctx, ["pages"], "is not for sequences, whose frames are the pages of a file; leave it out"
    )
    refuse_given(ctx, ["stack"], "is not for sequences; give a folder or a file for each source")
    given = ctx.params
    if given["model"] is not None:
        refuse_given(ctx, ["batch"], "is not for a --model, which fuses frame by frame")
    if given["register"] is not None and not given["rig"]:
        raise CommandError(
            "--register is not for sequences: each frame would get a transform of its own, and the "
            "result would shake; give --rig as well, or the transforms of a rig (--transforms)"
        )


def _usual_sync(sources: Sequence[Path]) -> str:
    """Return how frames are matched if nothing is said about it."""
    return "frame" if any(source.is_file() for source in sources) else "name"


def _image_set(ctx: click.Context, sources: Sequence[Path]) -> ImageSet:
    """Return the image set whose stems are the frames."""
    from fusionlab.runs.image_sets import pair_images

    if file := next((source for source in sources if source.is_file()), None):
        raise CommandError(f"--sync name is for folders and templates, got the file {file}")
    return pair_images(sources, None, ctx.params["channels"])


def _registrar(
    ctx: click.Context,
    session: Session,
    choice: RegistrationChoice,
    image_set: ImageSet | None,
) -> tuple[Registrar | None, dict[str, Any]]:
    """Return what registers all frames by one transform, and what to print of it and the pairs."""
    facts: dict[str, Any] = {} if image_set is None else pairing_facts(image_set)
    if choice.rig and image_set is None:
        raise CommandError(
            "--rig is for folders, whose images are matched by name (--sync name); estimate the "
            "transforms from some images with --save-rig, and give them as --transforms"
        )
    registrar = registrar_of(choice, session.plugins, folders=True, resize=ctx.params["resize"])
    if registrar is not None and choice.rig and image_set is not None:
        registrar, facts["rig"] = registrar_of_rig(
            image_set.items,
            registrar,
            max_pixels=ctx.params["max_pixels"] or None,
            save=choice.save_rig,
            overwrite=ctx.params["overwrite"],
        )
    return registrar, facts


def _frame_sets(
    ctx: click.Context,
    sources: Sequence[Path],
    sync: str,
    image_set: ImageSet | None,
    registrar: Registrar | None,
) -> FrameSets:
    """Return the frames of the sources, matched."""
    given = ctx.params
    limit = given["max_pixels"] or None
    how = {"rate": given["rate"], "resize": given["resize"], "registrar": registrar}
    if image_set is not None:
        from fusionlab.sequences.items import Items

        refuse_given(ctx, ["offsets"], "is for frames that are matched by --sync time")
        return Items(image_set, **how, max_pixels=limit)
    refuse_given(
        ctx,
        ["channels"],
        "is for folders whose images are matched by name; give each source its channels, such as "
        "'stack.tif[channels=4]'",
    )
    from fusionlab.sequences.opening import open_sequence
    from fusionlab.sequences.synchronize import synchronize

    sequences = [open_sequence(source, limit) for source in sources]
    return synchronize(
        sequences,
        "time" if sync == "time" else "frame",
        offsets=given["offsets"],
        **how,
    )


def _first_images(sets: FrameSets) -> list[LoadedImage]:
    """Return the sources of the first frame that can be read.

    Raises:
        FusionlabError: none can.
    """
    problem: FusionlabError | None = None
    frames: Any = sets.sets()
    with closing(frames):
        for frame_set in frames:
            if frame_set.images:
                return list(frame_set.images)
            problem = problem or frame_set.problem
    raise problem or FusionlabError("the sources have no frames", code="no-frames")


def _folders_and_files(sources: Sequence[Path], image_set: ImageSet | None) -> list[Path]:
    """Return what must not be overwritten: the files of the sources, and their folders."""
    from fusionlab.imaging.selecting import file_of

    if image_set is None:
        return [file_of(source) for source in sources]
    paths = {file_of(path).parent for item in image_set.items for path in item.sources}
    return sorted(paths)


def _result_path(output: str | None, sources: Sequence[Path]) -> tuple[Path, str]:
    """Return where the result goes, and the suffix of its file; empty: a folder of frames."""
    from fusionlab.imaging.writing import FORMATS
    from fusionlab.sequences.opening import is_sequence_file
    from fusionlab.sequences.writing.stack import StackOutput
    from fusionlab.sequences.writing.video import VideoOutput

    if output is None:
        if any(not source.is_file() for source in sources):
            return Path("fused"), ""
        suffix = ".mkv" if any(map(is_sequence_file, sources)) else ".tif"
        return Path(f"fused{suffix}"), suffix
    path = Path(output)
    suffix = path.suffix.lower()
    if names_folder(output) or path.is_dir():
        return path, ""
    if suffix in (*VideoOutput.suffixes, *StackOutput.suffixes):
        return path, suffix
    if suffix in (*FORMATS, *OTHER_VIDEOS):
        raise CommandError(
            f"the frames of a sequence go to a video ({', '.join(VideoOutput.suffixes)}), to the "
            f"pages of a .tif, or to a folder; got {output}; write -o {path.with_suffix('')}/ for "
            "a folder, and choose the format of its images with --format"
        )
    return path, ""


def _output(
    ctx: click.Context,
    path: Path,
    suffix: str,
    sources: Sequence[Path],
    sets: FrameSets,
    file_fusion: FileFusion,
) -> SequenceOutput:
    """Return what the frames are written as."""
    from fusionlab.sequences.writing.frames import FramesOutput
    from fusionlab.sequences.writing.stack import StackOutput
    from fusionlab.sequences.writing.video import VideoOutput

    given = ctx.params
    if suffix:
        refuse_given(ctx, ["suffix"], f"is for folders of frames; the result is {path}")
        refuse_given(
            ctx,
            ["save_weights", "save_index", "show_registration"],
            f"is for folders of frames, with a file for each; the result is {path}",
        )
    if suffix not in VideoOutput.suffixes:
        refuse_given(ctx, ["audio"], "is for videos; write a .mp4, .mov or .mkv")
    if not suffix:
        return FramesOutput(path, f".{given['suffix']}", file_fusion, overwrite=given["overwrite"])
    if suffix in StackOutput.suffixes:
        return StackOutput(path)
    audio = None
    if given["audio"]:
        audio = next((source for source in sources[:1] if source.is_file()), None)
        if audio is None:
            raise CommandError(f"--audio copies the audio of the first source, got {sources[0]}/")
    if sets.rate is None:
        warn(f"{path} shows 25 frames per second, since the sources state none (--rate)")
    return VideoOutput(path, sets.rate, audio)


class _Shown:
    """Runs a fusion of sequences, and prints what becomes of the frames.

    Args:
        run: the run.
        sets: the frames.
        facts: the settings to print.
        passes: how often all frames are read.
        as_json: whether to print JSON.
    """

    def __init__(
        self,
        run: SequenceRun,
        sets: FrameSets,
        facts: dict[str, Any],
        passes: int,
        *,
        as_json: bool,
    ) -> None:
        from fusionlab.sequences.latencies import Latencies

        self._run = run
        self._sets = sets
        self._facts = facts
        self._passes = passes
        self._as_json = as_json
        self._counts = dict.fromkeys(("fused", "skipped", "failed", "measured"), 0)
        self._colors: Counter[str] = Counter()
        self._latencies = Latencies()
        self._warnings = RepeatedWarnings()

    def run(self) -> dict[str, int]:
        """Run it, and return how many frames there are of each status."""
        if not self._as_json:
            show_facts(as_lines(self._facts), as_json=False)
        started = perf_counter()
        stopped: KeyboardInterrupt | None = None
        try:
            with (
                closing(self._run.run(self._sets)) as outcomes,
                show_progress("fusing") as progress,
            ):
                for outcome in outcomes:
                    self._tell(outcome)
                    self._show_progress(progress, perf_counter() - started)
        except KeyboardInterrupt as stop:
            stopped = stop
        except FusionlabError as error:
            self._tell_notes()
            if self._counts["fused"]:
                text = with_flag(str(error), error.option)
                raise CommandError(f"{text}; then continue with --resume") from error
            raise
        self._tell_notes()
        seconds = perf_counter() - started
        self._show_summary(seconds, stopped=stopped is not None)
        if stopped is not None:
            raise CommandStopped(
                f"stopped after {self._done} frames; continue with --resume", stopped
            )
        return self._counts

    @property
    def _done(self) -> int:
        return sum(self._counts.values()) - self._counts["measured"]

    def _tell(self, outcome: FrameOutcome) -> None:
        """Count a frame, and print what is to be said about it."""
        self._counts[outcome.status] += 1
        if outcome.color is not None:
            self._colors[outcome.color] += 1
            self._latencies.add(outcome.latency)
        names = [*self._sets.names, str(self._run.output.path), self._run.output.path.name]
        for note in outcome.notes:
            self._warnings.tell(note, names)
        problem = with_flag(outcome.problem, outcome.option)
        if self._as_json and outcome.status != "measured":
            line = {
                "frame": outcome.number,
                "name": outcome.name,
                "status": outcome.status,
                "color": outcome.color,
                "problem": problem or None,
                "warnings": outcome.notes,
            }
            echo(json.dumps(line))
        if problem:
            echo(f"failed: {problem}", err=True)

    def _show_progress(self, progress: Any, seconds: float) -> None:
        count, skipped = self._sets.count, self._counts["skipped"]
        fused, measured = self._counts["fused"], self._counts["measured"]
        note = "measuring" if measured and not self._done else ""
        if (
            fused and sys.stderr is not None and sys.stderr.isatty()
        ):  # a line says how many per second
            note = f"{fused / seconds:.3g} frames/s"
        total = None if count is None else count * (self._passes if measured else 1)
        progress(self._done + measured, total, note, skipped)

    def _tell_notes(self) -> None:
        """Print what is to be said about the sequences and the result."""
        for note in (*self._sets.notes, *self._run.notes):
            warn(note)
        self._warnings.tell_counts()

    def _show_summary(self, seconds: float, *, stopped: bool) -> None:
        counts, spent = self._counts, self._run.spent.seconds
        latency = self._latencies.describe()
        rate = counts["fused"] / seconds
        layout = self._run.layout
        if self._as_json:
            summary = {
                **self._facts,
                **counts,
                "frames": self._done,
                "stopped": stopped,
                "colors": dict(sorted(self._colors.items())),
                "seconds": round(seconds, 3),
                "frames_per_second": round(rate, 3),
                "latency": latency,
                "spent": {name: round(value, 3) for name, value in spent.items()},
                "layout": layout and layout.as_json(),
                "output": str(self._run.output.path) if layout else None,
            }
            echo(json.dumps({"summary": summary}))
            return
        if stopped:
            return
        of_each = ", ".join(
            f"{counts[status]} {status}" for status in ("fused", "skipped", "failed")
        )
        facts: dict[str, Any] = {"summary": of_each}
        if counts["fused"]:
            facts["time"] = (
                f"{seconds:.1f} s, {rate:.2f} frames/s (fusing {spent['fuse']:.1f} s; in parallel, "
                f"reading {spent['read']:.1f} s and writing {spent['write']:.1f} s)"
            )
            facts["latency"] = (
                f"{latency['median']:.3f} s (median), {latency['max']:.3f} s (largest)"
            )
        if layout is not None:
            kind = "gray" if layout.channels == 1 else "color"
            facts["frames"] = f"{layout.width}x{layout.height}, {kind}, {layout.depth} bits"
            facts["output"] = f"{self._run.output.path}"
        show_facts(facts, as_json=False)
