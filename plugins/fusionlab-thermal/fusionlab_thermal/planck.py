"""From the counts of a thermal camera to temperatures.

The measured signal is the sum of what the object emits, what it reflects, and what the air and
the window before the lens emit (measurement formula of FLIR's user manuals; Minkina & Dudzik 2009,
doi:10.1002/9780470682234, chapter 2):

    W = t_win (e t W(T_obj) + (1 - e) t W(T_refl) + (1 - t) W(T_air)) + (1 - t_win) W(T_win)

where the counts of a black body are the calibration curve of the camera, Planck's law with five
constants,

    W(T) + O = R1 / (R2 (exp(B / T) - F))

and the transmission of the air at the distance d, with h grams of water per cubic meter, is

    t = X exp(-sqrt(d) (a1 + b1 sqrt(h))) + (1 - X) exp(-sqrt(d) (a2 + b2 sqrt(h)))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KELVIN = 273.15
"""0 degrees Celsius in kelvin."""


@dataclass(frozen=True)
class Radiometry:
    """The constants of a camera and the conditions of an image, as the file states them."""

    emissivity: float
    distance: float
    """To the object, in meters."""
    reflected: float
    """Apparent temperature of what the object reflects, in kelvin, as all temperatures here."""
    air: float
    window: float
    window_transmission: float
    humidity: float
    """Relative humidity of the air, 0..1."""
    r1: float
    b: float
    f: float
    o: float
    r2: float
    alpha1: float = 0
    alpha2: float = 0
    beta1: float = 0
    beta2: float = 0
    x: float = 1

    def usable(self) -> bool:
        """Return whether temperatures follow from these numbers; a camera may leave them zero."""
        positive = (self.r1, self.r2, self.b, self.air, self.reflected, self.window)
        if not all(math.isfinite(value) and value > 0 for value in positive):
            return False
        try:
            shares = (self.emissivity, self.window_transmission, self.transmission())
            others = map(self.counts, (self.reflected, self.air, self.window))
            return all(0 < share <= 1 for share in shares) and all(map(math.isfinite, others))
        except (OverflowError, ZeroDivisionError):
            return False

    def transmission(self) -> float:
        """Return the transmission of the air between object and camera."""
        t = self.air - KELVIN
        water = self.humidity * math.exp(
            1.5587 + 6.939e-2 * t - 2.7816e-4 * t**2 + 6.8455e-7 * t**3
        )
        root, path = math.sqrt(max(water, 0)), math.sqrt(max(self.distance, 0))
        return self.x * math.exp(-path * (self.alpha1 + self.beta1 * root)) + (
            1 - self.x
        ) * math.exp(-path * (self.alpha2 + self.beta2 * root))

    def counts(self, kelvin: float) -> float:
        """Return the counts that a black body of a temperature gives."""
        return self.r1 / (self.r2 * (math.exp(self.b / kelvin) - self.f)) - self.o

    def celsius(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Return the temperatures of objects with these counts; NaN where none has them."""
        e, t, w = self.emissivity, self.transmission(), self.window_transmission
        others = (
            w * ((1 - e) * t * self.counts(self.reflected) + (1 - t) * self.counts(self.air))
            + (1 - w) * self.counts(self.window)
        )  # fmt: skip  # one line per term of the formula
        of_object = (counts - others) / (w * e * t)
        with np.errstate(divide="ignore", invalid="ignore"):
            argument = self.r1 / (self.r2 * (of_object + self.o)) + self.f
            kelvin = self.b / np.log(argument)
        beyond = ~(of_object + self.o > 0) | ~(kelvin > 0)
        celsius: NDArray[np.float64] = np.where(beyond, np.nan, kelvin - KELVIN)
        return celsius
