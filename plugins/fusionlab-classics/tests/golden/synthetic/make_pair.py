"""Make synthetic infrared and visible pairs by an integer recipe: s64 (64x64), s61 (53x61).

No random generator and no function of a math library takes part, so the images are the same on
every machine.
"""

import numpy as np


def noise(count, seed):
    """Return numbers of a linear congruential generator."""
    state, numbers = seed, np.empty(count, np.int64)
    for n in range(count):
        state = (1103515245 * state + 12345) % 2147483648
        numbers[n] = state >> 16
    return numbers


def make(rows, columns):
    """Return an infrared and a visible image, `(rows, columns)` in 8 bits."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.int64)
    # visible: oblique ramp, a checkered quarter, vertical stripes of growing period, mild noise
    visible = 60 + (80 * x) // columns + (40 * y) // rows
    checkered = 30 * (((x // 4) + (y // 4)) % 2)
    visible += np.where((y < rows // 2) & (x >= columns // 2), checkered, 0)
    visible += np.where(y >= (3 * rows) // 4, 25 * (((x * x) // 64) % 2), 0)
    visible += (noise(rows * columns, 1).reshape(rows, columns) % 9) - 4
    # infrared: dark smooth ground, a hot disc, a cold bar, a thin bright line, little noise
    infrared = 40 + (30 * y) // rows
    disc = (y - rows // 3) ** 2 + (x - columns // 3) ** 2 <= (rows // 6) ** 2
    infrared += np.where(disc, 170, 0)
    bar = (y >= (5 * rows) // 8) & (y < (6 * rows) // 8) & (x >= columns // 4)
    infrared += np.where(bar, -25, 0)
    infrared += np.where(x == (3 * columns) // 4, 90, 0)
    infrared += (noise(rows * columns, 7).reshape(rows, columns) % 5) - 2
    return np.clip(infrared, 0, 255).astype(np.uint8), np.clip(visible, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    from PIL import Image

    for name, size in {"s64": (64, 64), "s61": (53, 61)}.items():
        for kind, image in zip(("ir", "vi"), make(*size), strict=True):
            Image.fromarray(image).save(f"{name}_{kind}.png")
