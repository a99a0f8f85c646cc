"""`fusionlab fuse`: read the sources, fuse them, write the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.options import StrategyCommand
from fusionlab.cli.session import Session, refusing
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.strategy import Strategy

EXAMPLES = """\b
Examples:
  fusionlab fuse infrared.png visible.png
  fusionlab fuse --strategy l1norm --r 1 a.png b.png c.png -o fused.png
  fusionlab fuse --preset paper --strategy addition ir.png vis.png -o table2.png
  fusionlab fuse --strategy l1norm --help         the options of a strategy
"""


@click.command(cls=StrategyCommand, epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    default="fused.png",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where to write the picture: .png, .jpg, .bmp or .tif.",
)
@click.option(
    "--strategy",
    metavar="NAME",
    envvar="FUSIONLAB_STRATEGY",
    show_envvar=True,
    help="Fusion strategy; see 'fusionlab strategies'. With --help, shows its options too.",
)
@click.option(
    "--backbone",
    metavar="NAME[@TAG]",
    envvar="FUSIONLAB_BACKBONE",
    show_envvar=True,
    help="Frozen encoder and decoder, and its weights: see 'fusionlab backbones', or give the "
    "path of a .safetensors file as TAG.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Take the defaults from a preset, such as 'paper'; explicit options win.",
)
@click.option(
    "--range",
    "range_policy",
    type=click.Choice(["auto", "clip", "minmax"]),
    default="auto",
    show_default=True,
    help="How the result becomes displayable: cut off at black and white, stretched from its "
    "minimum to its maximum, or whichever suits the strategy.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option(
    "--tile",
    type=click.IntRange(min=16),
    metavar="PIXELS",
    help="Edge of the tiles a large image is cut into; the result stays the same.  "
    "[default: from the number of sources]",
)
@click.option(
    "--tf32/--no-tf32",
    "allow_tf32",
    default=False,
    show_default=True,
    help="On CUDA: faster convolutions of lower precision.",
)
@click.option(
    "--save-weights",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the weight map of each source there, as 8-bit PNG.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
@click.pass_obj
def fuse(
    session: Session,
    *,
    sources: tuple[Path, ...],
    output: Path,
    strategy: Strategy,
    backbone: str | None,
    preset: str | None,
    range_policy: Any,
    device: str,
    tile: int | None,
    allow_tf32: bool,
    save_weights: Path | None,
    overwrite: bool,
) -> None:
    """Fuse two or more registered SOURCES of one size into one picture.

    8-bit gray or RGB. A colour image is fused channel by channel; a gray source beside it counts
    for all three.
    """
    with refusing():
        from fusionlab.imaging.writing import check_writable, write_image

        check_writable(output, overwrite=overwrite)
        maps = _map_paths(save_weights, output, sources)
        if save_weights and save_weights.exists():
            for path in maps:
                check_writable(path, overwrite=overwrite)

        from fusionlab.fusion import Fusion
        from fusionlab.imaging.reading import read_image
        from fusionlab.method import build_backbone, method_id

        images = [read_image(path) for path in sources]
        plugins = session.plugins
        fusion = Fusion(
            build_backbone(backbone or plugins.default("backbone"), plugins),
            strategy,
            range_policy=range_policy,
            device=device,
            tile=tile,
            allow_tf32=allow_tf32,
        )
        with _progress() as progress:
            fused = fusion.fuse(images, weights=bool(maps), progress=progress)
        write_image(output, fused.image)
        if save_weights:
            _make_folder(save_weights)
        for path, weights in zip(maps, fused.weights, strict=True):
            write_image(path, (weights.clip(0, 1) * 255 + 0.5).astype("uint8"))

    height, width = fused.image.shape[:2]
    chosen = method_id(fusion.backbone, strategy, plugins)
    click.echo(f"method   {chosen}" + (f"  (preset {preset})" if preset else ""))
    click.echo(f"range    {fusion.range_policy}")
    click.echo(f"device   {fusion.device}")
    click.echo(f"sources  {len(images)} of {width}x{height}")
    for path in maps:
        click.echo(f"weights  {path}")
    click.echo(f"output   {output}")


def _map_paths(folder: Path | None, output: Path, sources: tuple[Path, ...]) -> list[Path]:
    """Name one weight map per source."""
    if folder is None:
        return []
    return [
        folder / f"{output.stem}-weights-{number}-{path.stem}.png"
        for number, path in enumerate(sources, start=1)
    ]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FusionlabError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, as soon as there is more than one tile; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("fusing", total=None, visible=False)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, visible=total > 1)

        yield show
