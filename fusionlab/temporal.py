"""Temporal consistency: what carries over from one frame of a sequence to the next.

Frames that are fused one by one flicker: what is measured in each of them, such as its minimum and
maximum, jumps, and weights follow the noise. A `TemporalConsistency` keeps

* black and white of scales and of a range policy that are measured (`fusionlab.imaging.limits`),
* the color mode, which is chosen by the first frame that shows color,
* the weights of the sources, smoothed over time where nothing moves
  (`fusionlab.engine.weight_history`).

Nothing here imports torch until weights are smoothed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import in_color, mode_of
from fusionlab.imaging.color import Color
from fusionlab.imaging.given import given_scales, given_sources, with_files_read
from fusionlab.imaging.limits import LimitsOverTime, LimitsPolicy, Pair
from fusionlab.imaging.range_policy import RangeOverTime, RangePolicy, one_frame_error
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.sources import BaseSource, CountedParts, open_sources

if TYPE_CHECKING:
    from fusionlab.engine.weight_history import FrameWeights, WeightHistory
    from fusionlab.fusion import Fusion

Pass = Literal["scales", "range"]
"""What all frames are measured for before the first is fused: black and white of the sources, or of
the result, which depends on the former."""

MEASURED = ("minmax", "percentile")
"""Kinds of scales that look at the values of an image."""


class TemporalConsistency:
    """What carries over from frame to frame; pass one to every call of `fuse` for a sequence.

        temporal = TemporalConsistency(limits="causal", smoothing=0.8)
        for frames in zip(infrared, visible):
            show(fusion.fuse(frames, temporal=temporal).image)

    A call that raises leaves it as it was. With `two-pass` limits, measure all frames first:

        for what in temporal.passes(fusion):
            for frames in sequence():
                temporal.measure(fusion, frames, what)
            temporal.settle()

    Args:
        limits: how limits that are measured change over time: `frame`, `first`, `fixed=LO,HI`,
            `two-pass` or `causal=0.95`; see `fusionlab.imaging.limits`.
        smoothing: share of its earlier weights that a place keeps from frame to frame where nothing
            moves, from 0 (off) to below 1. The strategy must merge by weights.
        motion: by how many gray levels of 255 something must change near a place, in any source,
            for it to keep nothing; see `fusionlab.engine.weight_history`.

    Raises:
        FusionlabError: a value is none of these (codes `limits-syntax`, `out-of-bounds`).
    """

    def __init__(
        self, limits: str | LimitsPolicy = "causal", smoothing: float = 0.0, motion: float = 8.0
    ) -> None:
        if not 0 <= smoothing < 1:
            raise FusionlabError(
                f"smoothing must be from 0 to below 1, got {smoothing}",
                code="out-of-bounds",
                option="temporal",
            )
        if not motion > 0:
            raise FusionlabError(
                f"motion must be more than 0 gray levels, got {motion}",
                code="out-of-bounds",
                option="motion",
            )
        self.limits = limits if isinstance(limits, LimitsPolicy) else LimitsPolicy.parse(limits)
        self.smoothing = smoothing
        self.motion = motion
        self._color: Color | None = None
        self._scales: list[LimitsOverTime | None] = []
        self._range = LimitsOverTime(self.limits)
        self._weights: WeightHistory | None = None
        self._measuring: Pass | None = None
        self._start_weights()

    def __repr__(self) -> str:
        settings = f"limits={str(self.limits)!r}, smoothing={self.smoothing:g}"
        return f"TemporalConsistency({settings}, motion={self.motion:g})"

    def describe(self) -> dict[str, Any]:
        """Return the settings as JSON values, for records."""
        return {
            "limits": str(self.limits),
            "smoothing": self.smoothing,
            **({"motion": self.motion} if self.smoothing else {}),
        }

    def check(self, fusion: Fusion) -> None:
        """Refuse a fusion by which no frame could be fused.

        Raises:
            FusionlabError: limits are fixed and a scale is measured (code `measured-scale`), or
                weights are to be smoothed and there are none (code `no-weights`).
        """
        self._check_fixed(fusion.scale)
        if self.smoothing:
            fusion.check_smoothing()

    # ------------------------------------------------------------------ one frame

    def begin(
        self,
        images: Sequence[Any],
        names: Sequence[str],
        *,
        scales: Sequence[Scale],
        color: Color | Literal["auto"],
        range_policy: RangePolicy | None,
    ) -> FrameStep:
        """Return how the next frame is fused; called by `fuse`, not by those who call `fuse`.

        Args:
            images: the sources, as `given_sources` returns them.
            names: of the sources.
            scales: of the fusion.
            color: the color mode of the fusion.
            range_policy: of the fusion.

        Raises:
            FusionlabError: limits are fixed and a scale is measured (code `measured-scale`), limits
                of two passes have not been measured (code `not-measured`), or the sources are
                batches and a frame depends on the one before (code `one-frame`).
        """
        opened = open_sources(images, names)
        ordered = scales_for(scales, len(opened))
        self._check_fixed(ordered)
        self._check_measured(ordered, range_policy)
        used = self._scale_limits(opened, ordered)
        found = self._found_color(images, names) if color == "auto" else None
        count = opened[0].images
        if count > 1 and color == "auto" and found is None:
            raise one_frame_error(count)
        mode = color if color != "auto" else found or "per-channel"
        return FrameStep(
            scales=[
                scale if limits is None else Scale("fixed", *limits)
                for scale, limits in zip(ordered, used, strict=True)
            ],
            limits=used,
            modes=[mode] * count,
            found=found,
            minmax=RangeOverTime(self._range) if self._follows(range_policy) else None,
            weights=None if self._weights is None else self._weights.next_frame(),
        )

    def end(self, step: FrameStep) -> None:
        """Keep what the next frame needs, once a frame is fused; called by `fuse`, as `begin`."""
        if step.found is not None:
            self._color = step.found
        for over_time, limits in zip(self._scales, step.limits, strict=False):
            if over_time is not None and limits is not None:
                over_time.advance(limits)
        if step.minmax is not None and step.minmax.used is not None:
            self._range.advance(step.minmax.used)
        if self._weights is not None and step.weights is not None:
            self._weights.advance(step.weights)

    def independent(self, fusion: Fusion) -> bool:
        """Return whether the next frames can be fused in any order, also at the same time.

        It may become True after the first frame, and then remains so.
        """
        if self.smoothing or self._measuring:
            return False
        if fusion.color == "auto" and self._color is None:
            return False
        if self._follows(fusion.range_policy) and not self._range.settled:
            return False
        if self.limits.kind == "frame" or not _any_measured(fusion.scale):
            return True
        return bool(self._scales) and all(t is None or t.settled for t in self._scales)

    def _follows(self, range_policy: RangePolicy | None) -> bool:
        """Return whether the limits of the result depend on earlier frames."""
        return range_policy == "minmax" and self.limits.kind != "frame"

    def _check_fixed(self, scales: Sequence[Scale]) -> None:
        if self.limits.kind == "fixed" and _any_measured(scales):
            raise FusionlabError(
                "limits that are fixed are those of the result; give each source a scale that is "
                "not measured, too, such as full or LO,HI",
                code="measured-scale",
                option="scale",
            )

    def _check_measured(self, scales: Sequence[Scale], range_policy: RangePolicy | None) -> None:
        if self.limits.kind != "two-pass" or self._measuring:
            return
        unsettled = self._follows(range_policy) and not self._range.settled
        if unsettled or (_any_measured(scales) and not self._scales):
            raise FusionlabError(
                "limits of two passes need all frames to be measured first; see "
                "TemporalConsistency.measure, or choose causal limits",
                code="not-measured",
                option="limits",
            )

    def _scale_limits(
        self, opened: Sequence[BaseSource], scales: Sequence[Scale]
    ) -> list[Pair | None]:
        """Return black and white of each source whose scale is measured, for the next frame."""
        if self.limits.kind in ("frame", "fixed"):
            return [None] * len(opened)
        if not self._scales:
            self._scales = [
                LimitsOverTime(self.limits) if scale.kind in MEASURED else None for scale in scales
            ]
        if len(self._scales) != len(opened):
            raise FusionlabError(
                f"the frames before had {len(self._scales)} sources, got {len(opened)}",
                code="number-of-sources",
            )
        return [
            None if over_time is None else _limits_of(source, scale, over_time)
            for source, scale, over_time in zip(opened, scales, self._scales, strict=True)
        ]

    def _found_color(self, images: Sequence[Any], names: Sequence[str]) -> Color | None:
        """Return the color mode of the sequence; None: no frame has shown color yet."""
        if self._color is not None:
            return self._color
        kinds = [kind for of_source in in_color(images, names) for kind in of_source]
        can_show_color = any(source.channels > 1 for source in open_sources(images, names))
        return mode_of(kinds) if any(kinds) or not can_show_color else None

    # ------------------------------------------------------------------ two passes

    def passes(self, fusion: Fusion) -> tuple[Pass, ...]:
        """Return for what all frames must be measured before the first is fused, in this order."""
        if self.limits.kind != "two-pass":
            return ()
        scales: tuple[Pass, ...] = ("scales",) if _any_measured(fusion.scale) else ()
        return (*scales, "range") if self._follows(fusion.range_policy) else scales

    def measure(self, fusion: Fusion, sources: object, what: Pass) -> None:
        """Measure a frame in one of the passes; frames come in their order.

        Args:
            fusion: fuses the sequence.
            sources: as for `Fusion.fuse`.
            what: one of `passes`.

        Raises:
            FusionlabError: as `Fusion.fuse`.
        """
        self._measuring = what
        if what == "range":
            fusion.fuse(sources, temporal=self)  # type: ignore[arg-type]  # it says what is wrong
            return
        read = with_files_read(sources)
        scales = given_scales(read, fusion.scale)
        images, names = given_sources(read, nodata=fusion.nodata)
        opened = open_sources(images, names)
        limits = self._scale_limits(opened, scales_for(scales, len(opened)))
        for over_time, pair in zip(self._scales, limits, strict=True):
            if over_time is not None and pair is not None:
                over_time.advance(pair)

    def settle(self) -> None:
        """End a pass: what it has measured no longer changes."""
        measured = [self._range] if self._measuring == "range" else self._scales
        for over_time in measured:
            if over_time is not None:
                over_time.settled = over_time.last is not None
        self._measuring = None
        self._start_weights()

    # ------------------------------------------------------------------ keeping it in a file

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what has been kept so far, such as for a file, from which a run resumes."""
        state: dict[str, NDArray[Any]] = {}
        named = [("range", self._range)] + [
            (f"source {number}", over_time)
            for number, over_time in enumerate(self._scales)
            if over_time is not None
        ]
        for name, over_time in named:
            known = [] if over_time.last is None else [*over_time.last, over_time.settled]
            state[f"limits of {name}"] = np.array(known, np.float64)
        state["sources"] = np.array(len(self._scales))
        state["color"] = np.array(self._color or "")
        return state if self._weights is None else state | self._weights.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue where another object of the same settings was when it returned this state.

        Raises:
            FusionlabError: it is none (code `bad-state`).
        """
        try:
            scales = [
                self._restored(state, f"source {number}") for number in range(state["sources"])
            ]
            limits = self._restored(state, "range")
            color: Any = str(state["color"])
            assert limits is not None
            self._start_weights()
            if self._weights is not None:
                self._weights.restore(state)
        except (KeyError, ValueError, TypeError, AssertionError) as error:
            raise FusionlabError(
                f"what was kept of the earlier frames is damaged: {error!r}; begin anew",
                code="bad-state",
            ) from error
        self._scales, self._range, self._color = scales, limits, color or None

    def _restored(self, state: Mapping[str, NDArray[Any]], name: str) -> LimitsOverTime | None:
        if f"limits of {name}" not in state:
            return None
        over_time = LimitsOverTime(self.limits)
        known = state[f"limits of {name}"].tolist()
        if known:
            low, high, settled = known
            over_time.last, over_time.settled = (low, high), bool(settled)
        return over_time

    def _start_weights(self) -> None:
        if self.smoothing:
            from fusionlab.engine.weight_history import WeightHistory

            self._weights = WeightHistory(self.smoothing, self.motion)


@dataclass(frozen=True)
class FrameStep:
    """How one frame of a sequence is fused; made by `TemporalConsistency.begin`."""

    scales: Sequence[Scale]
    """One for each source."""
    limits: Sequence[Pair | None]
    """Black and white of each source whose scale is measured."""
    modes: list[Color]
    """The color mode of each image."""
    found: Color | None
    """The color mode that is kept for the frames to come; None: none yet."""
    minmax: RangeOverTime | None
    """Measures the result; None: its limits do not depend on other frames."""
    weights: FrameWeights | None
    """Smooths the weights; None: they are not smoothed."""


def _any_measured(scales: Sequence[Scale]) -> bool:
    return any(scale.kind in MEASURED for scale in scales)


def _limits_of(source: BaseSource, scale: Scale, over_time: LimitsOverTime) -> Pair:
    """Return black and white of the next frame of a source."""
    if over_time.known is not None:
        return over_time.known
    if source.images > 1:
        raise one_frame_error(source.images)
    limits, _ = scale.measure(CountedParts(source), 1, source.dtype, source.name)
    low, high = limits[0].tolist()
    return over_time.after((low, high))
