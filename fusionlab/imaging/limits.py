"""Limits over time: which values are black and white in each frame of a sequence.

A scale or a range policy that is measured, such as `minmax`, measures every frame anew. A hot
object that enters the image makes everything else darker at once: the sequence flickers. These
policies say what of an earlier frame, or of all frames, decides instead:

* `frame`: nothing; each frame has its own limits, as single images have;
* `first`: the first frame has measured for all;
* `fixed=LO,HI`: two values in gray levels of the result, 0 to 255; sources then need a scale that
  is not measured;
* `two-pass`: the lowest and the highest limit that any frame measures; all frames are measured
  before the first is fused, so that a frame depends on those after it;
* `causal=KEEP`, by default 0.95: the limits follow the frames, by a share of 1 - KEEP of the
  difference in each: L_t = L_(t-1) + (1 - KEEP) (M_t - L_(t-1)), with M_t what frame t measures.

Under each of them a sequence of equal frames has the limits of one of them, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from fusionlab.errors import FusionlabError

Pair = tuple[float, float]
"""The values that become black and white."""

KEEP = 0.95
"""Share of the earlier limits that `causal` keeps: they follow a jump half way in 14 frames."""


@dataclass(frozen=True)
class LimitsPolicy:
    """How limits change over time; `parse` reads its text form, `str` writes it."""

    kind: Literal["frame", "first", "fixed", "two-pass", "causal"] = "causal"
    low: float = 0
    """Of `fixed`: the gray level of the result that becomes black."""
    high: float = 0
    """Of `fixed`: the one that becomes white."""
    keep: float = KEEP
    """Of `causal`: the share of the earlier limits that is kept, from 0 to below 1."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `frame`, `first`, `fixed=LO,HI`, `two-pass`, `causal` or `causal=KEEP`.

        Raises:
            FusionlabError: the text is none of these (code `limits-syntax`).
        """
        if text in ("frame", "first", "two-pass", "causal"):
            return cls(text)  # type: ignore[arg-type]  # narrowed by the line above
        name, _, values = text.partition("=")
        try:
            numbers = [float(value) for value in values.split(",")]
        except ValueError:
            numbers = []
        match name, numbers:
            case "causal", [keep] if 0 <= keep < 1:
                return cls("causal", keep=keep)
            case "fixed", [low, high] if low < high and math.isfinite(high - low):
                return cls("fixed", low, high)
        raise FusionlabError(
            "limits must be frame, first, fixed=LO,HI with LO below HI, two-pass, or causal=KEEP "
            f"with KEEP from 0 to below 1; got {text!r}",
            code="limits-syntax",
            option="limits",
        )

    def __str__(self) -> str:
        low, high, keep = (f"{value:g}" for value in (self.low, self.high, self.keep))
        return {"fixed": f"fixed={low},{high}", "causal": f"causal={keep}"}.get(
            self.kind, self.kind
        )


class LimitsOverTime:
    """The limits of one source, or of the result, from frame to frame.

    Args:
        policy: how they change; not `frame`, under which nothing is kept.
    """

    def __init__(self, policy: LimitsPolicy) -> None:
        self.policy = policy
        self.last: Pair | None = None
        """Those of the frame before; None: there was none."""
        self.settled = policy.kind == "fixed"
        """Whether they no longer change."""
        if self.settled:
            self.last = policy.low, policy.high

    @property
    def known(self) -> Pair | None:
        """The limits of the next frame, if they do not depend on it."""
        return self.last if self.settled else None

    def after(self, measured: Pair) -> Pair:
        """Return the limits of the next frame, which measures these; changes nothing.

        A frame that has none, because no pixel of it is data, gets those of the frame before.
        """
        if self.last is None or self.settled:
            return self.last or measured
        if not math.isfinite(measured[1] - measured[0]):
            return self.last
        pairs = zip(self.last, measured, strict=True)
        match self.policy.kind:
            case "two-pass":  # while all frames are measured
                return min(self.last[0], measured[0]), max(self.last[1], measured[1])
            case "causal":
                low, high = (old + (1 - self.policy.keep) * (new - old) for old, new in pairs)
                return low, high
        return measured

    def advance(self, limits: Pair) -> None:
        """Take over the limits of a frame that has been fused."""
        if not self.settled and math.isfinite(limits[1] - limits[0]):
            self.last = limits
            self.settled = self.policy.kind == "first"
