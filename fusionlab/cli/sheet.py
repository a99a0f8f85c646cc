"""`fusionlab sheet`: the sources and the results of an image set side by side in one PNG."""

from __future__ import annotations

from pathlib import Path

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import json_option, show_facts, show_progress
from fusionlab.cli.session import cli_errors, quiet_decoders

EXAMPLES = """\b
Examples:
  fusionlab sheet set/ -o sources.png
  fusionlab sheet set/ --fused CBF=old/fused_{}_cbf.png --fused Ours=results/ -o sheet.png
  fusionlab evaluate set/ --method densefuse/l1norm -o out/ --save-images
  fusionlab sheet set/ --evaluation out/ --limit 6 -o sheet.png
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("sets", nargs=-1, required=True, metavar="SET...", type=click.Path(path_type=Path))
@click.option(
    "--fused",
    multiple=True,
    metavar="NAME=DIR",
    help="A column: the results in DIR, one image for each stem, or NAME=DIR/fused_{}_x.png with "
    "{} for the stem; repeatable.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="A column for each row whose images 'evaluate --save-images' wrote to DIR.",
)
@click.option("--sample", "samples", multiple=True, metavar="STEM", help="Show it; repeatable.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Show at most so many samples, evenly spaced."
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
def sheet(
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
) -> None:
    """Draw the sources and the results of an image set side by side in one PNG.

    SET is a folder with sub-folders a/ b/ c/ ... whose files are paired by stem, or several folders
    or templates such as 'set/{}_ir.*', one for each source; see 'fusionlab pairs --help'.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.evaluation.reporting.contact_sheet import contact_sheet
        from fusionlab.evaluation.result_folder import parse_result_folder
        from fusionlab.evaluation.saved_images import saved_rows
        from fusionlab.imaging.writing import encode_image, format_of
        from fusionlab.runs.destination import check_writable
        from fusionlab.storage.atomic import atomic_write_all

        output_format = format_of(output)
        check_writable(output, overwrite=overwrite)
        columns = saved_rows(evaluation) if evaluation is not None else {}
        columns |= dict(parse_result_folder(text) for text in fused)
        with show_progress("drawing") as progress:
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
