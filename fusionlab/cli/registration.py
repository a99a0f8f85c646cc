"""The options of `fuse` and `evaluate` for sources that do not lie on each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from fusionlab.cli.output import show_progress, warn
from fusionlab.cli.session import CommandError

if TYPE_CHECKING:
    from fusionlab.plugins.registry import Plugins
    from fusionlab.registration.registrar import Registrar
    from fusionlab.runs.image_sets import ImageSetItem

FOR_BOTH = (
    click.option(
        "--register",
        metavar="METHOD[,model=MODEL]",
        help="Register the sources first: resample all but the reference onto its grid. 'auto' is "
        "the default method, see 'fusionlab registrations'; MODEL is translation, similarity (the "
        "default), affine or homography. What is not certain is refused.",
    ),
    click.option(
        "--transforms",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Register by known transforms, as 'register --transform' and --save-rig write them.",
    ),
    click.option(
        "--reference",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of the source whose grid the result has.  [default: the one with most pixels]",
    ),
    click.option(
        "--rig",
        is_flag=True,
        help="For folders: the cameras do not move against each other. One transform for all, from "
        "the estimates of up to 50 images.",
    ),
)
"""The options of both commands."""

FOR_FUSE = (
    click.option(
        "--crop",
        is_flag=True,
        help="Keep only a rectangle in which all sources are data, after registration.",
    ),
    click.option(
        "--save-rig",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Also write the transforms of --rig as JSON.",
    ),
    click.option(
        "--show-registration",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Also write an image to judge the registration by, checkerboard and edges before and "
        "after, to this PNG; for folders, to a folder of them.",
    ),
)
"""The options of `fuse` alone."""


FOR_FRAMES = (FOR_BOTH[1], FOR_FUSE[0])
"""Those for frames that come one by one: transforms are known, and the same for all."""


class RegistrationChoice(NamedTuple):
    """The values of the options of registration."""

    register: str | None
    transforms: Path | None
    reference: int | None
    rig: bool
    crop: bool = False
    save_rig: Path | None = None
    show_registration: Path | None = None


def registrar_of(
    choice: RegistrationChoice,
    plugins: Plugins,
    *,
    folders: bool = True,
    resize: str | None = None,
) -> Registrar | None:
    """Return what registers the sources; None: nothing does.

    Args:
        choice: what was given.
        plugins: the plugins that offer the methods.
        folders: whether the sources are folders.
        resize: the value of `--resize`.

    Raises:
        CommandError: options do not go together.
        FusionlabError: there is no such method, or the file of transforms cannot be read.
    """
    _check_together(choice, folders=folders, resize=resize)
    if choice.register is None and choice.transforms is None:
        return None
    from dataclasses import replace

    from fusionlab.registration.registrar import Registrar

    show = choice.show_registration is not None
    if choice.transforms is not None:
        return replace(Registrar.read(choice.transforms), crop=choice.crop, show=show)
    assert choice.register is not None
    registrar = Registrar.parse(choice.register, plugins)
    return replace(registrar, reference=choice.reference, crop=choice.crop, show=show)


def _check_together(choice: RegistrationChoice, *, folders: bool, resize: str | None) -> None:
    estimated, known = choice.register is not None, choice.transforms is not None
    refused = [
        (bool(choice.reference) and not estimated, "--reference needs --register"),
        (choice.rig and not estimated, "--rig needs --register"),
        (choice.crop and not (estimated or known), "--crop needs --register or --transforms"),
        (
            choice.show_registration is not None and not (estimated or known),
            "--show-registration needs --register or --transforms",
        ),
        (
            estimated and known,
            "--register estimates the transforms that --transforms gives; give one of them",
        ),
        (
            bool(resize) and (estimated or known),
            "a registration brings the sources to one size; leave out --resize",
        ),
        (choice.rig and not folders, "--rig is for folders; one fusion needs no other images"),
        (choice.save_rig is not None and not choice.rig, "--save-rig needs --rig"),
    ]
    if problems := [text for is_so, text in refused if is_so]:
        raise CommandError(problems[0])


def registrar_of_rig(
    items: Sequence[ImageSetItem],
    registrar: Registrar,
    *,
    max_pixels: int | None = 2**28,
    save: Path | None = None,
    overwrite: bool = False,
) -> tuple[Registrar, list[str]]:
    """Estimate the transforms of a rig; write them if asked to.

    Returns:
        What registers by them, and lines that say how well the images agree.
    """
    from fusionlab.registration.files import encode_transforms
    from fusionlab.runs.destination import check_writable
    from fusionlab.runs.rig_estimation import estimate_rig_of_set
    from fusionlab.storage.atomic import atomic_write_all

    if save is not None:
        check_writable(save, overwrite=overwrite)
    with show_progress("registering") as progress:
        estimate = estimate_rig_of_set(items, registrar, max_pixels=max_pixels, progress=progress)
    for stem, problem in estimate.problems.items():
        warn(f"{stem} is left out of the rig: {problem}")
    lines = []
    for number, rig in enumerate(estimate.rigs, start=1):
        if rig is not None:
            lines.append(
                f"source {number}: {described(rig.transform.to_json())}; "
                f"{sum(rig.agreeing)} of {len(estimate.stems)} images agree, spread "
                f"{rig.spread:.2f} pixels"
            )
    if save is not None:
        content = encode_transforms(estimate.registrar.transforms, images=list(estimate.stems))
        with atomic_write_all({save: content}):
            pass
    return estimate.registrar, lines


def described(alignment: Mapping[str, Any]) -> str:
    """Return how a source lay on the reference, as people read it, by the linear part."""
    (a, b, x), (c, d, y), _ = alignment["matrix"]
    turn = math.degrees(math.atan2(c - b, a + d))
    scale = math.sqrt(abs(a * d - b * c))
    text = f"turned by {turn:.2f} degrees, scaled by {scale:.4g}, moved by {x:.1f}, {y:.1f} pixels"
    if alignment.get("method"):
        text += f", confidence {alignment['confidence']:.2f}"
    return text
