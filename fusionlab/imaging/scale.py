"""Input scale: which values of a source become black and white before it is encoded.

Photographs fill the range of their type, measurements do not: the counts of a thermal camera
may take up half a percent of 16 bits. The scale changes the result as much as the strategy does,
so it is an explicit setting of every source:

* `auto`, the default: the range of the integer type, or 0..1 for floats; or the window that the
  file states, such as one of DICOM. An evaluation refuses
  images that take up too little of it, see `fusionlab.imaging.range_use`, others warn;
* `full`: the same, for images that are meant to take up little of it;
* `minmax`: from the smallest to the largest value of the image;
* `percentile=LOW,HIGH`: between two percentiles of its values, by default 1 and 99;
* `LO,HI`: between two fixed values of the source, so that a series of images keeps one scale and
  does not flicker;
* `20C,40C`: the same, with a unit, which is converted to that of the source: C, F or K for
  temperatures, HU for X-ray attenuation. A source whose file states no unit is refused.

Values below black and above white are clipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, distinct_texts
from fusionlab.imaging.each_source import one_for_each
from fusionlab.namespaces import (
    Array,
    ArrayT,
    as_array,
    as_dtype,
    detached,
    dtype_name,
    eps,
    is_floating,
    is_on_cuda,
    item_size,
    like,
    namespace_of,
)

WHITE = {"uint8": 255, "uint16": 65535}
"""Integer type -> value of white, for the types that have one by convention, by bit depth."""

_KELVIN: dict[str, tuple[float, float]] = {
    "K": (1, 0),
    "C": (1, 273.15),
    "F": (5 / 9, 459.67 * 5 / 9),
}
"""Unit of temperature -> factor and summand that make kelvin of it."""

_UNIT = re.compile(rf"(.*[\d.])({'|'.join((*_KELVIN, 'HU'))})")
"""A limit with a unit."""

CHOOSE_A_SCALE = "choose a scale: minmax, percentile or LO,HI"
"""What to do about a source whose values have no black and white by convention."""

COMPUTE_DTYPE = "float32"
"""The dtype of the planes that backbones and strategies compute with."""

Parts = Callable[[], Iterable[tuple[Array, Array | None]]]
"""Yields images `(N, C, h, w)` in parts, such as bands of rows, each time it is called; and which
of their pixels are data, `(N, 1, h, w)`, None if all are. Others are not looked at."""


@dataclass(frozen=True)
class Scale:
    """How one source is scaled; `parse` reads its text form, `str` writes it."""

    kind: Literal["auto", "full", "minmax", "percentile", "fixed"] = "full"
    low: float = 0
    """The percentile or the value that becomes black."""
    high: float = 0
    """The percentile or the value that becomes white."""
    unit: str = ""
    """Of fixed limits: C, F, K or HU; empty: they are values of the source."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `auto`, `full`, `minmax`, `percentile`, `percentile=1,99`, `LO,HI` or `20C,40C`.

        Raises:
            FusionlabError: the text is none of these, LOW is not below HIGH, or the two have
                different units.
        """
        if text in ("auto", "full", "minmax"):
            return cls(text)  # type: ignore[arg-type]  # narrowed by the line above
        name, equals, limits = text.rpartition("=")
        if text == "percentile":
            name, equals, limits = text, "=", "1,99"
        found = [_UNIT.fullmatch(limit) for limit in limits.split(",")]
        units = {match[2] if match else "" for match in found}
        unit = units.pop() if len(units) == 1 and name != "percentile" else ""
        try:
            low, high = (float(limit.removesuffix(unit)) for limit in limits.split(","))
        except ValueError:
            low = high = math.nan
        if name == "percentile" and 0 <= low < high <= 100:
            return cls("percentile", low, high)
        if not equals and low < high and math.isfinite(high - low):
            return cls("fixed", low, high, unit)
        raise FusionlabError(
            "a scale must be auto, full, minmax, percentile=LOW,HIGH within 0..100, or LO,HI with "
            "LO below HI, with a unit (20C,40C) or without; got "
            f"{text!r}",
            code="scale-syntax",
        )

    @property
    def of_type(self) -> bool:
        """Whether the range of the type becomes black and white, whatever the values are."""
        return self.kind in ("auto", "full")

    def in_unit(self, unit: str, name: str) -> Self:
        """Return the scale with its limits in the values of a source.

        Args:
            unit: of the values of the source, as `LoadedImage.unit`; empty: unknown.
            name: of the source, for the error.

        Raises:
            FusionlabError: the scale has a unit that cannot be converted to that of the source.
        """
        if self.unit in ("", unit):
            return replace(self, unit="")
        if not {self.unit, unit} <= _KELVIN.keys():
            has = f"are in {unit}" if unit else "have no unit that is known"
            raise FusionlabError(
                f"the scale {self} is in {self.unit}, but the values of {name} {has}; give limits "
                "in its own values, LO,HI",
                code="scale-unit",
                option="scale",
            )
        factor, summand = _KELVIN[self.unit]
        to_factor, to_summand = _KELVIN[unit]
        # more digits would show the rounding of binary fractions: 68F is 20C, not 20.000000000006C
        low, high = (
            round((factor * limit + summand - to_summand) / to_factor, 9)
            for limit in (self.low, self.high)
        )
        return replace(self, low=low, high=high, unit="")

    def __str__(self) -> str:
        low, high = (repr(float(limit)).removesuffix(".0") for limit in (self.low, self.high))
        limits = f"{low}{self.unit},{high}{self.unit}"
        return {"percentile": f"percentile={limits}", "fixed": limits}.get(self.kind, self.kind)

    def limits(self, images: Array, name: str) -> NDArray[np.float64]:
        """Return the values that become black and white, per image.

        Args:
            images: `(N, C, H, W)` of any real dtype, an array or a tensor; the channels share their
                limits.
            name: of the source, for error messages.

        Returns:
            `(N, 2)`, float64, in the units of the images.

        Raises:
            FusionlabError: a value is NaN or infinite; or, for `auto` and `full`, the type has no
                white by convention or floats lie outside 0..1.
        """
        parts = ((images, None),)
        return self.measure(lambda: parts, len(images), dtype_name(images), name)[0]

    def measure(
        self, parts: Parts, count: int, dtype: str, name: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the limits of images that come in parts, and their extremes.

        Args:
            parts: yields the images, `(count, C, h, w)` each.
            count: how many images there are.
            dtype: of the images, its name.
            name: of the source, for error messages.

        Returns:
            The limits, see `limits`; and the smallest and largest value of each image, `(count, 2)`
            in float64, NaN where the limits do not require looking at the values.

        Raises:
            FusionlabError: as `limits`.
        """
        if self.of_type and dtype in WHITE:
            limits = np.array([[0, WHITE[dtype]]] * count, np.float64)
            return limits, np.full_like(limits, math.nan)
        extremes = [_extremes(parts, number, name) for number in range(count)]
        pairs = [
            self._limits(parts, number, dtype, *extremes[number], name) for number in range(count)
        ]
        return np.array(pairs, np.float64), np.array(extremes, np.float64)

    def _limits(
        self,
        parts: Parts,
        number: int,
        dtype: str,
        minimum: float,
        maximum: float,
        name: str,
    ) -> tuple[float, float]:
        """Return the limits of one image of a batch, whose extremes are known."""
        if self.kind in ("minmax", "percentile") and not math.isfinite(maximum - minimum):
            texts = distinct_texts(minimum, maximum)
            raise FusionlabError(
                f"{name} has values from {' to '.join(texts)}, a range too large for the "
                "scale; choose fixed limits LO,HI",
                code="range-overflow",
                option="scale",
            )
        match self.kind:
            case "auto" | "full":
                return full_range(dtype, minimum, maximum, name)
            case "minmax":
                return minimum, maximum
            case "percentile":
                low, high = percentiles(_values_of(parts, number), (self.low, self.high))
                return low, high
            case "fixed":
                scale = self.in_unit("", name)
                return scale.low, scale.high

    def apply(self, images: ArrayT, limits: Array) -> ArrayT:
        """Scale images `(N, C, H, W)` to float32 in 0..1 with limits `(N, 2)`, float64.

        An image with a single value becomes black.
        """
        given: Array = images
        dtype, xp = dtype_name(given), namespace_of(given)
        scaled: ArrayT
        with np.errstate(over="ignore", invalid="ignore"):  # of pixels that are no data
            if self.of_type:
                unit = as_dtype(given, COMPUTE_DTYPE)
                # floats may lie outside 0..1 by rounding, see `tolerance`
                scaled = xp.clip(unit, 0, 1) if is_floating(dtype) else unit / WHITE[dtype]
                return scaled
            # float32 holds 16-bit counts exactly; larger numbers would lose their differences in it
            wide = as_dtype(given, "float64" if item_size(dtype) > 2 else "float32")
            low, high = limits.T[..., None, None, None]  # (N, 1, 1, 1) each
            span, black = (
                as_dtype(like(values, given), dtype_name(wide)) for values in (high - low, low)
            )
            unit = (wide - black) / xp.where(span > 0, span, 1)
            # equal limits have no values between them: everything above is white
            scaled = as_dtype(xp.where(span > 0, xp.clip(unit, 0, 1), unit > 0), COMPUTE_DTYPE)
            return scaled


