"""Fill pixels that are no data, so that an encoder sees a plausible neighborhood beside data.

A pixel of source i that is no data gets

    mean over j of  s_j + m_ij      over the sources j that are data there,
    m_ij = mean of (s_i - s_j)      over the pixels of a window that are data in both,

what the others show, as bright as source i is around. Where no other source is data, it gets the
mean of source i over its data in the window. Where the window holds no such pixels, the
mean over the whole image takes its place, which counts as one pixel in every window. What the fill
depends on lies within `RADIUS`, and the means of the whole image are computed once, so tiles are
filled like the whole image, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.imaging.color import luminance
from fusionlab.namespaces import Array, as_dtype, dtype_name, namespace_of
from fusionlab.ops import box_average

RADIUS = 16
"""Half-width of the window, in pixels: the largest receptive field of an encoder that ships, so
that what an encoder sees from a pixel that is data has data in its window."""

SAMPLES = 512
"""Of larger images rows and columns are left out of the means of the whole image, so that about
this many remain."""


class Filler:
    """Fills the sources of one fusion.

    Args:
        images: a sample of the pixels of the whole sources, `(N, C, h, w)` each, C 1 or 3, in 0..1.
        valid: which of them are data, `(k, N, 1, h, w)`.
    """

    def __init__(self, images: Sequence[Array], valid: Array) -> None:
        self._images, self._valid = images, valid
        self._means: dict[tuple[int, int | None], Array] = {}

    def fill(self, images: Sequence[Array], valid: Array) -> list[Array]:
        """Fill a part of the images, and what lies around it as far as `RADIUS`.

        Args:
            images: the part of each source, `(N, C, h, w)`; finite also where it is no data.
            valid: which pixels are data, `(k, N, 1, h, w)`.

        Returns:
            The images in 0..1. Pixels that are data have not changed.
        """
        return [self._filled(number, images, valid) for number in range(len(images))]

    def _filled(self, number: int, images: Sequence[Array], valid: Array) -> Array:
        image, holes = images[number], ~valid[number]
        if not holes.any():
            return image
        xp = namespace_of(image)
        total, count = xp.zeros_like(image), xp.zeros_like(image[:, :1])
        for other_number, other in enumerate(images):
            here = holes & valid[other_number]
            if not here.any():
                continue
            alike = _like(other, image)
            both = valid[number] & valid[other_number]
            shift = _local_mean(image - alike, both, self._mean(number, other_number))
            total = total + xp.where(here, alike + shift, 0)
            count = count + here
        alone = count == 0
        filled = total / xp.clip(count, 1, None)
        if (holes & alone).any():
            own = _local_mean(image, valid[number], self._mean(number))
            filled = xp.where(alone, own, filled)
        return xp.where(holes, xp.clip(filled, 0, 1), image)

    def _mean(self, number: int, other: int | None = None) -> Array:
        """Return the mean of a source over its data, or of its difference to another one.

        Where the sample has no such pixels, gray, or no difference.
        """
        if (number, other) not in self._means:
            image, valid, default = self._images[number], self._valid[number], 0.5
            if other is not None:
                image = image - _like(self._images[other], image)
                valid, default = valid & self._valid[other], 0.0
            xp = namespace_of(image)
            wide = as_dtype(xp.where(valid, image, 0), "float64")
            total = wide.sum(axis=(-2, -1), keepdims=True)
            count = valid.sum(axis=(-2, -1), keepdims=True)
            mean = xp.where(count > 0, total / xp.clip(count, 1, None), default)
            self._means[number, other] = as_dtype(mean, dtype_name(image))
        return self._means[number, other]


def stacked_masks(parts: Sequence[tuple[Array, Array | None]]) -> Array:
    """Return the masks of all sources, `(k, N, 1, h, w)`, of their images and masks."""
    masks = [
        namespace_of(image).ones_like(image[:, :1]) > 0 if valid is None else valid
        for image, valid in parts
    ]
    return namespace_of(masks[0]).stack(masks)


def filled(parts: Sequence[tuple[Array, Array | None]]) -> list[Array]:
    """Fill whole images.

    Args:
        parts: the image of each source, `(N, C, h, w)` in 0..1 where it is data, and which pixels
            are data, `(N, 1, h, w)`; None: all.
    """
    images = [
        image if valid is None else namespace_of(image).where(valid, image, 0)
        for image, valid in parts
    ]
    valid = stacked_masks(parts)
    return Filler(images, valid).fill(images, valid)


def _like(image: Array, model: Array) -> Array:
    """Return an image with as many channels as another one."""
    if model.shape[1] == 1:
        return luminance(image)
    return namespace_of(image).broadcast_to(image, model.shape)


def _local_mean(image: Array, valid: Array, everywhere: Array) -> Array:
    """Return the mean over the valid pixels of a window and one of the value `everywhere`."""
    one = 1 / (2 * RADIUS + 1) ** 2
    total = box_average(namespace_of(image).where(valid, image, 0), RADIUS)
    count = box_average(as_dtype(valid, dtype_name(image)), RADIUS)
    return (total + one * everywhere) / (count + one)
