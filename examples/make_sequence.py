"""Render a sequence of a street at night: thermal and visible frames that lie on each other.

    python examples/make_sequence.py night/                         # night/ir/, night/vis/
    python examples/make_sequence.py night/ --frames 600 --size 640x480
    python examples/make_sequence.py night/ --as stack              # night/ir.tif, night/vis.tif
    python examples/make_sequence.py night/ --as video              # FFV1, lossless: night/ir.mkv

A fixed camera looks at a street. What moves shows up in one band only, or in both:

* People walk on the far pavement, where no lamp reaches, and one waits in the dark by the hedge:
  the visible camera hardly sees them. Somebody else walks under the lamp on the near pavement.
* A car comes by every ten seconds: warm in one band, lit in the other.
* The lettering of the sign, the lit windows and the texture are for the visible camera alone.

And the cameras do what makes the fusion of single frames flicker. The thermal camera's counts (14
of 16 bits, 40 for a kelvin) drift, and jump each time it corrects its detector, every 2.4 seconds;
the pattern of its columns grows in between. The exposure of the visible camera drifts, goes in
steps, and goes down when headlights are in view. Both are noisy.

A frame depends on the size, on the seed and on its number, not on the frames before it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Images = tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]  # thermal, visible
Material = tuple[tuple[float, float, float], float]  # what it reflects, and degrees Celsius
Line = tuple[float, float, float, float]  # from x, y to x, y
Part = tuple[Line, float, float, Material]  # a bar: its axis, its width at both ends

RATE = 25  # frames a second
COUNTS_PER_KELVIN, COUNTS_OF_ICE = 40, 7000
COUNTS_OF_8_BITS = (6900, 8600)  # black and white of the thermal camera's 8-bit output
CORRECTION = 2.4  # seconds between two corrections of the detector
SOFTNESS = 0.004  # blur of the thermal camera's optics, in heights of the image

# In heights of the image, from its center and its upper edge.
ROOFS, FAR_PAVEMENT, ROAD, NEAR_PAVEMENT, CAR_WHEELS = 0.09, 0.53, 0.58, 0.83, 0.76
NEAR_METER, ROAD_METER, FAR_METER = 0.180, 0.125, 0.085  # how large a meter is seen there

COAT: Material = ((0.13, 0.12, 0.13), 21)
TROUSERS: Material = ((0.10, 0.10, 0.11), 19)
SKIN: Material = ((0.40, 0.28, 0.22), 31)
RED_COAT: Material = ((0.45, 0.06, 0.05), 20)
STEEL: Material = ((0.10, 0.10, 0.11), 8)
WOOD: Material = ((0.12, 0.10, 0.08), 8)
BOARD: Material = ((0.02, 0.16, 0.07), 8)
LETTERS: Material = ((1.6, 1.6, 1.5), 8)  # it reflects back to the lamps
PAINT: Material = ((0.22, 0.24, 0.30), 14)
HOOD: Material = ((0.22, 0.24, 0.30), 38)
GLASS: Material = ((0.02, 0.02, 0.03), 11)
TIRE: Material = ((0.02, 0.02, 0.02), 27)
EXHAUST: Material = ((0.05, 0.05, 0.05), 46)
GLYPHS: list[tuple[float, list[Line]]] = [  # how far right, and the strokes, of E X I T 7
    (-1.08, [(0, 0, 0, 0.6), (0, 0.6, 0.3, 0.6), (0, 0.3, 0.25, 0.3), (0, 0, 0.3, 0)]),
    (-0.58, [(0, 0, 0.32, 0.6), (0, 0.6, 0.32, 0)]),
    (-0.07, [(0, 0, 0, 0.6)]),
    (0.13, [(0, 0.6, 0.34, 0.6), (0.17, 0, 0.17, 0.6)]),
    (0.76, [(0, 0.6, 0.3, 0.6), (0.3, 0.6, 0.12, 0)]),
]


class Picture:
    """What both cameras see, before their gain and noise."""

    def __init__(self, width: int, height: int) -> None:
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height
        y = (np.arange(height, dtype=np.float32) + 0.5) / height
        self.x, self.y = x[None, :], y[:, None]
        self.pixel = 1 / height
        self.reflected = np.zeros((height, width, 3), np.float32)
        self.degrees = np.zeros((height, width), np.float32)
        self.light = np.full((height, width), 0.05, np.float32)

    def copy(self) -> Picture:
        """Return another one, to be painted over."""
        other = Picture.__new__(Picture)
        other.__dict__.update(self.__dict__)
        other.reflected, other.degrees = self.reflected.copy(), self.degrees.copy()
        return other

    def paint(self, distance: Plane, material: Material, where: Any = (), light: Any = 1) -> None:
        """Cover the pixels whose distance from a shape is below 0, in the part `where`."""
        color, degrees = material
        sharp = np.clip(0.5 - distance / self.pixel, 0, 1)
        soft = np.clip(0.5 - distance / max(self.pixel, 2 * SOFTNESS), 0, 1)
        reflected, warmth = self.reflected[where], self.degrees[where]
        lit = np.multiply.outer(light, np.float32(color))
        reflected += sharp[..., None] * (lit - reflected)
        warmth += soft * (np.float32(degrees) - warmth)

    def paint_parts(
        self,
        parts: Iterable[Part],
        x: float,
        y: float,
        meter: float,
        light: float = 1,
        *,
        facing: int = 1,
    ) -> None:
        """Paint a figure made of bars, standing at a place; `facing` -1 turns it to the left."""
        for (x0, y0, x1, y1), start, end, material in parts:
            line = (
                x + facing * x0 * meter,
                y - y0 * meter,
                x + facing * x1 * meter,
                y - y1 * meter,
            )
            around = max(start, end) * meter / 2 + self.pixel + SOFTNESS
            left, right = sorted((line[0], line[2]))
            top, bottom = sorted((line[1], line[3]))
            columns = np.searchsorted(self.x[0], [left - around, right + around])
            rows = np.searchsorted(self.y[:, 0], [top - around, bottom + around])
            where = (slice(*rows), slice(*columns))
            distance = bar(self.x[:, where[1]], self.y[where[0]], line, start * meter, end * meter)
            self.paint(distance, material, where, np.float32(light))


def bar(x: Plane, y: Plane, line: Line, width: float, end_width: float) -> Plane:
    """Return the distance from a tapering line with round ends."""
    x0, y0, x1, y1 = line
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
    radius = (width + (end_width - width) * along) / 2
    return np.asarray(np.hypot(x - x0 - along * dx, y - y0 - along * dy) - radius, np.float32)


def box(x: Any, y: Any, left: float, top: float, right: float, bottom: float) -> Plane:
    """Return the distance from an upright rectangle, as far as it is a small one."""
    sideways = np.maximum(left - x, x - right)
    return np.asarray(np.maximum(sideways, np.maximum(top - y, y - bottom)), np.float32)


def fractal(x: Any, y: Any, lattice: Plane, octaves: int = 5) -> Plane:
    """Return random detail of many sizes, the coarsest of size 1: roughly -1 to 1, of mean 0."""
    x, y = np.broadcast_arrays(x, y)
    total = np.zeros(x.shape, np.float32)
    for octave in range(octaves):
        i, j = np.floor(x).astype(int), np.floor(y).astype(int)
        u, v = (t * t * (3 - 2 * t) for t in (x - i, y - j))
        i0, i1, j0, j1 = i & 255, (i + 1) & 255, j & 255, (j + 1) & 255
        upper = lattice[j0, i0] * (1 - u) + lattice[j0, i1] * u
        lower = lattice[j1, i0] * (1 - u) + lattice[j1, i1] * u
        total += (upper * (1 - v) + lower * v - 0.5) * (2 * 0.5**octave)
        x, y = 1.6 * x - 1.2 * y + 37.1, 1.2 * x + 1.6 * y + 17.7  # turned, to hide the lattice
    return total


class Street:
    """The scene: what stands still is painted once, what moves into a copy for each frame."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng((seed, 0))
        self.lattice = rng.random((256, 256), np.float32)
        self.phases = rng.random(8) * 2 * np.pi
        self.columns = rng.standard_normal(width).astype(np.float32)  # of the detector
        self.still = Picture(width, height)
        self.edge = width / height / 2
        self.lamps = [x for x in (-0.42, 0.9, -1.7, 2.2) if abs(x) < self.edge]
        self._paint_ground()
        self._paint_houses()
        self._paint_trees()
        self._light()
        self._paint_lamps_and_sign()

    def _paint_ground(self) -> None:
        p, grain = self.still, self.lattice
        sky = np.clip(1 - p.y / 0.3, 0, 1)
        clouds = fractal(p.x * 4, p.y * 12, grain)
        p.reflected += (0.35 + 0.3 * (1 - sky) + 0.1 * clouds)[..., None] * np.float32(
            (0.5, 0.6, 1)
        )
        p.degrees += -14 + 10 * (1 - sky) + 2 * clouds
        depth = 0.25 / np.maximum(p.y - 0.42, 0.02)  # where each row looks at the ground
        fine = fractal(p.x * depth * 60, depth * 60, grain) * np.clip(2 - depth / 2, 0.2, 1)
        coarse = fractal(p.x * depth * 5, depth * 5, grain)
        for top, tone, degrees, joints in (
            (FAR_PAVEMENT, 0.30, 10, 0.30),
            (ROAD, 0.11, 13, 0),
            (NEAR_PAVEMENT, 0.32, 10, 0.13),
        ):
            below = np.broadcast_to(np.float32(top) - p.y, p.degrees.shape)
            gray = tone * (1 + 0.35 * fine + 0.25 * coarse)
            if joints:
                seam = np.abs((p.x * depth / 0.25 / joints) % 1 - 0.5) > 0.47
                gray = gray * (1 - 0.4 * seam)
            p.paint(below, ((0.0, 0.0, 0.0), degrees))
            p.reflected += (below < 0)[..., None] * (gray[..., None] - p.reflected)
            p.degrees += (below < 0) * (0.5 * coarse + 0.15 * fine)
            curb = box(p.x, p.y, -9, top - 0.006, 9, top + 0.003)
            p.paint(np.broadcast_to(curb, p.degrees.shape), ((0.42, 0.42, 0.4), degrees - 1))
        for left in np.arange(-3, 3, 0.34):  # the line in the middle of the road
            p.paint(box(p.x, p.y, left, 0.690, left + 0.17, 0.702), ((0.75, 0.75, 0.7), 12.5))

    def _paint_houses(self) -> None:
        p, grain = self.still, self.lattice
        rng = np.random.default_rng((self.seed, 1))
        for number, left in enumerate(np.arange(-3, 3, 0.52)):
            right, top = left + 0.52, ROOFS + 0.09 * float(rng.random())
            if right < -self.edge or left > min(self.edge, 0.28):
                rng.random(24)
                continue  # on the right are trees
            tone = 0.16 + 0.12 * float(rng.random())
            wall = box(p.x, p.y, left, top, right, FAR_PAVEMENT)
            rows = np.floor(p.y / 0.009)
            bricks = grain[rows.astype(int) & 255, np.floor(p.x / 0.02 + rows % 2 / 2).astype(int)]
            mortar = ((p.y / 0.009) % 1 < 0.2) | ((p.x / 0.02 + rows % 2 / 2) % 1 < 0.1)
            gray = tone * (
                0.8 + 0.5 * bricks + 0.3 * fractal(p.x * 6, p.y * 6, grain) - 0.3 * mortar
            )
            color = np.float32(((1, 0.72, 0.6), (0.9, 0.85, 0.75), (0.8, 0.8, 0.85))[number % 3])
            p.paint(wall, ((0.0, 0.0, 0.0), 9 + number % 3))
            p.reflected += (wall < 0)[..., None] * (gray[..., None] * color - p.reflected)
            p.degrees += (wall < 0) * 0.5 * fractal(p.x * 4, p.y * 4, grain)
            p.paint(box(p.x, p.y, left, top - 0.01, right, top + 0.006), ((0.2, 0.2, 0.2), 6))
            for story, y in enumerate((top + 0.05, top + 0.18, top + 0.31)):
                for column in range(3):
                    x, luck = left + 0.075 + 0.15 * column, float(rng.random())
                    bottom = y + 0.085
                    if story == 2 and column == 1:  # the door
                        bottom, luck = FAR_PAVEMENT - 0.01, 0.3
                    if y + 0.085 > FAR_PAVEMENT - 0.03:
                        continue
                    frame = box(p.x, p.y, x - 0.006, y - 0.006, x + 0.076, bottom + 0.006)
                    p.paint(frame, ((0.3, 0.29, 0.27), 11))
                    lit = ((16.0, 10.0, 4.5), 16) if luck > 0.66 else ((0.05, 0.06, 0.08), 12.5)
                    for pane in (x, x + 0.038):
                        p.paint(box(p.x, p.y, pane, y, pane + 0.032, bottom), lit)

    def _paint_trees(self) -> None:
        """Paint a park on the right, a hedge and trees: as warm as the air, and dark."""
        p = self.still
        rng = np.random.default_rng((self.seed, 2))
        leaves = fractal(p.x * 40, p.y * 50, self.lattice)
        park = np.clip((p.x - 0.27) / 0.02, 0, 1)
        hedge = (p.y > 0.40 + 0.012 * leaves) & (p.y < FAR_PAVEMENT) & (park > 0.5)
        self._paint_leaves(hedge, leaves, 0.08)
        for x in (0.36, 0.62, 0.8, 1.05, 1.3, 1.6, 1.9, 2.2):
            trunk: Part = ((0, -0.1, 0, 2.5), 0.45, 0.3, WOOD)
            p.paint_parts([trunk], x, FAR_PAVEMENT, FAR_METER)
            relief = np.full(p.degrees.shape, -9, np.float32)
            columns = slice(*np.searchsorted(p.x[0], [x - 0.25, x + 0.25]))
            for angle, away, size in rng.random((14, 3)) * (2 * np.pi, 1, 0.04):
                cx = x + 0.12 * away**0.5 * np.cos(angle)
                cy = 0.27 + 0.13 * away**0.5 * np.sin(angle)
                squared = (p.x[:, columns] - cx) ** 2 + (p.y - cy) ** 2
                relief[:, columns] = np.maximum(
                    relief[:, columns], 1 - squared / (0.04 + size) ** 2
                )
            crown = relief + 0.6 * leaves > 0.05
            self._paint_leaves(crown, leaves + 0.5 * np.maximum(relief, -1), 0.12)

    def _paint_leaves(self, where: npt.NDArray[np.bool_], relief: Plane, tone: float) -> None:
        p = self.still
        green = np.clip(tone + 0.08 * relief, 0.02, 1)[..., None] * np.float32((0.5, 1, 0.35))
        p.reflected += where[..., None] * (green - p.reflected)
        p.degrees += where * (7 + 0.8 * relief - p.degrees)

    def _light(self) -> None:
        """Light what stands still: the lamps make pools on the ground, and spots on the walls."""
        p = self.still
        for x in self.lamps:
            pool = (p.x - x) ** 2 / 0.08 + (p.y - FAR_PAVEMENT - 0.3) ** 2 / 0.03
            wall = (p.x - x) ** 2 / 0.03 + (p.y - 0.25) ** 2 / 0.03
            p.light += 0.9 * np.exp(-pool) + 0.35 * np.exp(-wall)
        p.light += 0.06 * np.exp(-(((p.y - 0.02) / 0.1) ** 2))
        p.reflected *= p.light[..., None]

    def _paint_lamps_and_sign(self) -> None:
        """Paint what is on the near pavement, in front of what moves beyond it."""
        p = self.still
        before = p.copy()
        for x in self.lamps:
            post: list[Part] = [
                ((0, 0, 0, 4.2), 0.16, 0.10, STEEL),
                ((0, 4.2, 0.7, 4.35), 0.10, 0.14, STEEL),
                ((0.4, 4.30, 0.8, 4.34), 0.12, 0.12, ((9.0, 8.0, 6.0), 22)),
            ]
            p.paint_parts(post, x, NEAR_PAVEMENT + 0.03, NEAR_METER, 0.4)
        meter, feet = NEAR_METER * 0.75, NEAR_PAVEMENT + 0.02
        posts: list[Part] = [((x, 0, x, 2.6), 0.08, 0.08, STEEL) for x in (-0.7, 0.7)]
        p.paint_parts(posts, 0, feet, meter, 0.3)
        top = feet - 3.1 * meter
        sign = box(p.x, p.y, -1.3 * meter, top, 1.3 * meter, top + 1.05 * meter)
        p.paint(sign, BOARD, light=np.float32(0.6))
        for place, strokes in GLYPHS:
            letters: list[Part] = [(line, 0.1, 0.1, LETTERS) for line in strokes]
            p.paint_parts(letters, place * meter, top + 0.83 * meter, meter, 0.6)
        self.in_front = (p.degrees != before.degrees).nonzero()
        for x in self.lamps:
            glow = np.exp(-np.hypot(p.x - x - 0.11, p.y - 0.08) / 0.04)
            p.reflected += 1.5 * glow[..., None] * np.float32((1, 0.9, 0.7))

    def picture(self, time: float) -> tuple[Picture, float]:
        """Return the street at a time in seconds, and how much the headlights dazzle, 0 to 1."""
        p = self.still.copy()
        self._walk(p, time, FAR_PAVEMENT + 0.03, FAR_METER, -0.09, 0, COAT)
        self._walk(p, time, FAR_PAVEMENT + 0.04, FAR_METER, 0.11, 3, COAT)
        waiting = self.edge * 0.8 + 0.004 * float(np.sin(1.3 * time))
        p.paint_parts(standing(time), waiting, FAR_PAVEMENT + 0.01, FAR_METER, 0.04)
        dazzle = self._drive(p, time)
        p.degrees[self.in_front] = self.still.degrees[self.in_front]
        p.reflected[self.in_front] = self.still.reflected[self.in_front]
        self._walk(p, time, NEAR_PAVEMENT + 0.11, NEAR_METER, 0.22, 1, RED_COAT)
        if dazzle:
            self._glare(p, time, dazzle)
        return p, dazzle

    def _walk(
        self, p: Picture, time: float, feet: float, meter: float, speed: float, who: int, coat: Any
    ) -> None:
        """Paint somebody who walks across, again and again."""
        way = 2 * self.edge + meter
        x = (self.phases[who] / (2 * np.pi) * way + abs(speed) * time) % way - way / 2
        x, facing = (x, 1) if speed > 0 else (-x, -1)
        column = int(np.clip(np.searchsorted(p.x[0], x), 0, p.x.size - 1))
        row = int(np.clip(np.searchsorted(p.y[:, 0], feet), 0, p.y.size - 1))
        steps = 2 * np.pi * abs(speed) * time / meter / 1.5 + self.phases[who]
        light = float(p.light[row, column])
        p.paint_parts(walking(float(steps), coat), float(x), feet, meter, light, facing=facing)

    def _front(self, time: float) -> float:
        """Return where the front of the car is, which comes by again and again."""
        return -self.edge - 1 + 0.75 * ((time + self.phases[2] / 2) % 10)

    def _drive(self, p: Picture, time: float) -> float:
        """Paint the car, and its light on the road; return how much it dazzles, 0 to 1."""
        meter, ground, front = ROAD_METER, CAR_WHEELS, self._front(time)
        tail = front - 4.3 * meter
        if tail > self.edge + 0.1:
            return 0
        across, down = p.x - front, p.y - ground
        ahead = np.maximum(across / 0.35, -across / 0.03)
        beam = np.exp(-((down / 0.05) ** 2) - ahead)
        road = self.still.reflected / self.still.light[..., None]
        p.reflected += (0.7 * beam * (p.y > ROAD))[..., None] * road
        below = (p.x > tail) & (p.x < front)  # the warm engine
        p.degrees += 2.5 * np.exp(-((down - 0.01) ** 2) / 0.0006) * below
        column = int(np.clip(np.searchsorted(p.x[0], front), 0, p.x.size - 1))
        light = 0.5 * float(p.light[min(int(ground / p.pixel), p.y.size - 1), column]) + 0.1
        p.paint_parts(CAR, tail, ground, meter, light)
        coming = float(np.clip((front + self.edge + 0.2) / 0.3, 0, 1))
        return coming * float(np.clip((self.edge + 0.3 - front) / 0.3, 0, 1))

    def _glare(self, p: Picture, time: float, dazzle: float) -> None:
        """Paint what the headlights do in the lens of the visible camera."""
        front, up = self._front(time), CAR_WHEELS - 0.65 * ROAD_METER
        glare = 5 * dazzle * np.exp(-np.hypot(p.x - front, p.y - up) / 0.025)
        p.reflected += glare[..., None] * np.float32((1, 0.97, 0.85))

    def frame(self, number: int, bits: int = 16) -> Images:
        """Return a frame, thermal and visible."""
        time = number / RATE
        picture, dazzle = self.picture(time)
        rng = np.random.default_rng((self.seed, 3, number))
        return (
            self._counts(picture.degrees, time, rng, bits),
            self._exposed(picture.reflected, time, dazzle, rng),
        )

    def _counts(
        self, degrees: Plane, time: float, rng: np.random.Generator, bits: int
    ) -> npt.NDArray[Any]:
        """Return what the thermal camera makes of temperatures."""
        corrections, since = divmod(time + CORRECTION - 0.4, CORRECTION)
        of_correction = np.random.default_rng((self.seed, 4, int(corrections)))
        jump, gain = of_correction.uniform((-90, 0.94), (90, 1.06))
        gain += 0.02 * np.sin(time / 2.7 + self.phases[4])
        offset = jump + 30 * np.sin(time / 3.7 + self.phases[5]) + 12 * since
        counts = COUNTS_OF_ICE + offset + COUNTS_PER_KELVIN * gain * degrees
        counts += (1.5 + 2 * since / CORRECTION) * self.columns
        counts += 4 * rng.standard_normal(degrees.shape, np.float32)
        if bits == 16:
            return np.asarray(np.clip(counts + 0.5, 0, 16383), np.uint16)
        low, high = COUNTS_OF_8_BITS
        return np.asarray(np.clip((counts - low) * (255 / (high - low)) + 0.5, 0, 255), np.uint8)

    def _exposed(
        self, reflected: Plane, time: float, dazzle: float, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return what the visible camera makes of light."""
        step = np.random.default_rng((self.seed, 5, int(time / 1.7))).integers(-1, 2)
        exposure = 1.5 * (1 + 0.06 * np.sin(time / 1.9 + self.phases[6])) * 1.09 ** float(step)
        exposure /= 1 + 0.7 * dazzle
        value = np.sqrt(np.clip(reflected * np.float32(exposure), 0, 1))
        value += 0.012 * rng.standard_normal(value.shape, np.float32)
        return np.asarray(np.clip(value, 0, 1) * 255 + 0.5, np.uint8)


def walking(phase: float, coat: Material) -> list[Part]:
    """Return a person at a phase of the step, facing right, 1.75 m tall, from far to near parts."""
    parts: list[Part] = []
    for side, shade in ((np.pi, 0.9), (0.0, 1.0)):  # the far arm and leg, the near ones
        swing = float(np.sin(phase + side))
        bend = 0.35 + 0.45 * max(float(np.cos(phase + side)), 0)
        knee = (0.45 * float(np.sin(0.5 * swing)), 0.92 - 0.45 * float(np.cos(0.5 * swing)))
        angle = 0.5 * swing - bend
        foot = (knee[0] + 0.44 * float(np.sin(angle)), knee[1] - 0.44 * float(np.cos(angle)))
        elbow = (-0.27 * float(np.sin(0.5 * swing)), 1.38 - 0.27)
        hand = (elbow[0] + 0.24 * float(np.sin(0.4 - 0.5 * swing)), elbow[1] - 0.22)
        (color, degrees), (legs, legs_degrees) = coat, TROUSERS
        sleeve: Material = ((color[0] * shade, color[1] * shade, color[2] * shade), degrees)
        trouser: Material = (legs, legs_degrees * shade)
        limb: list[Part] = [
            ((0, 0.92, *knee), 0.20, 0.16, trouser),
            ((*knee, *foot), 0.16, 0.11, trouser),
            ((*foot, foot[0] + 0.14, foot[1] - 0.03), 0.11, 0.08, ((0.02, 0.02, 0.02), 14)),
            ((0, 1.38, *elbow), 0.13, 0.11, sleeve),
            ((*elbow, *hand), 0.11, 0.09, sleeve),
            ((*hand, *hand), 0.10, 0.10, SKIN),
        ]
        parts = [*parts, *limb] if side else [*parts, *body(coat), *limb]
    return parts


def body(coat: Material) -> list[Part]:
    """Return head and trunk."""
    return [
        ((0.02, 1.42, 0.04, 1.55), 0.12, 0.12, SKIN),
        ((0.04, 1.62, 0.05, 1.66), 0.20, 0.20, SKIN),
        ((0.02, 1.70, 0.03, 1.71), 0.19, 0.17, ((0.05, 0.03, 0.02), 24)),  # hair
        ((0.00, 0.92, 0.01, 1.34), 0.28, 0.36, coat),
    ]


def standing(time: float) -> list[Part]:
    """Return a person who waits, and lifts a hand now and then."""
    lifted = 0.25 * max(0.0, float(np.sin(time * 0.8)))
    return [
        ((-0.10, 0.9, -0.13, 0.08), 0.19, 0.12, TROUSERS),
        ((0.10, 0.9, 0.13, 0.08), 0.19, 0.12, TROUSERS),
        *body(COAT),
        ((-0.19, 1.38, -0.26, 0.92), 0.13, 0.10, COAT),
        ((0.19, 1.38, 0.30, 1.05 + lifted), 0.13, 0.10, COAT),
        ((0.30, 1.05 + lifted, 0.30, 1.08 + lifted), 0.11, 0.11, SKIN),
    ]


CAR: list[Part] = [  # from its rear at 0 to its front at 4.3 m, from far to near parts
    ((0.15, 0.28, 0.35, 0.28), 0.10, 0.10, EXHAUST),
    ((1.25, 1.02, 2.35, 1.10), 0.66, 0.62, PAINT),
    ((1.15, 1.00, 2.85, 0.96), 0.50, 0.40, PAINT),
    ((1.30, 1.08, 1.75, 1.12), 0.40, 0.42, GLASS),
    ((2.02, 1.12, 2.48, 1.06), 0.42, 0.36, GLASS),
    ((0.32, 0.62, 3.95, 0.60), 0.58, 0.52, PAINT),
    ((3.05, 0.74, 3.95, 0.68), 0.30, 0.26, HOOD),
    ((3.85, 0.45, 4.10, 0.45), 0.20, 0.18, HOOD),  # the grille
    ((0.85, 0.33, 0.85, 0.33), 0.66, 0.66, TIRE),
    ((3.40, 0.33, 3.40, 0.33), 0.66, 0.66, TIRE),
    ((0.85, 0.33, 0.85, 0.33), 0.34, 0.34, ((0.35, 0.35, 0.36), 33)),  # brakes are hot
    ((3.40, 0.33, 3.40, 0.33), 0.34, 0.34, ((0.35, 0.35, 0.36), 36)),
    ((0.06, 0.70, 0.06, 0.78), 0.10, 0.10, ((6.0, 0.5, 0.3), 15)),
    ((4.12, 0.64, 4.18, 0.64), 0.16, 0.16, ((40.0, 38.0, 32.0), 24)),
]


def frames(
    width: int = 640, height: int = 480, count: int = 600, seed: int = 0, bits: int = 16
) -> Iterator[Images]:
    """Yield the frames: thermal `(H, W)`, uint16 or uint8 as `bits` says; visible `(H, W, 3)`."""
    street = Street(width, height, seed)
    return (street.frame(number, bits) for number in range(count))


def write_frames(folder: Path, images: Iterable[Images]) -> None:
    """Write `ir/000000.png`, `vis/000000.png` and so on."""
    for name in ("ir", "vis"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(images):
        for name, image in zip(("ir", "vis"), pair, strict=True):
            iio.imwrite(folder / name / f"{number:06}.png", image, compress_level=1)


def write_stacks(folder: Path, images: Iterable[Images]) -> None:
    """Write `ir.tif` and `vis.tif`, a page for each frame."""
    import tifffile

    with (
        tifffile.TiffWriter(folder / "ir.tif", bigtiff=True) as thermal,
        tifffile.TiffWriter(folder / "vis.tif", bigtiff=True) as visible,
    ):
        for pair in images:
            for file, image in zip((thermal, visible), pair, strict=True):
                gray = "minisblack" if image.ndim == 2 else "rgb"
                file.write(image, photometric=gray, contiguous=False)


def write_videos(folder: Path, images: Iterable[Images]) -> None:
    """Write `ir.mkv` and `vis.mkv`, lossless: FFV1, of 16 or 8 bits gray and of 8 bits RGB."""
    import av

    with (
        av.open(folder / "ir.mkv", "w") as thermal,
        av.open(folder / "vis.mkv", "w") as visible,
    ):
        images = iter(images)
        sample = next(images, None)
        rest = chain([sample] if sample else [], images)
        streams = []
        for container, image in zip((thermal, visible), sample or (), strict=False):
            stream = container.add_stream("ffv1", rate=RATE)
            stream.height, stream.width = image.shape[:2]
            stream.pix_fmt = {("uint16", 2): "gray16le", ("uint8", 2): "gray"}.get(
                (str(image.dtype), image.ndim), "bgr0"
            )
            streams.append((container, stream))
        for number, pair in enumerate(rest):
            for (container, stream), image in zip(streams, pair, strict=True):
                form = {"gray16le": "gray16le", "gray": "gray"}.get(stream.pix_fmt, "rgb24")
                frame = av.VideoFrame.from_ndarray(image, format=form)
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        for container, stream in streams:
            container.mux(stream.encode(None))


WRITERS = {"frames": write_frames, "stack": write_stacks, "video": write_videos}


def size(text: str) -> tuple[int, int]:
    """Return the width and the height."""
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    """Write a sequence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=size, default=(640, 480), metavar="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bits", type=int, choices=(8, 16), default=16, help="of the thermal one")
    parser.add_argument("--as", dest="form", choices=WRITERS, default="frames")
    arguments = parser.parse_args()
    width, height = arguments.size
    arguments.folder.mkdir(parents=True, exist_ok=True)
    images = frames(width, height, arguments.frames, arguments.seed, arguments.bits)
    WRITERS[arguments.form](arguments.folder, images)
    print(f"wrote {arguments.frames} frames to {arguments.folder}")


if __name__ == "__main__":
    main()