def _extremes(parts: Parts, number: int, name: str) -> tuple[float, float]:
    """Return the smallest and the largest value of one image of a batch."""
    minimum, maximum, not_finite, size = math.inf, -math.inf, 0, 0
    for part, valid in parts():
        mask = None if valid is None else valid[number, 0]
        measure = _measured_there if is_on_cuda(part) else _measured_here
        low, high, wrong, count = measure(part[number], mask)
        minimum, maximum = min(minimum, low), max(maximum, high)
        not_finite, size = not_finite + wrong, size + count
    if not_finite:
        raise FusionlabError(
            f"{name} holds NaN or infinity at {not_finite} of {size} values; replace them by "
            "numbers first",
            code="not-finite",
        )
    return minimum, maximum


def _measured_here(image: Array, mask: Array | None) -> tuple[float, float, int, int]:
    """Return the smallest and largest value that is data, how many are not finite, and how many.

    Args:
        image: `(C, h, w)`.
        mask: which pixels are data, `(h, w)`; None: all.
    """
    values = _values(image, mask)
    if not values.size:
        return math.inf, -math.inf, 0, 0
    wrong = values.size - int(np.isfinite(values).sum())
    return float(values.min()), float(values.max()), wrong, values.size


def _measured_there(image: Array, mask: Array | None) -> tuple[float, float, int, int]:
    """Return the same of a tensor on a GPU, which is waited for once, and where the image stays."""
    values = as_dtype(detached(image), "float64")
    data = values.new_ones(values.shape[1:], dtype=bool) if mask is None else mask
    figures = namespace_of(values).stack(
        [
            values.where(data, math.inf).amin(),
            values.where(data, -math.inf).amax(),
            as_dtype((~values.isfinite() & data).sum(), "float64"),
            as_dtype(data.sum() * len(values), "float64"),
        ]
    )
    low, high, wrong, count = as_array(figures).tolist()
    return low, high, int(wrong), int(count)


