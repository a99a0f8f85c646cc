"""`fusionlab sheet`: sources and results of an image set or sequence side by side in one PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import with_options
from fusionlab.cli.output import json_option, show_facts, show_progress
from fusionlab.cli.sequence_options import (
    SEQUENCE_OPTIONS,
    is_sequence,
    named_results,
    refuse_given,
)
from fusionlab.cli.session import cli_errors, quiet_decoders

EXAMPLES = """\b
Examples:
  fusionlab sheet set/ -o sources.png
  fusionlab sheet set/ --fused CBF=old/fused_{}_cbf.png --fused Ours=results/ -o sheet.png
  fusionlab evaluate set/ --method densefuse/l1norm -o out/ --save-images
  fusionlab sheet set/ --evaluation out/ --limit 6 -o sheet.png
  fusionlab sheet ir.mp4 vis.mp4 --fused frame=a.mp4 --fused causal=b.mp4 -o frames.png
"""


OF_SEQUENCES = ("sync", "offsets", "rate")
"""Options that mean nothing without a sequence."""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("sets", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--fused",
    multiple=True,
    metavar="NAME=DIR",
    help="A column: the results in DIR, one image for each stem, or NAME=DIR/fused_{}_x.png with "
    "{} for the stem; of sequences, the path of a result. Repeatable.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="A column for each row whose images 'evaluate --save-images' wrote to DIR.",
)
@click.option("--sample", "samples", multiple=True, metavar="STEM", help="Show it; repeatable.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Show at most so many samples or frames, evenly spaced.  [default: all, of sequences 6]",
)
@click.option(
    "--cell",
    type=click.IntRange(16, 4096),
    default=240,
    show_default=True,
    metavar="PIXELS",
    help="Width of each image on the sheet.",
)
@click.option(
    "--scale",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'.",
)
@with_options(*SEQUENCE_OPTIONS)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("sheet.png"),
    show_default=True,
    help="The file of the sheet.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
@click.pass_context
def sheet(
    ctx: click.Context,
    /,
    sets: tuple[Path, ...],
    *,
    fused: tuple[str, ...],
    evaluation: Path | None,
    samples: tuple[str, ...],
    limit: int | None,
    cell: int,
    scale: tuple[str, ...],
    output: Path,
    overwrite: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Draw the sources and the results of an image set side by side in one PNG.

    SET is a folder with sub-folders a/ b/ c/ ... whose files are paired by stem, or several folders
    or templates such as 'set/{}_ir.*', one for each source; see 'fusionlab pairs --help'. Or the
    sources of a sequence: videos, or with --sequence folders and files of several pages.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.reporting.contact_sheet import contact_sheet
        from fusionlab.evaluation.reporting.sequence_sheet import FRAMES, sequence_sheet
        from fusionlab.evaluation.result_folder import parse_result_folder
        from fusionlab.evaluation.saved_images import saved_rows
        from fusionlab.imaging.writing import encode_image, format_of
        from fusionlab.runs.destination import check_writable
        from fusionlab.storage.atomic import atomic_write_all

        output_format = format_of(output)
        check_writable(output, overwrite=overwrite)
        sequence = is_sequence(ctx, sets)
        if sequence:
            refuse_given(ctx, ["evaluation", "samples"], "is for image sets, not for sequences")
            columns = named_results(fused)
        else:
            refuse_given(ctx, OF_SEQUENCES, "is for sequences: give videos, or --sequence")
            columns = saved_rows(evaluation) if evaluation is not None else {}
            columns |= dict(parse_result_folder(text) for text in fused)
        with show_progress("drawing") as progress:
            if sequence:
                given = ctx.params
                image = sequence_sheet(
                    sets,
                    columns,
                    limit=limit or FRAMES,
                    cell=cell,
                    scale=scale,
                    sync=given["sync"],
                    offsets=given["offsets"],
                    rate=given["rate"],
                    progress=progress,
                )
            else:
                image = contact_sheet(
                    sets,
                    columns,
                    samples=samples,
                    limit=limit,
                    cell=cell,
                    scale=scale,
                    progress=progress,
                )
        with atomic_write_all({output: encode_image(image, output, output_format)}):
            pass
        height, width = image.shape[:2]
        facts = {"columns": [*columns], "width": width, "height": height, "output": str(output)}
        show_facts(facts, as_json=as_json)
