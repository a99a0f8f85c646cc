"""`fusionlab export`: a method as one ONNX graph, which runs without torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import json_option, show_facts, show_progress
from fusionlab.cli.session import Session, cli_errors
from fusionlab.cli.threads import threads_option
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.exported.metadata import ModelMetadata
    from fusionlab.fusion import Fusion
    from fusionlab.plugins.registry import Plugins

EXAMPLES = """\b
Examples:
  fusionlab export l1norm -o l1norm.onnx          the default backbone; two sources
  fusionlab export densefuse@1e2/addition --sources 3 -o addition.onnx
  fusionlab export l1norm --size 640x480 -o l1norm-640x480.onnx
      for programs that want to know the size of the images in advance

\b
  fusionlab export l1norm --depth 8 -o l1norm8.onnx
      scale and range inside: takes and returns 8-bit images
  fusionlab export l1norm --depth 16 --depth 8 --scale 6700,7100 --scale full -o flir.onnx
      counts of a thermal camera, and an 8-bit image; returns 16 bits

\b
  fusionlab fuse --model l1norm.onnx ir.png vis.png -o fused.png

\b
Needs the extra 'onnx': pip install 'fusionlab-imaging[onnx]'. The model runs in onnxruntime alone,
and whatever else reads ONNX.

\b
Exit codes: 0 the model is written, 2 it is not: the method cannot be exported, for example,
130 stopped by Ctrl-C.
"""


def _size(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[int, int] | None:  # the signature is click's
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", text):
        raise click.BadParameter(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    width, height = map(int, text.split("x"))
    return width, height


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("method", metavar="METHOD")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("model.onnx"),
    show_default=True,
    help="The file of the model.",
)
@click.option(
    "--sources",
    type=click.IntRange(min=1, max=64),
    default=2,
    show_default=True,
    metavar="K",
    help="Number of sources, which a model is made for.",
)
@click.option(
    "--depth",
    "depths",
    multiple=True,
    type=click.Choice(["8", "16", "32"]),
    help="Put scale and range into the model, too: it takes and returns images of so many bits "
    "(32: floats). Once for all sources, or once for each.  [default: it takes floats in 0..1, and "
    "returns what the decoder does]",
)
@click.option(
    "--scale",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="SCALE",
    help="Which values of a source are black and white, as for 'fuse': in the model with --depth, "
    "else noted in it, for 'fuse --model'.",
)
@click.option(
    "--range",
    "range_policy",
    type=click.Choice(["auto", "clip", "minmax", "own"]),
    default="auto",
    show_default=True,
    help="How the result becomes displayable, likewise.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "per-channel", "luma", "gray"]),
    default="auto",
    show_default=True,
    help="How color is fused, as for 'fuse'; noted in the model, which is for gray images.",
)
@click.option(
    "--shared-weights/--separate-weights",
    default=True,
    show_default=True,
    help="Likewise. A model weights what it is given: red, green and blue are fused one by one "
    "only with separate weights.",
)
@click.option(
    "--size",
    callback=_size,
    metavar="WIDTHxHEIGHT",
    help="The only size of images that the model takes, for methods that decide by the size.  "
    "[default: any]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@threads_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    *,
    method: str,
    output: Path,
    sources: int,
    depths: tuple[str, ...],
    scale: tuple[str, ...],
    range_policy: Any,
    color: Any,
    shared_weights: bool,
    size: tuple[int, int] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write METHOD as one ONNX graph: encoder, strategy and decoder, which runs without torch.

    METHOD is [BACKBONE[@TAG]/]STRATEGY[,name=value], as in tables and records. The model takes K
    gray images of any size, in batches, and is compared with METHOD before it is written. What it
    is made of, and the license of its weights, are in its metadata.
    """
    session: Session = ctx.obj
    with cli_errors():
        from fusionlab.exported.export import export as export_method
        from fusionlab.runs.destination import check_writable

        check_writable(output, overwrite=overwrite)
        fusion = _fusion(
            method,
            session.plugins,
            scale=scale,
            range_policy=range_policy,
            color=color,
            shared_weights=shared_weights,
        )
        with show_progress("exporting") as progress:
            metadata = export_method(
                fusion,
                output,
                sources=sources,
                depths=[int(depth) for depth in depths] or None,  # type: ignore[misc]  # click has checked them
                size=size,
                overwrite=overwrite,
                progress=progress,
            )
        show_facts(_facts(metadata, output), as_json=as_json)


def _fusion(method: str, plugins: Plugins, **settings: Any) -> Fusion:
    """Return a method ready to run; without a backbone, on the default one."""
    from fusionlab.fusion import Fusion
    from fusionlab.plugins.factory import build_backbone, build_strategy, default_backbone
    from fusionlab.plugins.method_names import split_method

    try:
        backbone, text = split_method(method, plugins)
    except FusionlabError as error:
        if error.code != "missing-backbone":
            raise
        backbone, text = "", method
    strategy = build_strategy(text, plugins)
    backbone = backbone or default_backbone(strategy, plugins)
    return Fusion(build_backbone(backbone, plugins), strategy, **settings)


def _facts(metadata: ModelMetadata, output: Path) -> dict[str, Any]:
    unit = "levels" if metadata.depths and max(metadata.depths) < 32 else "of 1"
    differing = metadata.differing
    return {
        "method": metadata.method,
        "sources": metadata.sources,
        "inputs": " ".join(metadata.inputs),
        "output": metadata.output,
        "size": metadata.size and f"{metadata.size[1]}x{metadata.size[0]}",
        "difference": f"at most {metadata.difference:.2g} {unit}, at {len(metadata.checked)} sizes"
        + (f"; more than half a gray level at {differing:.2%} of the pixels" if differing else ""),
        "license": metadata.weights and metadata.weights["license"],
        "file": str(output),
        "bytes": output.stat().st_size,
    }