def _values_of(parts: Parts, number: int) -> Iterator[NDArray[Any]]:
    """Yield the values of one image of a batch that are data."""
    for part, valid in parts():
        values = _values(part[number], None if valid is None else valid[number, 0])
        if values.size:
            yield values


def _values(image: Array, mask: Array | None) -> NDArray[Any]:
    """Return the values of an image that are data, `(C, h, w)` or `(C, n)`."""
    values = as_array(image)
    return values if mask is None else values[:, as_array(mask)]


def percentiles(parts: Iterable[NDArray[Any]], percents: Sequence[float]) -> list[float]:
    """Return percentiles of all values of an image in parts, with linear interpolation.

    Integers of up to 16 bits are counted in a histogram instead of sorted.
    """
    remaining = iter(parts)
    first = next(remaining)
    if first.dtype.kind == "f" or first.dtype.itemsize > 2:
        wide = np.concatenate([part.ravel() for part in (first, *remaining)]).astype(np.float64)
        return [float(value) for value in np.percentile(wide, percents)]
    lowest = int(np.iinfo(first.dtype).min)
    counts = np.zeros(int(np.iinfo(first.dtype).max) - lowest + 1, np.int64)
    for part in chain((first,), remaining):
        counts += np.bincount(part.ravel().astype(np.int64) - lowest, minlength=len(counts))
    cumulative = counts.cumsum()
    values = []
    for percent in percents:
        rank = percent / 100 * (cumulative[-1] - 1)
        ranks = (math.floor(rank), math.ceil(rank))
        below, above = np.searchsorted(cumulative, ranks, side="right")
        values.append(float(lowest + below + (above - below) * (rank - math.floor(rank))))
    return values


