"""Input scale: which values of a source become black and white before it is encoded.

Pictures fill the range of their type, measurements do not: the counts of a thermal camera
may take up half a percent of 16 bits. What is done about it changes the result as much as a
strategy does, so it is an explicit setting of every source:

* `full`: the range of the integer type, or 0..1 for floats;
* `minmax`: from the smallest to the largest value of the image;
* `percentile=LOW,HIGH`: between two percentiles of its values, by default 1 and 99;
* `LO,HI`: between two fixed values, in the units of the source, so that a series of images
  keeps one scale and does not flicker.

Values beyond black and white are cut off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from fusionlab.errors import FusionlabError

WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The integer types that have an agreed white, from shallow to deep, and its value."""

FLOAT = torch.float32
"""What everything is computed in."""


@dataclass(frozen=True)
class Scale:
    """How one source is scaled; `parse` and `str` are its text on the command line."""

    kind: Literal["full", "minmax", "percentile", "fixed"] = "full"
    low: float = 0
    """The percentile or the value that becomes black."""
    high: float = 0
    """The percentile or the value that becomes white."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `full`, `minmax`, `percentile`, `percentile=1,99` or `LO,HI`.

        Raises:
            FusionlabError: it is none of these, or its limits are not in order.
        """
        if text in ("full", "minmax"):
            return cls(text)  # type: ignore[arg-type]  # narrowed by the line above
        name, equals, limits = text.rpartition("=")
        if text == "percentile":
            name, equals, limits = text, "=", "1,99"
        try:
            low, high = map(float, limits.split(","))
        except ValueError:
            low = high = math.nan
        if name == "percentile" and 0 <= low < high <= 100:
            return cls("percentile", low, high)
        if not equals and low < high and math.isfinite(high - low):
            return cls("fixed", low, high)
        raise FusionlabError(
            "a scale must be full, minmax, percentile=LOW,HIGH within 0..100, or LO,HI with LO "
            f"below HI; got {text!r}"
        )

    def __str__(self) -> str:
        low, high = (repr(float(limit)).removesuffix(".0") for limit in (self.low, self.high))
        limits = f"{low},{high}"
        return {"percentile": f"percentile={limits}", "fixed": limits}.get(self.kind, self.kind)

    def limits(self, images: Tensor, name: str) -> Tensor:
        """Return what becomes black and what becomes white, per image.

        Args:
            images: `(N, C, H, W)` of any real dtype; the channels share their limits.
            name: what an error calls them.

        Returns:
            `(N, 2)`, float64, in the units of the images.

        Raises:
            FusionlabError: a value is NaN or infinite; or, for `full`, the type has no agreed
                white or floats lie outside 0..1.
        """
        if self.kind == "full" and images.dtype in WHITE:
            return torch.tensor([[0, WHITE[images.dtype]]] * len(images), dtype=torch.float64)
        if images.dtype == torch.bfloat16:  # numpy has no such type; nothing is lost
            images = images.float()
        lows, highs = [], []
        for image in images.detach():
            values = image.cpu().numpy()
            least, most = float(values.min()), float(values.max())
            if not math.isfinite(most - least):  # the case for NaN, too
                bad = values.size - int(np.isfinite(values).sum())
                raise FusionlabError(
                    f"{name} holds NaN or infinity at {bad} of {values.size} values; replace "
                    "them by numbers first"
                )
            match self.kind:
                case "full":
                    limits = _full(images.dtype, least, most, name)
                case "minmax":
                    limits = least, most
                case "percentile":
                    wide = values.astype(np.float64)  # numpy subtracts, and integers wrap
                    low, high = np.percentile(wide, (self.low, self.high))
                    limits = float(low), float(high)
                case "fixed":
                    limits = self.low, self.high
            lows.append(limits[0])
            highs.append(limits[1])
        return torch.tensor([lows, highs], dtype=torch.float64).T

    def apply(self, images: Tensor, limits: Tensor) -> Tensor:
        """Scale images `(N, C, H, W)` to float32 in 0..1; an image of one value becomes black."""
        if self.kind == "full":
            return images.float() / WHITE.get(images.dtype, 1)
        low, high = limits.to(images.device).T[..., None, None, None]  # (N, 1, 1, 1) each
        # float32 holds 16-bit counts exactly; larger numbers lose their differences in it
        wide: Tensor = images.double() if images.dtype.itemsize > 2 else images.float()
        span = (high - low).to(wide)
        unit = (wide - low.to(wide)) / torch.where(span > 0, span, 1)
        # between equal limits lies nothing: what is above them is white
        scaled: Tensor = torch.where(span > 0, unit.clamp(0, 1), unit > 0).to(FLOAT)
        return scaled


def _full(dtype: torch.dtype, least: float, most: float, name: str) -> tuple[float, float]:
    """Return the limits of a type that has no agreed white, or refuse to guess them."""
    if not dtype.is_floating_point:
        raise FusionlabError(
            f"{name} is {str(dtype).removeprefix('torch.')}, which has no agreed white; choose "
            "its scale: minmax, percentile or LO,HI"
        )
    if least < 0 or most > 1:
        raise FusionlabError(
            f"{name} must hold floats in 0..1, got values from {least:.6g} to {most:.6g}; choose "
            "its scale: minmax, percentile or LO,HI"
        )
    return 0, 1


def parse_scales(scale: str | Scale | Sequence[str | Scale]) -> tuple[Scale, ...]:
    """Read one scale, or several: one a source.

    Raises:
        FusionlabError: one of them is no scale, or there is none.
    """
    given = [scale] if isinstance(scale, str) or not isinstance(scale, Sequence) else scale
    if not given:
        raise FusionlabError("expected a scale, got none")
    return tuple(Scale.parse(str(one)) for one in given)


def scales_for(scales: Sequence[Scale], k: int) -> list[Scale]:
    """Return one scale for each of k sources; a single one counts for all.

    Raises:
        FusionlabError: their number is neither one nor k.
    """
    if len(scales) not in (1, k):
        raise FusionlabError(
            f"expected one scale for all {k} sources or one for each, got {len(scales)}"
        )
    return list(scales) * (k if len(scales) == 1 else 1)
