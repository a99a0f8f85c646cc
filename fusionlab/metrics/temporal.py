"""Metrics over time: what changes from frame to frame in a fused sequence, and should not.

With F_t the fused frame at time t, S_t a source, D F = F_t - F_(t-1) and D S likewise:

    flicker = mean over the pixels of the distance of D F from the interval that 0 and the D S of
              all sources span                                                    gray levels
    BiSWE   = E(t, t - 1) + E(t, t + 1), where E(t, n) is the mean of |F_t - F_n moved onto F_t|
              over the pixels that are visible in both frames of every source     gray levels
    MS2R    = mean over the sources, the pixels and both directions of |A F - A S|, where A is how
              much the optical flow changes from one step to the next     pixels per frame squared

Each value belongs to a few consecutive frames: T frames have T - 1 values of flicker, and T - 2 of
BiSWE and MS2R, whose frame is the middle one of three.

BiSWE and MS2R are those of VF-Bench (Zhao et al. 2025), as its program computes them; they need
optical flow, and their values depend on who estimates it. VF-Bench takes SEA-RAFT, we take DIS
(`fusionlab.metrics.optical_flow`), so that its published values do not compare with ours; between
methods scored by one of them they do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.metrics.inputs import Images, checked_frames
from fusionlab.metrics.optical_flow import Flows, warped

AGREEMENT = 1.0
"""Pixels: a flow and the flow back that miss the start by less show the same point of the scene."""


def flicker(
    fused: Tensor,
    sources: Tensor,
    flows: Flows | None = None,  # noqa: ARG001  # as all metrics over time are called
    convention: str = "default",
) -> Tensor:
    """Compute what changes between two frames without a cause in the sources; lower is better.

    At each pixel, the change of the fused image F_t - F_(t-1) should lie between the smallest and
    the largest change of any source, or between them and 0. The flicker is the mean over the pixels
    of how far it lies outside, in gray levels. A fusion whose weights do not change over time, lie
    in 0..1 and sum to at most 1 has none, whatever moves, however noisy the sources are, also if
    its result is rounded to whole levels as its sources are. A change of brightness by c gray
    levels, c in static sources, counts as c; a change of contrast counts as well, even if the mean
    brightness stays. A result with more contrast than its sources amplifies their changes, and the
    surplus counts.

    Sources that flicker explain that a result does: score with one scale for the whole sequence,
    not with one for each frame.

    Args:
        fused: `(T, H, W)` in 0..255, consecutive frames, T >= 2.
        sources: `(k, T, H, W)` in 0..255, any k.
        flows: not used.
        convention: there is none besides the default.

    Returns:
        `(T - 1,)`, float64, in 0..255: of the frames 1, 2, ..., each against the frame before it.

    Raises:
        FusionlabError: the frames do not fit together, or there are fewer than two.

    Reference: defined here.
    """
    frames = checked_frames("flicker", fused, sources, convention)
    change, causes = frames.fused.diff(dim=0), frames.sources.diff(dim=1)
    low, high = causes.amin(dim=0).clamp(max=0), causes.amax(dim=0).clamp(min=0)
    unexplained = (low - change).clamp(min=0) + (change - high).clamp(min=0)
    return unexplained.mean(dim=(-2, -1))


def bidirectional_self_warping_error(
    fused: Tensor, sources: Tensor, flows: Flows, convention: str = "default"
) -> Tensor:
    """Compute the bi-directional self-warping error (BiSWE), gray levels; lower is better.

    BiSWE_t = E(t, t - 1) + E(t, t + 1), with E(t, n) the mean of |F_t(p) - F_n(p + f(p))| over
    pixels p, where f is the optical flow of the fused frames from t to n, and F_n is interpolated
    bilinearly. A pixel counts if it is visible in both frames of every source: if the flow from t
    to n, followed by the flow back at the place where it leads, ends less than 1 pixel from p.

    Differs from VF-Bench: pixels whose flow leaves the image do not count; a frame without any
    pixel that counts has the value nan, not 0; it takes any number of sources, not two; and color
    is scored by its luminance, not by the mean of the errors of red, green and blue.

    Args:
        fused: `(T, H, W)` in 0..255, consecutive frames, T >= 3.
        sources: `(k, T, H, W)` in 0..255, any k.
        flows: between the frames; see `Flows.between`.
        convention: there is none besides the default.

    Returns:
        `(T - 2,)`, float64, in 0..510: of the frames 1 to T - 2, counted from 0.

    Raises:
        FusionlabError: the frames or flows do not fit together, or there are fewer than three.

    Reference: Zhao et al. 2025, arXiv:2505.19858.
    """
    frames = checked_frames("BiSWE", fused, sources, convention)
    _check_flows("BiSWE", frames, flows)
    forward = [_error(frames, flows, t, 1) for t in range(1, len(fused) - 1)]
    backward = [_error(frames, flows, t, -1) for t in range(1, len(fused) - 1)]
    return torch.stack(forward) + torch.stack(backward)


def motion_smoothness(
    fused: Tensor, sources: Tensor, flows: Flows, convention: str = "default"
) -> Tensor:
    """Compare changes of motion with those of the sources (MS2R); lower is better.

    MS2R_t = mean over the sources S, over pixels p and over both directions, of
    |A_F(p) - A_S(p)|, with A(p) = f_(t -> t+1)(p) - f_(t-1 -> t)(p), the difference of two optical
    flows at one place: where the result moves as smoothly, or as abruptly, as its sources, it is 0.
    The name stands for motion smoothness with two reference videos; it takes any number of them.

    Args:
        fused: `(T, H, W)` in 0..255, consecutive frames, T >= 3.
        sources: `(k, T, H, W)` in 0..255, any k.
        flows: between the frames; see `Flows.between`.
        convention: there is none besides the default.

    Returns:
        `(T - 2,)`, float64, in pixels per frame squared, from 0: of the frames 1 to T - 2, counted
        from 0.

    Raises:
        FusionlabError: the frames or flows do not fit together, or there are fewer than three.

    Reference: Zhao et al. 2025, arXiv:2505.19858.
    """
    _check_flows("MS2R", checked_frames("MS2R", fused, sources, convention), flows)
    of_fused = flows.fused_forward.double().diff(dim=0)
    of_sources = flows.sources_forward.double().diff(dim=1)
    return (of_fused - of_sources).abs().mean(dim=(0, 2, 3, 4))


def _error(frames: Images, flows: Flows, t: int, step: int) -> Tensor:
    """Return the mean difference of frame t from its neighbor t + step, moved onto it."""
    pair = t if step > 0 else t - 1
    there, back = (
        (flows.fused_forward, (flows.sources_forward, flows.sources_backward))
        if step > 0
        else (flows.fused_backward, (flows.sources_backward, flows.sources_forward))
    )
    moved, counted = warped(frames.fused[t + step], there[pair].double())
    for leaving, returning in zip(back[0][:, pair], back[1][:, pair], strict=True):
        returned, inside = warped(returning.double(), leaving.double())
        missed = (leaving.double() + returned).norm(dim=0)
        counted &= inside & (missed < AGREEMENT)
    error = (frames.fused[t] - moved).abs()
    return (error * counted).sum() / counted.sum()  # nan where no pixel counts


def _check_flows(name: str, frames: Images, flows: Flows) -> None:
    k, count, height, width = frames.sources.shape
    fused, sources = (count - 1, 2, height, width), (k, count - 1, 2, height, width)
    expected = (fused, fused, sources, sources)
    for field, flow, shape in zip(Flows._fields, flows, expected, strict=True):
        if flow.shape != shape:
            raise FusionlabError(
                f"{name} takes the flow between its frames, {field} {shape}, got "
                f"{tuple(flow.shape)}",
                code="size-mismatch",
            )
