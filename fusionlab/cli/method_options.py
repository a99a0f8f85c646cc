"""The options of commands that fuse: the method, the images it is for, and what computes it."""

from __future__ import annotations

from pathlib import Path

import click

from fusionlab.cli.options import PRECISIONS, EngineName, OptionWithAliases, TaskName

METHOD_OPTIONS = (
    click.option(
        "--task",
        type=TaskName(),
        metavar="NAME",
        help="Kind of the sources, which decides the method, color and range that are not given: "
        "see 'fusionlab tasks'; 'auto' detects it.  [default: auto, unless there is a --strategy, "
        "--backbone or --preset]",
    ),
    click.option(
        "--strategy",
        metavar="NAME[,name=value]",
        envvar="FUSIONLAB_STRATEGY",
        show_envvar=True,
        help="Fusion strategy; see 'fusionlab strategies'. With --help, also shows its options.",
    ),
    click.option(
        "--backbone",
        metavar="NAME[@TAG][,name=value]",
        envvar="FUSIONLAB_BACKBONE",
        show_envvar=True,
        help="Frozen encoder and decoder, and its weights: see 'fusionlab backbones', or give the "
        "path of a .safetensors file as TAG.",
    ),
    click.option(
        "--preset",
        metavar="NAME",
        help="Take the defaults from a preset, such as 'paper'; explicit options win.",
    ),
    click.option(
        "--model",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Fuse with a model that 'fusionlab export' has written, in the place of a strategy "
        "and a backbone: starts in a fraction of the time. What --scale, --color and --range do "
        "not say, it does.",
    ),
    click.option(
        "--scale",
        multiple=True,
        default=["auto"],
        show_default=True,
        metavar="SCALE",
        help="Which values of a source are black and white: full (the range of its type), auto "
        "(the same, with a warning if its values take up little of it), minmax, "
        "percentile[=1,99], LO,HI, or 20C,40C with a unit (C, F, K, HU) where the file has one. "
        "Once for all sources, or once for each in their order.",
    ),
    click.option(
        "--nodata",
        multiple=True,
        metavar="VALUE",
        help="Value of pixels that are no data, such as 0 in the black frame of a warped image, "
        "or 'none'; once for all sources, or once for each. NaN, transparent pixels, and what a "
        "TIFF calls no data are so anyway.",
    ),
    click.option(
        "--color",
        "--colour",
        cls=OptionWithAliases,
        type=click.Choice(["auto", "per-channel", "luma", "gray"]),
        default="auto",
        show_default=True,
        help="Fuse red, green and blue one by one, with a gray source standing in for all three; "
        "or only the luminance, keeping the chroma of the color sources; or only the luminance, "
        "in gray. 'auto' is luma where gray sources meet color ones, else per-channel.",
    ),
    click.option(
        "--shared-weights/--separate-weights",
        default=True,
        show_default=True,
        help="Where red, green and blue are fused one by one: weight the sources once, by their "
        "luminance, or for each channel, as the paper does.",
    ),
    click.option(
        "--range",
        "range_policy",
        type=click.Choice(["auto", "clip", "minmax", "own"]),
        default="auto",
        show_default=True,
        help="How the result becomes displayable: clipped to black and white, min-max normalized, "
        "whichever suits the strategy, or as the program of the method's authors does ('own').",
    ),
)
"""What is done to the pixels."""

SIZE_OPTIONS = (
    click.option(
        "--depth",
        type=click.Choice(["8", "16", "32"]),
        help="Bits per sample of the image; 32 is float32 in 0..1.  [default: as the deepest "
        "source]",
    ),
    click.option(
        "--resize",
        type=click.Choice(["first", "smallest"]),
        help="Resize sources of different sizes to that of the first, or of the smallest.  "
        "[default: refuse them]",
    ),
)
"""Of the result: its bits, and the size of sources whose sizes differ."""

COMPUTE_OPTIONS = (
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ..."),
    click.option(
        "--tile",
        type=click.IntRange(min=16),
        metavar="PIXELS",
        help="Edge length of the tiles that a large image is cut into; the result stays the same.  "
        "[default: from the number of sources]",
    ),
    click.option(
        "--engine",
        type=EngineName(),
        metavar="NAME",
        help="Engine that runs the backbone: see 'fusionlab engines'; 'auto': the fastest on this "
        "machine, measured once.  [default: eager]",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="fp32",
        show_default=True,
        help="Numerical precision of the backbone; those below fp32 are faster, and off by up to "
        "a few gray levels of 255.",
    ),
)
"""Where and how fast it is computed."""
