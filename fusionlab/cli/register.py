"""`fusionlab register`: resample one image onto the grid of another, so that both can be fused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import json_option, show_facts, warn
from fusionlab.cli.registration import described
from fusionlab.cli.session import CommandError, Session, cli_errors, quiet_decoders

EXAMPLES = """\b
Examples:
  fusionlab register thermal.tif visible.jpg
  fusionlab register thermal.tif visible.jpg -o moved.tif --show overlay.png
  fusionlab register --model homography --transform camera.json a.png b.png
  fusionlab register near.jpg far.jpg --method ecc     focus stacks, brackets
  fusionlab registrations                              the methods

\b
Exit codes: 0 success, 2 refused: nothing was written.
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("moving", type=click.Path(path_type=Path))
@click.argument("fixed", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("registered.png"),
    show_default=True,
    help="Where to write MOVING on the grid of FIXED, at its own depth: .png, .tif, .jpg or .bmp.",
)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="How the transform is estimated, see 'fusionlab registrations'.",
)
@click.option(
    "--model",
    type=click.Choice(["translation", "similarity", "affine", "homography"]),
    default="similarity",
    show_default=True,
    help="Which transforms are considered. Take the smallest that fits: cameras side by side on "
    "one rig differ by a similarity, or nearly; a homography is for flat or far scenes.",
)
@click.option(
    "--transform",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the transform as JSON, with the confidence and its evidence.",
)
@click.option(
    "--show",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write an image to judge it by: checkerboard and edges, before and after.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option(
    "--max-pixels",
    type=click.IntRange(min=0),
    default=2**28,
    show_default=True,
    metavar="PIXELS",
    help="Refuse images that claim more pixels; 0: no limit.",
)
@json_option
@click.pass_obj
def register(
    session: Session,
    *,
    moving: Path,
    fixed: Path,
    output: Path,
    method: str,
    model: Any,
    transform: Path | None,
    show: Path | None,
    overwrite: bool,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Resample MOVING onto the grid of FIXED, so that both show the same at each pixel.

    Sizes and resolutions may differ. Where MOVING does not reach, the result is no data:
    transparent, or NaN in a TIFF of floats; JPEG and BMP hold black there. A registration that is
    not certain is refused, with the reason; look at --show before you rely on one.
    """
    with cli_errors(), quiet_decoders():
        from fusionlab.imaging.reading import read_image
        from fusionlab.imaging.selecting import file_of
        from fusionlab.imaging.writing import encode_image, format_of
        from fusionlab.registration.align import align, find_method
        from fusionlab.registration.files import encode_transforms
        from fusionlab.registration.overlay import overlay
        from fusionlab.registration.register import register as onto_one_grid
        from fusionlab.runs.destination import check_writable
        from fusionlab.storage.atomic import atomic_write_all

        output_format = format_of(output)
        if show is not None:
            format_of(show)
        written = [path for path in (output, transform, show) if path is not None]
        _check_distinct(written, [file_of(moving), file_of(fixed)])
        for path in written:
            check_writable(path, overwrite=overwrite)
        found = find_method(method, session.plugins)
        images = [read_image(path, max_pixels or None) for path in (moving, fixed)]
        registered = onto_one_grid(
            images,
            lambda source, reference: align(images[source], images[reference], found, model),
            reference=2,
        )
        moved, alignment = registered.images[0], registered.alignments[0]
        assert alignment is not None
        files = {
            output: encode_image(
                moved.pixels, output, output_format, "", moved.valid, moved.metadata
            )
        }
        if transform is not None:
            facts = {"confidence": alignment.confidence, "evidence": dict(alignment.evidence)}
            facts |= {"method": found.qualified}
            files[transform] = encode_transforms([alignment.transform, None], **facts)
        if show is not None:
            picture = overlay(images[0], images[1], alignment.transform)
            files[show] = encode_image(picture, show, format_of(show))
        with atomic_write_all(files):
            pass
    notes = [note for image in images for note in image.notes]
    for note in notes:
        warn(note)
    height, width = moved.pixels.shape[:2]
    covered = 1.0 if moved.valid is None else float(moved.valid[:].mean())
    facts = {
        "method": found.qualified,
        **alignment.describe(),
        "covered": covered,
        "width": width,
        "height": height,
        "transform": str(transform) if transform else None,
        "show": str(show) if show else None,
        "output": str(output),
        "warnings": notes,
    }
    show_facts(facts if as_json else _as_lines(facts), as_json=as_json)


def _check_distinct(written: list[Path], sources: list[Path]) -> None:
    """Refuse to write two files to one path, or over a source."""
    paths = [path.resolve() for path in written]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise CommandError(f"two files would be written to {written[number]}; name another")
        if any(source.exists() and source.resolve() == path for source in sources):
            raise CommandError(f"{written[number]} is a source; choose another name")


def _as_lines(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what was found as people read it."""
    return {
        "method": facts["method"],
        "model": facts["model"],
        "found": described(facts),
        "covered": f"{facts['covered']:.1%} of {facts['width']}x{facts['height']}",
        "transform": facts["transform"],
        "show": facts["show"],
        "output": facts["output"],
    }
