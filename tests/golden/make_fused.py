"""Write `fused.json`: what commands and strategies make of the golden images.

    python tests/golden/make_fused.py

All values are pinned: fusionlab's own, see README.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from click.testing import CliRunner
from golden_images import STREET, image_set

from fusionlab import Fusion
from fusionlab.cli import main as command
from fusionlab.plugins.host import installed
from fusionlab.plugins.loading import strategy_class

COMMANDS = (
    "--backbone identity --strategy addition --range minmax c.png a.png",
    "--backbone identity --strategy mean --range clip a.png b.png c.png",
    "--backbone identity --strategy weighted --theta 1,3 --range clip c.png a.png",
    "--backbone identity --strategy max --scale minmax --depth 16 --range clip c.png a.png",
    "--strategy l1norm --r 1 a.png b.png c.png",
    "--preset paper --strategy addition c.png a.png",
    "--preset paper --strategy l1norm c.png a.png",
)
BLOCK = 40


def fuse(words: str, folder: Path) -> np.ndarray:
    """Run `fusionlab fuse` on images of examples/images/street and return the pixels."""
    output = folder / "fused.png"
    arguments = [str(STREET / word) if word.endswith(".png") else word for word in words.split()]
    result = CliRunner().invoke(command, ["fuse", *arguments, "-o", str(output)])
    assert result.exit_code == 0, result.output
    return iio.imread(output)


def sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def block_means(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of each block of 40x40 pixels."""
    rows, columns = (edge // BLOCK for edge in pixels.shape)
    return pixels.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))


def shipped() -> list[str]:
    """Return the names of the strategies that ship with fusionlab."""
    registrations = installed().strategies.registrations
    return [r.ref.name for r in registrations if r.plugin == "fusionlab-imaging"]


def fused(strategy: str) -> np.ndarray:
    """Fuse the pair `s61` with a strategy as it comes; pixel strategies run without a network."""
    _, *sources = image_set("s61")
    merges_pixels = strategy_class(installed().strategies.find(strategy)).domain == "pixels"
    backbone = None if merges_pixels else "densefuse@1e2"
    return Fusion(backbone, strategy, range_policy="clip")(sources)


def main() -> None:
    commands = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, words in enumerate(COMMANDS):
            place = Path(folder) / str(number)
            place.mkdir()
            pixels = fuse(words, place)
            means = [[round(mean, 3) for mean in row] for row in block_means(pixels).tolist()]
            commands[words] = {"sha256": sha256(pixels), "block_means": means}
    pictures = {
        name: base64.b64encode(iio.imwrite("<bytes>", fused(name), extension=".png")).decode()
        for name in shipped()
    }
    values = {"commands": commands, "strategies": pictures}
    text = json.dumps(values, indent=1).replace(",\n     ", ", ")  # a row of means is a line
    Path(__file__).with_name("fused.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
