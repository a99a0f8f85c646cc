"""Render `images/`: one street at dusk, seen in three bands that each miss something.

    python examples/make_street.py [FOLDER]

`street/` has the three bands. `details/` is an image set of six places in them, small enough for
experiments that take seconds: a/ b/ c/, a file for each place.

a.png, visible        Lit windows, lamps, and the lettering of the sign. The smoke of a smoldering
                      litter bin hides a pedestrian who is about to cross; haze hides the hills.
b.png, near-infrared  Smoke and haze are thin and leaves are bright: the hills, the chapel and what
                      is in the smoke become visible. The pedestrian's clothes are as bright as the
                      pavement, and the sign is blank: its two paints reflect equally.
c.png, thermal        Warm objects: the pedestrian, the fire, an engine, heated rooms. Blurred, and
                      the sign is blank again: its two paints are equally warm.

The bands are 8-bit gray and registered. A material is a triple of brightnesses, one per band, so
that each thing is drawn once; lengths are meters, seen by one pinhole camera.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]  # a number or a truth value for each pixel
Bands = tuple[Plane | float, Plane | float, Plane | float]  # visible, near-infrared, thermal
Line = tuple[float, float, float, float]  # from x, y to x, y
Part = tuple[Line, float, float, Bands]  # a bar: its axis, its width at both ends, its material

WIDTH, HEIGHT, OVERSAMPLING = 480, 320, 3
CENTER, HORIZON, FOCAL = 250, 140, 330  # the camera, in pixels
EYE = 2.2  # its height above the street
DETAILS = {  # left and top of each place in it
    "car": (265, 150),
    "chapel": (185, 65),
    "lamp": (120, 60),
    "pedestrian": (20, 150),
    "sign": (328, 25),
    "windows": (10, 10),
}
DETAIL_WIDTH, DETAIL_HEIGHT = 128, 96

Y, X = (np.indices((HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING), np.float32) + 0.5) / OVERSAMPLING
GROUND = Y > HORIZON
DEPTH = FOCAL * EYE / np.maximum(Y - HORIZON, 0.3)  # where each pixel looks at the ground
ACROSS = (X - CENTER) * DEPTH / FOCAL
LATTICE = np.random.default_rng(7).random((256, 256), np.float32)

# How far right of the camera the parts of the street lie.
FACADES, LEFT_KERB, MIDDLE, RIGHT_KERB, HEDGE = -7.0, -3.3, -0.3, 3.2, 5.4

HAZE: Bands = (0.50, 0.40, 0.20)
WHITE: Bands = (0.72, 0.80, 0.35)
STEEL: Bands = (0.10, 0.28, 0.22)
SHADE: Bands = (0.08, 0.14, 0.27)
HOT: Bands = (0.20, 0.36, 0.95)
# The sign's paints differ in the visible band only; clothes do not stand out in the second band.
BOARD: Bands = (0.07, 0.36, 0.26)
LETTERS: Bands = (0.97, 0.36, 0.26)
COAT: Bands = (0.13, 0.42, 0.85)
TROUSERS: Bands = (0.09, 0.43, 0.76)
SKIN: Bands = (0.50, 0.43, 1.00)

PEDESTRIAN: list[Part] = [  # walking to the right
    ((0.02, 1.36, 0.20, 1.08), 0.14, 0.12, COAT),  # the far arm
    ((0.20, 1.08, 0.43, 1.00), 0.12, 0.09, SKIN),
    ((-0.02, 0.92, -0.12, 0.50), 0.20, 0.15, TROUSERS),  # the far leg
    ((-0.12, 0.50, -0.40, 0.17), 0.15, 0.11, TROUSERS),
    ((-0.41, 0.14, -0.30, 0.03), 0.11, 0.09, TROUSERS),
    ((0.02, 0.92, 0.22, 0.52), 0.21, 0.16, TROUSERS),  # the near leg
    ((0.22, 0.52, 0.27, 0.12), 0.16, 0.11, TROUSERS),
    ((0.27, 0.06, 0.44, 0.05), 0.12, 0.09, TROUSERS),
    ((0.03, 1.40, 0.06, 1.58), 0.13, 0.13, SKIN),  # neck, head, trunk
    ((0.05, 1.63, 0.06, 1.67), 0.20, 0.21, SKIN),
    ((0.00, 0.92, 0.02, 1.32), 0.32, 0.36, COAT),
    ((-0.03, 1.36, -0.24, 1.06), 0.15, 0.12, COAT),  # the near arm
    ((-0.24, 1.06, -0.14, 0.79), 0.12, 0.09, SKIN),
]
LAMP: list[Part] = [
    ((0, 0, 0, 5.3), 0.16, 0.09, STEEL),
    ((0, 5.3, 1.5, 5.5), 0.10, 0.16, STEEL),
    ((1.1, 5.38, 1.5, 5.4), 0.15, 0.15, (1.0, 0.4, 0.7)),
]
BIN: list[Part] = [
    ((0, 0.25, 0, 0.75), 0.46, 0.56, (0.16, 0.20, 0.62)),
    ((-0.2, 0.62, 0.2, 0.62), 0.10, 0.10, (0.40, 0.60, 0.80)),
    ((-0.26, 0.92, 0.26, 0.92), 0.12, 0.12, HOT),
]
BOLLARD: list[Part] = [
    ((0, 0.05, 0, 0.85), 0.16, 0.14, SHADE),
    ((-0.02, 0.7, 0.02, 0.7), 0.13, 0.13, WHITE),
]
GLYPHS: list[tuple[float, list[Line]]] = [  # how far right, and the strokes, of E X I T 7
    (-1.08, [(0, 0, 0, 0.6), (0, 0.6, 0.3, 0.6), (0, 0.3, 0.25, 0.3), (0, 0, 0.3, 0)]),
    (-0.58, [(0, 0, 0.32, 0.6), (0, 0.6, 0.32, 0)]),
    (-0.07, [(0, 0, 0, 0.6)]),
    (0.13, [(0, 0.6, 0.34, 0.6), (0.17, 0, 0.17, 0.6)]),
    (0.76, [(0, 0.6, 0.3, 0.6), (0.3, 0.6, 0.12, 0)]),
]


def fractal(x: Plane, y: Plane, octaves: int = 5) -> Plane:
    """Random detail of many sizes, the coarsest of size 1: roughly -1 to 1, of mean 0."""
    total = np.zeros_like(x)
    for octave in range(octaves):
        i, j = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        u, v = ramp(x - i.astype(np.float32), 0, 1), ramp(y - j.astype(np.float32), 0, 1)
        i0, i1, j0, j1 = i & 255, (i + 1) & 255, (j & 255) << 8, ((j + 1) & 255) << 8
        upper = LATTICE.take(j0 | i0) * (1 - u) + LATTICE.take(j0 | i1) * u
        lower = LATTICE.take(j1 | i0) * (1 - u) + LATTICE.take(j1 | i1) * u
        total += (upper * (1 - v) + lower * v - 0.5) * (2 * 0.5**octave)
        x, y = 1.6 * x - 1.2 * y + 37.1, 1.2 * x + 1.6 * y + 17.7  # turned, to hide the lattice
    return total


def ramp(value: Plane, low: float, high: float) -> Plane:
    """0 up to `low`, 1 from `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def facing(depth: float) -> tuple[Plane, Plane]:
    """How far across and up each pixel looks at the upright plane that faces us at a depth."""
    return (X - CENTER) * (depth / FOCAL), EYE - (Y - HORIZON) * (depth / FOCAL)


def lengthwise(across: float) -> tuple[Plane, Plane]:
    """How deep and how far up each pixel looks at the upright plane along the street."""
    depth = FOCAL * abs(across) / np.maximum((X - CENTER) * np.sign(across), 1e-3)
    return depth, EYE - (Y - HORIZON) * depth / FOCAL


def polygon(corners: Iterable[tuple[float, float, float]]) -> Plane:
    """The pixels inside a polygon whose corners are (across, up, depth)."""
    pixels = [(CENTER + FOCAL * x / z, HORIZON + FOCAL * (EYE - y) / z) for x, y, z in corners]
    inside = np.zeros(X.shape, bool)
    for (x0, y0), (x1, y1) in zip(pixels, [*pixels[1:], pixels[0]], strict=True):
        if y0 != y1:
            inside ^= ((y0 > Y) != (y1 > Y)) & (x0 + (Y - y0) * ((x1 - x0) / (y1 - y0)) > X)
    return inside


def bar(x: Plane, y: Plane, line: Line, width: float, end_width: float) -> Plane:
    """The pixels on a tapering line with round ends."""
    x0, y0, x1, y1 = line
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    radius = (width + (end_width - width) * along) / 2
    return (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2 < radius**2


def paint(scene: Plane, where: Plane, material: Bands, opacity: Bands = (1, 1, 1)) -> None:
    """Cover the scene with a material, as far as `where` and each band's opacity say."""
    cover = where.astype(np.float32)
    for band in range(3):
        scene[band] += cover * opacity[band] * (material[band] - scene[band])


def paint_parts(scene: Plane, parts: Iterable[Part], across: float, depth: float) -> None:
    """Paint a figure made of bars, standing on the ground."""
    x, y = facing(depth)
    for line, width, end_width, material in parts:
        paint(scene, bar(x - across, y, line, width, end_width), material)


def grained(material: Bands, grain: Plane, amount: Bands) -> Bands:
    """A material with a texture, as strong in each band as `amount` says."""
    visible, near, thermal = (m * (1 + a * grain) for m, a in zip(material, amount, strict=True))
    return visible, near, thermal


def draw_sky(scene: Plane) -> None:
    low = ramp(Y, -60, HORIZON)
    clouds = ramp(fractal(X / 170 + 3, Y / 40), -0.2, 0.8)
    paint(scene, np.ones_like(X), (0.14 + 0.38 * low, 0.07 + 0.10 * low, 0.03 + 0.10 * low))
    paint(scene, clouds, (0.60, 0.48, 0.2), opacity=(0.6, 0.7, 0.5))


def draw_hills(scene: Plane, height: float, leaf: float) -> None:
    """Wooded hills so far away that a meter is seen as a pixel."""
    x, up = facing(FOCAL)
    trees = fractal(x / 7 + height, up / 5)
    ridge = height + 14 * fractal(x / 90 + height, np.zeros_like(X), 2) + 2 * trees
    paint(scene, up < ridge, grained((0.3, leaf, 0.2), trees, (0.2, 0.45, 0.05)))


def draw_chapel(scene: Plane) -> None:
    x, up = facing(FOCAL)
    tower, nave = (abs(x - 14) < 5) & (up < 62), (abs(x - 30) < 12) & (up < 46)
    spire = (up > 62) & (abs(x - 14) < (90 - up) * 0.21)
    roof = (up > 46) & (up < 58) & (x > 19) & (x < 44 - (up - 46) * 0.6)
    slits = (x > 21) & (x < 40) & (x % 6 < 2.2) & (abs(up - 38) < 4)
    bell = bar(x, up, (14, 52, 14, 56), 2.6, 2.6)
    paint(scene, (tower | nave) & (up > 20), (0.4, 0.86, 0.25))
    paint(scene, spire | roof, (0.3, 0.5, 0.22))
    paint(scene, slits | bell, (0.1, 0.1, 0.25))


def draw_ground(scene: Plane) -> None:
    near = np.minimum(1, 9 / DEPTH)  # fades what would be finer than a pixel
    fine, coarse = near * fractal(ACROSS * 16, DEPTH * 16), fractal(ACROSS * 0.8, DEPTH * 0.3)
    tracks = 0.5 * np.cos((ACROSS - MIDDLE) * 3.6)
    paint(scene, GROUND, grained((0.15, 0.23, 0.40), fine + coarse + tracks, (0.32, 0.28, 0.06)))

    joints = near * ((DEPTH % 0.8 < 0.05) | (ACROSS % 0.8 < 0.04))
    slabs = grained((0.26, 0.44, 0.33), 0.7 * fine + 0.5 * coarse - joints, (0.25, 0.20, 0.04))
    paint(scene, GROUND & ((ACROSS < LEFT_KERB) | (ACROSS > RIGHT_KERB)), slabs)
    kerbs = (abs(ACROSS - LEFT_KERB) < 0.12) | (abs(ACROSS - RIGHT_KERB) < 0.12)
    paint(scene, GROUND & kerbs, grained((0.38, 0.56, 0.31), fine, (0.25, 0.2, 0.04)))
    grass = grained((0.12, 0.54, 0.26), fractal(X / 4, Y / 2) + 0.5 * coarse, (0.3, 0.15, 0.06))
    paint(scene, GROUND & (ACROSS > HEDGE), grass)

    dashes = (abs(ACROSS - MIDDLE) < 0.08) & (DEPTH % 4 < 2) & (DEPTH > 10)
    road = (ACROSS > LEFT_KERB + 0.3) & (ACROSS < RIGHT_KERB - 0.3)
    crossing = road & (abs(DEPTH - 7.1) < 1.1) & (ACROSS % 1.0 < 0.5)
    worn = np.clip(0.9 + 0.4 * fine, 0, 1)
    paint(scene, (GROUND & (dashes | crossing)) * worn, WHITE)
    paint(scene, GROUND * ramp(DEPTH, 25, 160), HAZE, opacity=(0.96, 0.15, 0.2))


def draw_house(scene: Plane, front: float, back: float, height: float, shade: float) -> None:
    """A house on the left: its chimney, and its facade along the street with lit windows."""
    stack: Part = ((0, height, 0, height + 1.5), 0.8, 0.8, (0.16, 0.40, 0.55))
    pot: Part = ((0, height + 1.9, 0, height + 2.3), 0.4, 0.4, HOT)
    paint_parts(scene, (stack, pot), FACADES - 0.4, (front + back) / 2)
    depth, up = lengthwise(FACADES)
    wall = (depth > front) & (depth < back) & (up > 0) & (up < height)
    near = np.minimum(1, 14 / depth)  # fades what would be finer than a pixel
    course = np.floor(up / 0.2)
    along = depth / 0.5 + 0.5 * (course % 2)
    joints = (up % 0.2 < 0.04) | (along % 1 < 0.1)
    tone = LATTICE[course.astype(int) % 256, along.astype(int) % 256] - 0.5 - joints
    grain = near * (tone + fractal(depth * 4, up * 8)) + fractal(depth * 0.5, up * 0.5)
    brick: Bands = (0.27 * shade, 0.45 * shade, 0.30)
    paint(scene, wall, grained(brick, grain, (0.25, 0.22, 0.03)))
    paint(scene, wall & (up > height - 0.35), (0.36 * shade, 0.60 * shade, 0.27))  # cornice

    column, story = np.floor((depth - front) / 2.6), np.floor(up / 3)
    u, v = (depth - front) % 2.6 - 1.3, up % 3 - 1.6
    luck = LATTICE[story.astype(int) * 7 % 256, (column * 5 + front).astype(int) % 256]
    rooms = wall & (up < height - 0.5)
    paint(scene, rooms & (abs(u) < 0.76) & (abs(v) < 1.02), (0.42 * shade, 0.66, 0.35))
    pane = rooms & (abs(u) < 0.62) & (abs(v) < 0.88) & (abs(u) > 0.04) & (abs(v - 0.3) > 0.04)
    light = np.where(luck > 0.6, 0.92 - 0.3 * ramp(v, -0.9, 0.9), 0.07 + 0.12 * ramp(v, -1, 1))
    paint(scene, pane, (light, 0.10 + 0.10 * luck, 0.42 + 0.22 * luck))


def draw_tree(scene: Plane, across: float, depth: float, size: float) -> None:
    """A trunk and a crown of leaf clusters; chlorophyll makes it shine in the near-infrared."""
    rng = np.random.default_rng(int(depth))
    x, y = facing(depth)
    x, y = (x - across) / size, y / size
    wood = bar(x, y, (0, -0.1, 0, 1), 0.2, 0.14) & (y > 0)
    relief = np.full_like(X, -9)
    for angle, away, radius in (rng.random((30, 3)) * (2 * np.pi, 1, 0.16)).tolist():
        distance = 0.8 * away**0.5
        cx = distance * float(np.cos(angle))
        cy = 1.6 + distance * float(np.sin(angle))
        wood |= bar(x, y, (0, 0.8, cx, cy), 0.10, 0.03)
        relief = np.maximum(relief, 1 - ((x - cx) ** 2 + (y - cy) ** 2) / (0.2 + radius) ** 2)
    leaves = 0.8 * fractal(x * 6 + depth, y * 8) + 0.6 * fractal(x * 25, y * 32, 3)
    light = 0.5 * relief + 0.7 * leaves + 0.3 * (y - 1.6) - 0.3
    paint(scene, wood, (0.08, 0.30, 0.33))
    paint(scene, relief + leaves > 0.1, grained((0.12, 0.64, 0.33), light, (0.6, 0.42, 0.05)))


def draw_hedge(scene: Plane) -> None:
    depth, up = lengthwise(HEDGE)
    leaves = fractal(depth * 4, up * 5)
    hedge = (depth > 9.5) & (depth < 90) & (up > 0) & (up < 1 + 0.15 * leaves)
    paint(scene, hedge, grained((0.11, 0.58, 0.30), 0.9 * leaves + up - 0.6, (0.6, 0.4, 0.05)))


def draw_lamp(scene: Plane, across: float, depth: float) -> None:
    """A street lamp and its light, which its LEDs emit in the visible band only."""
    paint_parts(scene, LAMP, across, depth)
    far, up = lengthwise(FACADES)
    wall = np.exp(-((far - depth) ** 2 + (up - 4) ** 2) / 8)
    pool = np.exp(-((ACROSS - across - 1) ** 2 + (DEPTH - depth) ** 2) / 9)
    scene[0] *= 1 + 1.2 * np.where(GROUND & (ACROSS > FACADES), pool, wall)
    x, y = facing(depth)
    squared = (x - across - 1.3) ** 2 + (y - 5.4) ** 2
    halo = 0.8 * np.exp(-squared / 0.06) + 0.25 * np.exp(-squared / 0.8)
    paint(scene, halo, (1, 1, 1), opacity=(1, 0, 0))


def draw_sign(scene: Plane, across: float, depth: float) -> None:
    x, y = facing(depth)
    posts: list[Part] = [((side, 0, side, 4), 0.1, 0.1, STEEL) for side in (-0.7, 0.7)]
    paint_parts(scene, posts, across, depth)
    for margin, color in ((0.06, LETTERS), (0, BOARD)):
        board = (abs(x - across) < 1.3 + margin) & (abs(y - 4) < 0.5 + margin)
        paint(scene, board, color)
    for place, strokes in GLYPHS:
        for stroke in strokes:
            paint(scene, bar(x - across - place, y - 3.7, stroke, 0.1, 0.1), LETTERS)


def draw_car(scene: Plane, left: float, depth: float) -> None:
    """A parked car facing us, whose engine is still warm."""
    right, middle = left + 1.75, left + 0.875
    beside = np.maximum(abs(ACROSS - middle) - 0.7, 0)
    beyond = np.maximum(abs(DEPTH - depth - 2.1) - 2.1, 0)
    shadow = GROUND * np.exp(-8 * (beside**2 + beyond**2))
    paint(scene, shadow, SHADE, opacity=(0.85, 0.7, 0))
    for side in (-0.7, 0.7):
        tire: Part = ((side, 0.12, side, 0.4), 0.24, 0.24, (0.04, 0.07, 0.68))
        paint_parts(scene, [tire], middle, depth)

    x, y = facing(depth)
    heat, sheen = np.exp(-(((x - middle) / 0.75) ** 2)), ramp(y, 0.2, 1.4)
    body, cabin = ((0, 0.22), (0, 0.7), (4, 0.95), (4, 0.25)), ((1, 0.9), (1.8, 1.4), (3.3, 1.4))
    for outline, inset, material in ((body, 0, (0.17, 0.4, 0.3)), (cabin, 0.1, SHADE)):
        paint(scene, polygon((left + inset, up, depth + z) for z, up in outline), material)

    panels: list[Part] = [  # from y, z to y, z; how far inside the sides there
        ((1.42, 1.75, 1.42, 3.3), 0.18, 0.18, (0.46, 0.55, 0.19)),  # roof
        ((0.92, 0.95, 1.42, 1.75), 0.05, 0.18, (0.26, 0.46, 0.27)),
        ((0.97, 1.02, 1.38, 1.69), 0.14, 0.24, (0.05 + 0.3 * sheen, 0.1, 0.2)),  # windscreen
        ((0.72, 0, 0.92, 0.95), 0.03, 0.05, (0.25 + 0.3 * sheen, 0.62, 0.45 + 0.5 * heat)),
        ((0.22, 0, 0.72, 0), 0, 0.03, (0.17 + 0.2 * sheen, 0.5, 0.36 + 0.2 * heat)),
        ((0.44, 0, 0.62, 0), 0.42, 0.42, (0.04, 0.1, 0.40 + 0.55 * heat)),  # grille
        ((0.28, 0, 0.39, 0), 0.6, 0.6, WHITE),  # number plate
    ]
    for (y0, z0, y1, z1), in0, in1, material in panels:
        low = [(side, y0, depth + z0) for side in (left + in0, right - in0)]
        high = [(side, y1, depth + z1) for side in (right - in1, left + in1)]
        paint(scene, polygon([*low, *high]), material)
    lamps: list[Part] = [((s, 0.54, s + 0.16, 0.54), 0.17, 0.17, WHITE) for s in (-0.74, 0.58)]
    paint_parts(scene, lamps, middle, depth)


def draw_smoke(scene: Plane, depth: float) -> None:
    """Smoke that drifts to the left; its particles are too small for the longer waves."""
    x, y = facing(depth)
    puffs = [(-2.6, 1.5, 0.28), (-2.8, 1.7, 0.45), (-3.2, 1.8, 0.6), (-3.5, 1.4, 0.8)]
    puffs += [(-3.6, 0.8, 0.8), (-4.3, 1.3, 1.0), (-3.7, 2.2, 0.7), (-4.7, 2.3, 0.9)]
    puffs += [(-4.6, 0.5, 0.8), (-3.7, 0.2, 0.85)]
    swirl = fractal(x * 1.1 + 5, y * 1.2 + 2)
    density = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2) for cx, cy, r in puffs)
    cover = ramp(density * (1 + 0.5 * swirl), 0.2, 0.75)
    paint(scene, cover, (0.42 + 0.11 * swirl, 0.5, 0.5), opacity=(0.97, 0.12, 0.02))


def expose(scene: Plane) -> npt.NDArray[np.uint8]:
    """What three sensors make of the scene: pixels, blur, noise, 8 bits."""
    image = scene.reshape(3, HEIGHT, OVERSAMPLING, WIDTH, OVERSAMPLING).mean(axis=(2, 4))
    for _ in range(3):  # the optics of a thermal camera are soft
        padded = np.pad(image[2], 1, mode="edge")
        rows = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        image[2] = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    noise = np.random.default_rng(20).normal(0, 0.008, image.shape)
    return np.asarray(np.clip(image + noise, 0, 1) * 255 + 0.5, np.uint8)


def render() -> npt.NDArray[np.uint8]:
    """The three bands, drawn from the back to the front."""
    scene = np.zeros((3, *X.shape), np.float32)
    draw_sky(scene)
    draw_hills(scene, 52, 0.40)
    draw_chapel(scene)
    draw_hills(scene, 30, 0.58)
    paint(scene, ramp(Y, 15, 70), HAZE, opacity=(0.96, 0.10, 0.10))
    draw_ground(scene)
    for house in ((27, 42, 6.3, 0.8), (17, 27, 9.2, 1.15), (6.3, 17, 9.6, 0.9)):
        draw_house(scene, *house)
    for tree in ((7.5, 40, 2.8), (8, 25, 3.0), (9, 15, 3.2)):
        draw_tree(scene, *tree)
    draw_hedge(scene)
    for depth in (34.0, 17.0):
        draw_lamp(scene, -4.0, depth)
    draw_sign(scene, 3.9, 9)
    draw_car(scene, 1.2, 9.2)
    for depth in (22, 17.5, 14, 11.5):
        paint_parts(scene, BOLLARD, LEFT_KERB - 0.3, depth)
    paint_parts(scene, BIN, -3.75, 9.5)
    paint_parts(scene, PEDESTRIAN, -4.0, 6.6)
    draw_smoke(scene, 6.6)
    return expose(scene)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    for letter, band in zip("abc", render(), strict=True):
        images = {folder / "street" / f"{letter}.png": band}
        for name, (left, top) in DETAILS.items():
            detail = band[top : top + DETAIL_HEIGHT, left : left + DETAIL_WIDTH]
            images[folder / "details" / letter / f"{name}.png"] = detail
        for path, pixels in images.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(path, pixels)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