def tolerance(dtype: str) -> float:
    """Return how far outside 0..1 floats may lie by the rounding of what made them.

    Resampling or averaging values of 0..1 goes beyond by a few units in the last place: 8 of
    float32 (1e-6), also in float64, which often holds results of float32; 2 of narrower types.
    Such values count as 0 and 1.
    """
    return max(8 * eps("float32"), 2 * eps(dtype))


def full_range(
    dtype: str, minimum: float, maximum: float, name: str, remedy: str = CHOOSE_A_SCALE
) -> tuple[float, float]:
    """Return the values of black and white of a type by convention.

    Args:
        dtype: of the image, its name.
        minimum: its smallest value.
        maximum: its largest value.
        name: of the source, for error messages.
        remedy: what the errors say to do.

    Raises:
        FusionlabError: the type has none, or floats lie outside 0..1, by more than their
            `tolerance`, or are NaN.
    """
    if dtype in WHITE:
        return 0, WHITE[dtype]
    if not is_floating(dtype):
        raise FusionlabError(
            f"{name} has values of the type {dtype}, which has no white by convention; {remedy}",
            code="no-white",
            option="scale" if remedy is CHOOSE_A_SCALE else "",
        )
    beyond = tolerance(dtype)
    if not (minimum >= -beyond and maximum <= 1 + beyond):  # false for NaN, too
        low, high, *_ = distinct_texts(minimum, maximum, 0, 1)
        raise FusionlabError(
            f"{name} must hold floats in 0..1, got values from {low} to {high}; {remedy}",
            code="out-of-range",
            option="scale" if remedy is CHOOSE_A_SCALE else "",
        )
    return 0, 1


def parse_scales(scale: str | Scale | Sequence[str | Scale]) -> tuple[Scale, ...]:
    """Parse one scale, or several: one per source.

    Raises:
        FusionlabError: a text is not a scale, or the sequence is empty.
    """
    scales = [scale] if isinstance(scale, str) or not isinstance(scale, Sequence) else scale
    if not scales:
        raise FusionlabError("expected a scale, got none", code="scale-syntax", option="scale")
    return tuple(Scale.parse(str(text)) for text in scales)


class Measured(Protocol):
    """An image whose file may say what its values mean."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def unit(self) -> str:
        """The unit of its values; empty: unknown."""

    @property
    def stated_range(self) -> tuple[float, float] | None:
        """The values that its file states to be black and white; None: it does not say."""


def scales_of(images: Sequence[Measured], scales: Sequence[Scale]) -> list[Scale]:
    """Return one scale for each image, in its own values: limits in its unit, `auto` as it states.

    Raises:
        FusionlabError: as `scales_for` and `Scale.in_unit`.
    """
    return [
        Scale("fixed", *image.stated_range)
        if scale.kind == "auto" and image.stated_range is not None
        else scale.in_unit(image.unit, image.name)
        for image, scale in zip(images, scales_for(scales, len(images)), strict=True)
    ]


def scales_for(scales: Sequence[Scale], k: int) -> list[Scale]:
    """Return one scale for each of k sources; a single scale applies to all.

    Raises:
        FusionlabError: their number is neither 1 nor k.
    """
    return one_for_each(scales, k, "scale", "scale", "number-of-scales")
