"""`fusionlab fuse`: read the sources, fuse them, write the image; or do so for a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fusionlab.cli.fuse_files import fuse_files, names_folder, output_file
from fusionlab.cli.fuse_folders import fuse_folders, output_folder
from fusionlab.cli.fuse_method import fusion_of_method
from fusionlab.cli.fuse_model import check_model_options, fusion_of_model
from fusionlab.cli.fuse_sequence import fuse_sequence
from fusionlab.cli.method_options import COMPUTE_OPTIONS, METHOD_OPTIONS, SIZE_OPTIONS
from fusionlab.cli.options import (
    StrategyCommand,
    channels_option,
    max_pixels_option,
    pages_option,
    stack_option,
    with_options,
)
from fusionlab.cli.output import json_option
from fusionlab.cli.pairs import pairing_facts, stack_sources
from fusionlab.cli.registration import (
    FOR_BOTH,
    FOR_FUSE,
    RegistrationChoice,
    registrar_of,
    registrar_of_rig,
)
from fusionlab.cli.sequence_options import (
    AUDIO_OPTION,
    BATCH_OPTION,
    OF_SEQUENCES,
    SEQUENCE_OPTIONS,
    is_sequence,
    refuse_given,
)
from fusionlab.cli.session import (
    CommandError,
    Session,
    cli_errors,
    quiet_decoders,
)
from fusionlab.cli.temporal import temporal_options
from fusionlab.cli.threads import threads_option

if TYPE_CHECKING:
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.runs.file_fusion import FileFusion
    from fusionlab.runs.image_sets import ImageSetItem

EXAMPLES = """\b
Examples:
  fusionlab fuse infrared.png visible.png         detects the task from the sources
  fusionlab fuse --task focus near.png far.png    see 'fusionlab tasks'
  fusionlab fuse --strategy l1norm --r 1 a.png b.png c.png -o fused.png
  fusionlab fuse --preset paper --strategy addition ir.png vis.png -o table2.png
  fusionlab fuse --strategy l1norm --help         the options of a strategy
  fusionlab fuse --strategy majority --save-index depth.png near.png far.png

\b
  fusionlab fuse --scale minmax --scale full counts16.tif visible.png -o fused.tif
  fusionlab fuse --scale 6700,7100 --depth 8 thermal/ visible/ -o fused/
  fusionlab fuse pet.png mri.png                  keeps the color of the PET
  fusionlab fuse --resize first ir.png vis.jpg --record

\b
  fusionlab fuse --register auto thermal.tif visible.jpg
  fusionlab fuse --register auto,model=affine --crop a.png b.png
  fusionlab fuse --register auto --rig thermal/ visible/ -o fused/

\b
  fusionlab fuse stack.tif --pages all            slices, frames; see --channels, too
  fusionlab fuse rgbt/ --channels rgb,4 -o fused/ the fourth channel is a thermal image
  fusionlab fuse brackets/ --stack 3 -o fused/    three by three, by their names

\b
  fusionlab fuse ir/ vis/ -o fused/               one image for each stem in both
  fusionlab fuse brackets/ -o fused/ --resume     brackets/a, brackets/b, ...; resumes
  fusionlab fuse 'set/{}_ir.*' 'set/{}_vis.*'     set/01_ir.png with set/01_vis.jpg, ...
  fusionlab pairs flight/                         what pairs with what, without fusing
  fusionlab fuse ir/ vis/ --precision bf16        faster, and off by up to 3 of 255
  fusionlab fuse --model l1norm.onnx ir/ vis/     see 'fusionlab export'; without torch
  fusionlab fuse ir/ vis/ --json | jq .status     a line of JSON for each image

\b
  fusionlab fuse ir.mkv visible.mp4 -o fused.mp4  videos: see --sync, --temporal, --audio
  fusionlab fuse ir/ vis/ --sequence -o fused.mkv the images of folders are frames
  fusionlab fuse ir.tif vis.tif --sequence -o fused.tif --limits two-pass

