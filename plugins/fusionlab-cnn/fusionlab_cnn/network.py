"""The siamese network that decides which of two patches of 16x16 pixels is the clearer one.

Both patches pass through the same three convolutions. On whole images the network is convolved over
all patches at once, one patch every two pixels, in strips of rows: its 128 maps at the resolution
of the image would take 6 GB for 12 megapixels.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

PATCH = 16
"""Edge of a patch, in pixels."""
WINDOW = PATCH // 2
"""Edge of a patch behind the pooling layer."""
MIN_SIZE = PATCH - 1
"""Edge of the smallest image that a patch covers: odd sizes are extended by one."""
STRIP_PIXELS = 2**15
"""About how many pixels are computed at once: 128 maps of them take 16 MiB in float32."""
MIN_STRIP_ROWS = 16
"""Pooled rows of the narrowest strip: one row on each side is computed twice."""


class Siamese(nn.Module):
    """Tell for each pixel how probable it is that the first of two images is the clearer one.

    Each image passes through three 3x3 convolutions with ReLU, from 1 to 64, 128 and 256 channels,
    with zeros beyond the border and a 2x2 maximum before the third. A linear layer compares the
    8x8 places of both patches: logit 0 is that of the second patch, logit 1 that of the first.

    Args:
        output_bias: whether the linear layer adds its biases in `forward`.
    """

    def __init__(self, *, output_bias: bool = True) -> None:
        super().__init__()
        self.output_bias = output_bias
        self.first = nn.Conv2d(1, 64, 3, padding=1)
        self.second = nn.Conv2d(64, 128, 3, padding=1)
        self.third = nn.Conv2d(128, 256, 3, padding=1)
        self.output = nn.Conv2d(512, 2, WINDOW)
        for layer in (self.first, self.second, self.third):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.xavier_normal_(self.output.weight)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """Return the weight map `(N, 1, h, w)` of the first of two images `(2, N, 1, h, w)`.

        The weight of a pixel is the mean of the probabilities of all patches that cover it. Images
        in 0..1; edges of less than 15 pixels are extended by repeating the last row or column.
        """
        height, width = images.shape[-2:]
        rows, columns = (max(0, MIN_SIZE - edge) for edge in (height, width))
        extended = pad(images.flatten(0, 1), (0, columns, 0, rows), mode="replicate")
        pairs = extended.unflatten(0, (2, -1)).to(self._dtype)
        with torch.autocast(images.device.type, enabled=False):
            probabilities = self.logits(pairs).sigmoid()
        return average_over_patches(probabilities)[..., :height, :width]

    @property
    def _dtype(self) -> torch.dtype:
        """At least single precision."""
        return torch.promote_types(self.output.weight.dtype, torch.float32)

    def logits(self, images: Tensor) -> Tensor:
        """Return logit 1 minus logit 0 of all patches of images `(2, N, 1, h, w)`.

        Patch (j, i) of the result `(N, 1, ceil(h/2) - 7, ceil(w/2) - 7)` begins at row 2j, column
        2i.
        """
        weight, bias = (self.output.get_parameter(name).to(images) for name in ("weight", "bias"))
        # one map for each image and place of the window, (2, 64, 256, 1, 1)
        kernels = (weight[1] - weight[0]).view(2, -1, WINDOW**2).mT[..., None, None]
        differences = torch.stack([self._differences(pair, kernels) for pair in images.unbind(1)])
        return differences + (bias[1] - bias[0]) if self.output_bias else differences

    def _differences(self, pair: Tensor, kernels: Tensor) -> Tensor:
        """Return the logits `(1, h', w')` of a pair `(2, 1, h, w)`, without bias."""
        rows, columns = (-(-edge // 2) for edge in pair.shape[-2:])
        width = columns - WINDOW + 1
        # row j + 7 collects what the rows j to j + 7 of the maps contribute to patch j
        total = pair.new_zeros((rows + WINDOW - 1, width))
        step = max(MIN_STRIP_ROWS, STRIP_PIXELS // (4 * columns))
        for top in range(0, rows, step):
            bottom = min(top + step, rows)
            first, second = (
                conv2d(self.encode(image[None], top, bottom), kernel)
                for image, kernel in zip(pair, kernels, strict=True)
            )
            places = (first + second).view(WINDOW, WINDOW, bottom - top, columns)
            for row, place in enumerate(places):
                shifted = reduce(torch.add, (place[n, :, n : n + width] for n in range(WINDOW)))
                begin = WINDOW - 1 - row
                total[begin + top : begin + bottom] += shifted
        return total[None, WINDOW - 1 : rows]

    def encode(self, images: Tensor, top: int = 0, bottom: int | None = None) -> Tensor:
        """Return the 256 maps of images `(N, 1, h, w)`, `(N, 256, ceil(h/2), ceil(w/2))`.

        Args:
            images: in 0..1.
            top: the first row of the maps to compute, from the rows of the images that it needs.
            bottom: the row after the last one; None: all rows.
        """
        height = images.shape[-2]
        rows = -(-height // 2)
        bottom = rows if bottom is None else bottom
        begin, end = max(top - 1, 0), min(bottom + 1, rows)  # what the third convolution needs
        part = _Rows(images, 0).cut(max(2 * begin - 2, 0), min(2 * end + 2, height))
        part = part.convolved(self.first).cut(max(2 * begin - 1, 0), min(2 * end + 1, height))
        part = part.convolved(self.second).cut(2 * begin, min(2 * end, height))
        # the authors append a row or column of zeros to odd sizes: the same, behind a ReLU
        part = _Rows(max_pool2d(part.maps, 2, ceil_mode=True), begin)
        return part.convolved(self.third).cut(top, bottom).maps


class _Rows:
    """The rows of maps `(N, C, h, w)` from row `first` of the whole image on."""

    def __init__(self, maps: Tensor, first: int) -> None:
        self.maps, self.first = maps, first

    def cut(self, top: int, bottom: int) -> _Rows:
        """Return the rows from `top` to before `bottom`."""
        return _Rows(self.maps[..., top - self.first : bottom - self.first, :], top)

    def convolved(self, layer: nn.Conv2d) -> _Rows:
        """Apply a 3x3 convolution, with zeros beyond the rows, and ReLU.

        Where the image has more rows, the outermost ones are wrong and have to be cut off.
        """
        # twice as fast as the other layout, and rows of one image are cut without a copy
        maps = self.maps.contiguous(memory_format=torch.channels_last)
        weight, bias = (layer.get_parameter(name).to(maps) for name in ("weight", "bias"))
        weight = weight.contiguous(memory_format=torch.channels_last)
        return _Rows(conv2d(maps, weight, bias, padding=1).relu_(), self.first)


def average_over_patches(probabilities: Tensor) -> Tensor:
    """Give each pixel the mean of the values of all patches that cover it.

    Args:
        probabilities: one value per patch, `(..., h', w')`; patch (j, i) begins at pixel (2j, 2i).

    Returns:
        Maps of all pixels, `(..., 2 h' + 14, 2 w' + 14)`.
    """
    means = _window_sums(probabilities) / _window_sums(torch.ones_like(probabilities))
    return means.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)


def _window_sums(maps: Tensor) -> Tensor:
    """Return the sums of 8x8 values, for all windows that overlap the maps."""
    extended = pad(maps, (WINDOW - 1,) * 4)
    for axis in (-2, -1):
        size = extended.shape[axis] - WINDOW + 1
        extended = reduce(torch.add, (extended.narrow(axis, n, size) for n in range(WINDOW)))
    return extended
