"""Color modes: which gray planes of a color image are fused, and how color comes back.

* `auto`, resolved for each image by `fusionlab.imaging.arrays.color_modes`: `luma` where gray
  sources meet color ones, else `per-channel`. A source is gray if it has one channel, or three
  that are equal at every pixel.
* `per-channel`: red, green and blue are fused one by one, as in the paper (Section IV-D); a
  gray source is used for all three. A gray source therefore makes the result less saturated.
  Where each channel has weights of its own, as in the paper, hues may turn over: where yellow
  meets a bright gray source, blue alone is taken from that source, and yellow becomes blue.
* `luma`: only the luminance is fused. The chroma of the result is that of the color sources,
  weighted by its magnitude; gray sources have none and do not affect it. Where the fused
  luminance leaves no room in 0..1 for the chroma, `fit_to_range` makes the chroma smaller.
* `gray`: the luminance is fused, and the result is gray.

Luminance and chroma are those of BT.601 at full range (JFIF), on values 0..1:

    Y = 0.299 R + 0.587 G + 0.114 B,   Cb = (B - Y) / 1.772,   Cr = (R - Y) / 1.402

The chroma of k sources is merged as `C = sum_i |C_i| C_i / sum_i |C_i|`, Cb and Cr each, and 0
where all are 0: Eq. 4 of Prabhakar et al., DeepFuse (ICCV 2017, doi:10.1109/ICCV.2017.505),
written for any k and around 0 instead of 128.
"""

from __future__ import annotations

from typing import Literal

from fusionlab.namespaces import Array, ArrayT, as_dtype, dtype_name, namespace_of

Color = Literal["per-channel", "luma", "gray"]


def luminance(images: ArrayT) -> ArrayT:
    """Return Y `(N, 1, H, W)` of images `(N, C, H, W)` in 0..1, C 1 or 3; gray is its own Y."""
    given: Array = images
    if given.shape[1] == 1:
        return images
    red, green, blue = given[:, :1], given[:, 1:2], given[:, 2:]
    luma: ArrayT = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma


def chroma(images: Array) -> Array:
    """Return Cb and Cr `(N, 2, H, W)` in -0.5..0.5 of color images `(N, 3, H, W)` in 0..1."""
    luma = luminance(images)
    differences = [(images[:, 2:] - luma) / 1.772, (images[:, :1] - luma) / 1.402]
    return namespace_of(images).concatenate(differences, axis=1)


class MergedChroma:
    """The merged chroma of several sources, added one source at a time."""

    def __init__(self) -> None:
        self._weighted: Array = None
        self._magnitude: Array = None

    def add(self, images: Array, valid: Array | None = None) -> None:
        """Add one source `(N, C, H, W)` in 0..1; gray sources have no chroma.

        Nor has a source where it is not `valid`, `(N, 1, H, W)`; None: it is everywhere.
        """
        if images.shape[1] == 3:
            source_chroma = chroma(images)
            if valid is not None:
                source_chroma = namespace_of(images).where(valid, source_chroma, 0)
            magnitude = abs(source_chroma)
            weighted = magnitude * source_chroma
            first = self._weighted is None
            self._weighted = weighted if first else self._weighted + weighted
            self._magnitude = magnitude if first else self._magnitude + magnitude

    def result(self) -> Array | None:
        """Return the merged Cb and Cr `(N, 2, H, W)`; None if no source was in color."""
        if self._weighted is None:
            return None
        xp, colored = namespace_of(self._weighted), self._magnitude > 0
        return xp.where(colored, self._weighted / xp.where(colored, self._magnitude, 1), 0)


def recolored(luma: Array, merged: Array) -> Array:
    """Return the RGB image `(N, 3, H, W)` of Y `(N, 1, H, W)` and chroma `(N, 2, H, W)`.

    The result may lie outside 0..1 where the luminance is close to black or white.
    """
    merged = as_dtype(merged, dtype_name(luma))
    blue_difference, red_difference = merged[:, :1], merged[:, 1:]
    red = luma + 1.402 * red_difference
    blue = luma + 1.772 * blue_difference
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return namespace_of(luma).concatenate([red, green, blue], axis=1)


def fit_to_range(images: Array, luma: Array) -> Array:
    """Bring RGB images `(N, 3, H, W)` to 0..1, with the same hue and luminance.

    Where a channel lies outside 0..1, the chroma of the pixel is scaled towards 0 until all three
    fit: `Y + s (R - Y)` with the largest s that keeps every channel inside. Clipping each channel
    by itself would change the luminance and turn the hue. All other pixels stay as they are.

    Args:
        images: the result of `recolored`.
        luma: its luminance, `(N, 1, H, W)` in 0..1.
    """
    xp, offset = namespace_of(images), images - luma
    room = xp.where(offset > 0, 1 - luma, luma)
    outside = (images < 0) | (images > 1)
    scale = xp.where(outside, room / xp.where(outside, abs(offset), 1), 1)
    smallest = xp.amin(scale, axis=1, keepdims=True)
    fitted = xp.where(smallest < 1, luma + smallest * offset, images)
    return xp.clip(fitted, 0, 1)  # for the rounding of the sum