\b
Exit codes: 0 success, 1 some images or frames failed, 2 nothing was fused,
130 stopped by Ctrl-C.
"""


@click.command(cls=StrategyCommand, epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="Where to write the image: .png, .jpg, .bmp or .tif, or a folder that ends in /; or the "
    "folder for the images, if the sources are folders. Of sequences: a video (.mp4, .mov; .mkv is "
    "lossless), a .tif with the frames as pages, or a folder.  [default: fused.png, or fused/]",
)
@with_options(*METHOD_OPTIONS, *SIZE_OPTIONS, *FOR_BOTH, *FOR_FUSE, *COMPUTE_OPTIONS)
@with_options(*SEQUENCE_OPTIONS, AUDIO_OPTION, BATCH_OPTION)
@temporal_options(two_pass=True)
@click.option(
    "--save-weights",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Also write the weight map of each source: to this folder, as 8-bit PNG; or all to one "
    ".tif or .npz, as float32. For folders, {} in its name stands for the stem of each image.",
)
@click.option(
    "--save-index",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Also write which source each pixel mostly comes from, numbered from 0, to this PNG; for "
    "folders, to a folder of them. Of a focus stack it is a depth map.",
)
@click.option(
    "--record",
    is_flag=True,
    help="Also write how the image was made: next to it as .json, and into PNG and TIFF. "
    "'fusionlab explain' shows it.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "jpg", "bmp", "tif"]),
    default="png",
    show_default=True,
    help="For folders: the format of the images in them.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="For folders and sequences: skip what an earlier run has finished with the same settings "
    "and sources.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@max_pixels_option("sources that claim")
@pages_option
@channels_option
@stack_option
@threads_option
@json_option
@click.pass_context
def fuse(
    ctx: click.Context,
    /,
    *,
    sources: tuple[Path, ...],
    output: str | None,
    model: Path | None,
    depth: str | None,
    resize: Any,
    register: str | None,
    transforms: Path | None,
    reference: int | None,
    crop: bool,
    rig: bool,
    save_rig: Path | None,
    show_registration: Path | None,
    save_weights: Path | None,
    save_index: Path | None,
    record: bool,
    suffix: str,
    resume: bool,
    overwrite: bool,
    max_pixels: int,
    pages: str | None,
    channels: str | None,
    stack: str | None,
    as_json: bool,
    **_of_method: Any,
) -> None:
    """Fuse two or more SOURCES of one size, which lie on each other, into one image.

    Sources that do not lie on each other, or have other sizes, are registered with --register.

    SOURCES are image files: gray or RGB; 8 bits, 16 bits or float; in the formats that 'fusionlab
    readers' lists, recognized by their content. One file may hold all sources: see --pages and
    --channels, or give 'stack.tif[page=1]' and 'rgbt.png[channels=4]'. Or they are folders:
    several, whose files are paired by stem, or one with such sub-folders a/ b/ c/ ..., or whose
    sub-folders or files are named after sources, as ir/ vis/ or 01_ir.png 01_vis.png. Or they are
    templates, one for each source:
    'set/{}_ir.*' are the files whose names have {} in common with those of the others; * and ?
    stand for any characters. Quote templates: a shell would replace * by names of files itself.

    Videos are sequences, and with --sequence folders and files of several pages are, too: their
    frames are matched, fused without flicker, and written as a video (.mkv, .mp4), the pages of a
    .tif, or a folder.
    """
    session: Session = ctx.obj  # what else is given, those below read from the context
    sources, size = stack_sources(sources, stack, pages, channels)
    choice = RegistrationChoice(
        register, transforms, reference, rig, crop, save_rig, show_registration
    )
    if model is not None:
        check_model_options(ctx)
    with cli_errors(), quiet_decoders():
        if is_sequence(ctx, sources):
            counts = fuse_sequence(ctx, session, sources, choice)
            ctx.exit(_exit_code(counts))
    refuse_given(ctx, OF_SEQUENCES, "is for sequences; give --sequence, or videos")
    folders = _are_folders(sources)
    _check_options(ctx, folders=folders, resume=resume, output=output)
    with cli_errors(), quiet_decoders():
        from fusionlab.imaging.reading import selected_paths
        from fusionlab.runs.destination import Destination

        plugins = session.plugins
        items: Sequence[ImageSetItem] = ()
        paired: dict[str, Any] = {}
        loaded: list[LoadedImage] = []
        if folders:
            from fusionlab.runs.image_sets import pair_images, stacks

            folder = output_folder(None if output is None else Path(output))
            image_set = stacks(sources[0], size) if size else pair_images(sources, pages, channels)
            items, paired = image_set.items, pairing_facts(image_set)
        else:
            if pages is not None or channels is not None:
                limit = max_pixels or None
                sources = tuple(
                    source
                    for file in sources
                    for source in selected_paths(file, pages, channels, limit)
                )
            image, make_folder = output_file(output, sources, suffix)
            destination = Destination.plan(
                image,
                sources,
                record=record,
                weights=save_weights,
                index=save_index,
                overlay=show_registration,
                make_folder=make_folder,
            )
            destination.check(sources, overwrite=overwrite)
        registrar = registrar_of(choice, plugins, folders=folders, resize=resize)
        if registrar is not None and rig:
            registrar, paired["rig"] = registrar_of_rig(
                items,
                registrar,
                max_pixels=max_pixels or None,
                save=save_rig,
                overwrite=overwrite,
            )
        options: dict[str, Any] = {
            "depth": int(depth) if depth else None,
            "resize": resize,
            "registrar": registrar,
            "record": record,
            "weights": save_weights,
            "index_folder": save_index if folders else None,
            "overlay_folder": show_registration if folders else None,
            "max_pixels": max_pixels or None,
        }
        if model is not None:
            file_fusion: FileFusion
            file_fusion, settings = fusion_of_model(ctx, options)
        else:
            file_fusion, loaded, settings = fusion_of_method(ctx, session, sources, items, options)
        facts = paired | settings
        if not folders:
            loaded = loaded or file_fusion.load(sources)
            fuse_files(file_fusion, loaded, destination, facts, as_json=as_json)
            return
        from fusionlab.runs.folder_run import FolderRun

        run = FolderRun(file_fusion, folder, f".{suffix}", resume=resume, overwrite=overwrite)
        counts = fuse_folders(run, items, facts, as_json=as_json)
        ctx.exit(_exit_code(counts))


def _exit_code(counts: dict[str, int]) -> int:
    done = counts["fused"] + counts["skipped"]
    return 0 if not counts["failed"] else 1 if done else 2


def _are_folders(sources: tuple[Path, ...]) -> bool:
    """Return whether the sources are folders and templates: all of them or none."""
    with cli_errors():
        from fusionlab.imaging.selecting import file_of

        sources = tuple(map(file_of, sources))
    templates = [path for path in sources if not os.path.lexists(path) and "{}" in str(path)]
    if missing := next((p for p in sources if not (os.path.lexists(p) or p in templates)), None):
        hint = (
            "; a template needs {} for the part that the names share" if "*" in str(missing) else ""
        )
        raise CommandError(f"{missing} does not exist{hint}")
    folders = [path for path in sources if path.is_dir()]
    if (folders or templates) and len(folders) + len(templates) < len(sources):
        file = next(path for path in sources if path not in [*folders, *templates])
        several = f"{folders[0]}/" if folders else templates[0]
        raise CommandError(f"expected files only or folders only, got {several} and {file}")
    return bool(folders or templates)


def _check_options(ctx: click.Context, *, folders: bool, resume: bool, output: str | None) -> None:
    """Refuse options that are for folders where the sources are files."""
    if folders:
        return
    if resume:
        raise CommandError("--resume is for folders; give folders as sources, or omit it")
    chosen = ctx.get_parameter_source("suffix") is ParameterSource.COMMANDLINE
    if chosen and not names_folder(output):
        raise CommandError("--format is for folders; a single image has the format of its -o name")
