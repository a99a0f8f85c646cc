"""Draw docs/images/architecture.svg: the rooms of fusionlab, and which room imports which.

    python tools/draw_architecture.py

The rows are the layers of the import contract in pyproject.toml, the dots are imports that exist.
A dot left of the staircase would be an import upwards; import-linter allows none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images" / "architecture.svg"
PLUGINS = ("strategies/", "encoders/", "your package/")
PLUGINS_NOTE = (
    "import the public names of fusionlab,",
    "and register by an entry point;",
    "fusionlab never imports them by name",
)

CELL = 30  # pixels: height of a row, width of a column
LEFT, TOP, PAD, OVERHANG = 178, 122, 18, 34
FONT = "font-family='Helvetica,Arial,sans-serif'"
INK, MUTED, LINE, PAPER = "#1f2933", "#7b8794", "#d9dee4", "#ffffff"
FLOORS = ("#e8f1fb", "#f7f9fb")
PLUGIN, DOT = "#fdf1dc", "#2f6fb2"

Room = tuple[str, str]
"""The name of a package or module, and the label of its row."""


def layers() -> list[list[Room]]:
    """Return the rooms of each layer, the highest layer first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    rooms = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    return [[(f"fusionlab.{name}", label(name)) for name in names] for names in rooms]


def label(name: str) -> str:
    """Return how a room is called in the drawing: as the file or folder that it is."""
    return f"{name}/" if (ROOT / "fusionlab" / name).is_dir() else f"{name}.py"


def imports(names: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pairs of rooms of which the first imports the second."""
    names = list(names)
    graph = grimp.build_graph("fusionlab", exclude_type_checking_imports=True, cache_dir=None)
    home = {
        module: name
        for module in graph.modules
        for name in names
        if module == name or module.startswith(f"{name}.")
    }
    return {
        (home[module], home[imported])
        for module in home
        for imported in graph.find_modules_directly_imported_by(module)
        if imported in home and home[module] != home[imported]
    }


def draw() -> str:
    """Return the drawing as SVG text, the same for the same imports."""
    floors = layers()
    rooms = [room for floor in floors for room in floor]
    place = {name: number for number, (name, _) in enumerate(rooms)}
    below = TOP + CELL * len(PLUGINS)  # where the first room begins
    right = LEFT + CELL * len(rooms) + 6
    width, height = right + OVERHANG, below + CELL * len(rooms) + 40

    def center(number: int) -> tuple[float, float]:
        return LEFT + CELL * (number + 0.5), below + CELL * (number + 0.5)

    parts = [
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' {FONT} font-size='13'>"
        ),
        "<title>Which part of fusionlab imports which</title>",
        f"<rect width='{width}' height='{height}' rx='6' fill='{PAPER}'/>",
        _text(PAD, 30, "Imports run downwards only", f"fill='{INK}' font-size='17'"),
        _text(PAD, 52, "A dot: the row", f"fill='{MUTED}'"),
        _text(PAD, 69, "imports the column.", f"fill='{MUTED}'"),
        _band(TOP, right, len(PLUGINS), PLUGIN),
    ]
    row = 0
    for number, floor in enumerate(floors):
        parts.append(_band(below + CELL * row, right, len(floor), FLOORS[number % 2]))
        row += len(floor)
    for number, (_, text) in enumerate(rooms):
        x, y = center(number)
        parts += [
            _text(PAD + 10, y + 4.5, text, f"fill='{INK}'"),
            (
                f"<text transform='translate({x + 4:g},{TOP - 8}) rotate(-60)' "
                f"fill='{MUTED}'>{text}</text>"
            ),
            f"<path d='M{x:g} {below}V{y:g}H{LEFT - 6}' fill='none' stroke='{LINE}'/>",
            (
                f"<rect x='{x - 6:g}' y='{y - 6:g}' width='12' height='12' rx='3' "
                f"fill='{PAPER}' stroke='{MUTED}'/>"
            ),
        ]
    for number, (plugin, note) in enumerate(zip(PLUGINS, PLUGINS_NOTE, strict=True)):
        y = TOP + CELL * (number + 0.5) + 4.5
        parts.append(_text(PAD + 10, y, plugin, f"fill='{INK}'"))
        parts.append(_text(LEFT + 10, y, note, f"fill='{MUTED}'"))
    for importer, imported in sorted(imports(place), key=lambda pair: [place[n] for n in pair]):
        x, y = center(place[imported])[0], center(place[importer])[1]
        parts.append(f"<circle cx='{x:g}' cy='{y:g}' r='5.5' fill='{DOT}'/>")
    note = "Rooms in one band are one layer: they do not import each other."
    parts += [_text(PAD, height - 14, note, f"fill='{MUTED}'"), "</svg>"]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x:g}' y='{y:g}' {style}>{text}</text>"


def _band(y: float, right: float, rows: int, fill: str) -> str:
    size = f"width='{right - PAD:g}' height='{CELL * rows}'"
    return f"<rect x='{PAD}' y='{y:g}' {size} fill='{fill}'/>"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
