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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
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
        return self.limits_of(lambda: (images,), len(images), images.dtype, name)

    def limits_of(
        self, parts: Callable[[], Iterable[Tensor]], count: int, dtype: torch.dtype, name: str
    ) -> Tensor:
        """Return the limits of images that come in parts; see `limits`.

        Args:
            parts: gives them, `(count, C, h, w)` each, as often as it is called.
            count: how many images there are.
            dtype: of them.
            name: what an error calls them.
        """
        if self.kind == "full" and dtype in WHITE:
            return torch.tensor([[0, WHITE[dtype]]] * count, dtype=torch.float64)
        found = [self._limits(parts, number, name) for number in range(count)]
        return torch.tensor(found, dtype=torch.float64)

    def _limits(
        self, parts: Callable[[], Iterable[Tensor]], number: int, name: str
    ) -> tuple[float, float]:
        """Return the limits of one image of a batch."""
        least, most, bad, size = math.inf, -math.inf, 0, 0
        for part in parts():
            values = _values(part[number])
            bad += values.size - int(np.isfinite(values).sum())
            size += values.size
            least, most = min(least, float(values.min())), max(most, float(values.max()))
        if bad:
            raise FusionlabError(
                f"{name} holds NaN or infinity at {bad} of {size} values; replace "
                "them by numbers first"
            )
        if self.kind in ("minmax", "percentile") and not math.isfinite(most - least):
            raise FusionlabError(
                f"{name} holds values from {least:.6g} to {most:.6g}, more than a scale can span; "
                "choose limits: LO,HI"
            )
        match self.kind:
            case "full":
                return _full(part.dtype, least, most, name)
            case "minmax":
                return least, most
            case "percentile":
                images = (_values(part[number]) for part in parts())
                low, high = _percentiles(images, (self.low, self.high))
                return low, high
            case "fixed":
                return self.low, self.high

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


def _values(image: Tensor) -> NDArray[Any]:
    if image.dtype == torch.bfloat16:  # numpy has no such type; nothing is lost
        image = image.float()
    values: NDArray[Any] = image.detach().cpu().numpy()
    return values


def _percentiles(parts: Iterable[NDArray[Any]], percents: Sequence[float]) -> list[float]:
    """Return percentiles of all values, linear between two of them; counted where they are few."""
    rest = iter(parts)
    first = next(rest)
    if first.dtype.kind == "f" or first.dtype.itemsize > 2:
        wide = np.concatenate([part.ravel() for part in (first, *rest)]).astype(np.float64)
        return [float(value) for value in np.percentile(wide, percents)]
    lowest = int(np.iinfo(first.dtype).min)
    counts = np.zeros(int(np.iinfo(first.dtype).max) - lowest + 1, np.int64)
    for part in chain((first,), rest):
        counts += np.bincount(part.ravel().astype(np.int64) - lowest, minlength=len(counts))
    upto = counts.cumsum()
    found = []
    for percent in percents:
        place = percent / 100 * (upto[-1] - 1)
        below, above = np.searchsorted(upto, (math.floor(place), math.ceil(place)), side="right")
        found.append(float(lowest + below + (above - below) * (place - math.floor(place))))
    return found


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
