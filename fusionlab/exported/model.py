"""Fuse images with an exported model: as `fusionlab.Fusion` does, in onnxruntime, without torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.engine.tiling import Tile, plan, tile_edge
from fusionlab.errors import FusionlabError
from fusionlab.exported.loading import check_values, load_graph
from fusionlab.exported.metadata import DTYPES
from fusionlab.fused import Fused, shown_bands
from fusionlab.imaging.arrays import Stack, color_modes
from fusionlab.imaging.color import Color
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.given import given_scales, given_sources, with_files_read
from fusionlab.imaging.nodata import parse_nodata
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.scale import Scale, parse_scales
from fusionlab.imaging.sources import unmasked
from fusionlab.namespaces import is_tensor
from fusionlab.plugins.failures import memory_errors
from fusionlab.temporal import FrameStep, TemporalConsistency
from fusionlab.threads import available_cores

PIXELS_AT_ONCE = 2 * 160 * 160
"""Of all sources of a tile. A pair of 960x960 takes about the same time in tiles of 128 to 320, and
larger ones take more memory: 2 KiB for each pixel of a source, on each thread."""

MAX_PIXELS_UNCUT = 2**24
"""Of an image that cannot be cut; its features take several GiB."""

MAX_VALUE = 2.0**16
"""Of a decoded image; see `fusionlab.engine.pipeline`."""


class ExportedModel:
    """An exported model, ready to fuse any number of images.

        model = ExportedModel("l1norm.onnx")
        fused = model.fuse([infrared, visible])

    Sources are arrays, paths and whatever else `fusionlab.Fusion` takes as arrays. Results are
    those of the method up to rounding; what the graph cannot do is refused: it leaves out no pixels
    that are no data, has no weight maps, and weights each color channel by itself.

    Args:
        path: the file that `fusionlab export` has written.
        range_policy: `clip`, `minmax`; `auto`: what the model was exported with; `own`: as the
            program of the method's authors saves images.
        scale: as for `Fusion`; None: what the model was exported with.
        nodata: the value of pixels that are no data, which are refused.
        color: as for `Fusion`; None: what the model was exported with.
        separate_weights: whether red, green and blue may be weighted each by itself where the
            method computes one set of weights for the three.
        tile: edge of the tiles that images are cut into, in pixels; None: a default.
        threads: how many compute; None: as many as this process may use cores.

    Raises:
        FusionlabError: see `fusionlab.exported.loading.load_graph`; or scale or range is given, and
            the model has its own inside (code `inside-the-model`).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        range_policy: RangePolicy | Literal["auto", "own"] = "auto",
        scale: str | Scale | Sequence[str | Scale] | None = None,
        nodata: float | str | Sequence[float | str | None] | None = None,
        color: Color | Literal["auto"] | None = None,
        separate_weights: bool = False,
        tile: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.threads = threads or available_cores()
        self._graph = load_graph(Path(path), self.threads)
        self.path, self.sha256 = self._graph.path, self._graph.sha256
        self.metadata = metadata = self._graph.metadata
        given = {"scale": scale is not None, "range_policy": range_policy != "auto"}
        for option, is_given in given.items():
            if metadata.depths is not None and is_given:
                raise FusionlabError(
                    f"{self.path} has scale and range inside; export the method without a depth to "
                    "choose them",
                    code="inside-the-model",
                    option=option,
                )
        self.range_policy: RangePolicy
        if range_policy == "auto":
            self.range_policy = metadata.range or "clip"
        else:
            self.range_policy = metadata.saves if range_policy == "own" else range_policy
        self.scale = parse_scales(metadata.scale if scale is None else scale)
        self.nodata = parse_nodata(nodata)
        self.color: Color | Literal["auto"] = metadata.color if color is None else color
        self.shared_weights = metadata.shared_weights and not separate_weights
        self.tile = tile

    @property
    def method(self) -> str:
        """The full name of the method."""
        return self.metadata.method

    @memory_errors("to fuse these sources")
    def fuse(
        self,
        sources: Iterable[Any],
        *,
        weights: bool = False,
        depth: Depth | None = None,
        names: Sequence[str] = (),
        temporal: TemporalConsistency | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Fused[Any]:
        """Fuse k sources; see `fusionlab.Fusion.fuse` for the arguments.

        Raises:
            FusionlabError: the model takes another number of sources (code `number-of-sources`) or
                other sizes (code `model-size`); or cannot do what is asked for, such as weights
                (code `not-in-the-model`).
        """
        if weights:
            raise self._cannot("returns no weights", option="save_weights")
        if temporal is not None and temporal.smoothing:
            self.check_smoothing()
        read = with_files_read(sources)
        scales = given_scales(read, self.scale)
        images, names = given_sources(read, names, nodata=self.nodata)
        if len(images) != self.metadata.sources:
            raise FusionlabError(
                f"{self.path} fuses {self.metadata.sources} sources, got {len(images)}; export the "
                "method for this number",
                code="number-of-sources",
            )
        if any(is_tensor(unmasked(image)) for image in images):
            raise FusionlabError(
                "an exported model takes arrays, got tensors; give tensor.numpy()",
                code="not-an-image",
            )
        step: FrameStep | None = None
        if temporal is None:
            (color,) = color_modes(images, self.color, names)
        else:
            policy = None if self.metadata.depths is not None else self.range_policy
            step = temporal.begin(
                images, names, scales=scales, color=self.color, range_policy=policy
            )
            scales, (color,) = step.scales, step.modes
        stack = Stack(images, scales, color, names)
        in_color = any(unmasked(image).shape[2:] == (3,) for image in images)
        self._check(stack, names, in_color=in_color)
        if self.metadata.depths is not None:
            fused = self._fuse_as_they_are(stack, [unmasked(image) for image in images], depth)
        else:
            minmax = None if step is None else step.minmax
            bands = self._bands(stack, progress)
            fused = shown_bands(stack, bands, self.range_policy, depth, minmax)
        if temporal is not None and step is not None:
            temporal.end(step)
        return fused

    def check_smoothing(self) -> None:
        """Refuse to smooth weights over time: a graph has none (code `not-in-the-model`)."""
        raise self._cannot("has no weights to smooth over time", option="temporal")

    def _check(self, stack: Stack, names: Sequence[str], *, in_color: bool) -> None:
        """Refuse what the graph cannot do."""
        metadata = self.metadata
        for name, count in zip(names, stack.no_data[:, 0].tolist(), strict=True):
            if count:
                raise self._cannot(
                    f"leaves out no pixels, and {name} holds no data at {count}", "crop it, or "
                )
        if in_color and metadata.looks_at_color:
            raise self._cannot("is given no colors, which its method looks at")
        if in_color and metadata.depths is not None:
            raise self._cannot("takes gray images, since scale and range are inside")
        if stack.group > 1 and self.shared_weights:
            raise self._cannot(
                "weights red, green and blue each by itself, and its method weights them together",
                "allow separate weights, choose the color luma or gray, or ",
            )
        height, width = size = stack.shape[2:]
        if metadata.size not in (None, size):
            rows, columns = metadata.size or size
            wanted = f"images of {columns}x{rows}"
        elif min(size) < metadata.smallest:
            wanted = f"images of at least {metadata.smallest}x{metadata.smallest}"
        elif self._edge() is None and height * width > MAX_PIXELS_UNCUT:
            wanted = f"images of up to {MAX_PIXELS_UNCUT} pixels, since they cannot be cut"
        else:
            return
        raise FusionlabError(
            f"{self.path} takes {wanted}, got {width}x{height}", code="model-size", path=self.path
        )

    def _cannot(self, what: str, remedy: str = "", option: str = "") -> FusionlabError:
        return FusionlabError(
            f"{self.path} {what}; {remedy}fuse with the method itself, {self.method}",
            code="not-in-the-model",
            option=option,
            path=self.path,
        )

    def _edge(self) -> int | None:
        """Return the edge of the tiles; None: the graph takes images in one piece."""
        metadata = self.metadata
        if not metadata.can_be_cut:
            return None
        encoder, strategy, decoder = metadata.halos or (0, 0, 0)
        edge = tile_edge(metadata.sources, PIXELS_AT_ONCE, strategy, encoder + decoder)
        return max(self.tile or edge, 2 * metadata.smallest)

    def _bands(
        self, stack: Stack, progress: Callable[[int, int], None]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the decoded planes `(N, 1, h, W)`; tiles are computed at the same time."""
        metadata = self.metadata
        divisor = metadata.size_divisor
        height, width = stack.shape[2:]
        height, width = (ceil(edge / divisor) * divisor for edge in (height, width))
        rows = plan(height, width, self._edge(), metadata.halos or (0, 0, 0), divisor)
        tiles = [tile for row in rows for tile in row]
        waiting = iter(tiles)
        pool = ThreadPoolExecutor(self.threads, "tile")
        running: deque[Future[NDArray[np.float32]]] = deque()

        def submit(count: int) -> None:
            running.extend(pool.submit(self._fuse_tile, t, stack) for t in islice(waiting, count))

        try:
            submit(2 * self.threads)
            done = 0
            for row in rows:
                pieces = []
                for _ in row:
                    pieces.append(running.popleft().result())
                    submit(1)
                    done += 1
                    progress(done, len(tiles))
                yield np.concatenate(pieces, axis=-1)
        finally:
            pool.shutdown(cancel_futures=True)

    def _fuse_tile(self, tile: Tile, stack: Stack) -> NDArray[np.float32]:
        """Return what a tile yields of the result, as far as it lies inside of the image."""
        height, width = stack.shape[2:]
        top, left, bottom, right = tile.outer  # may end beyond the image, which the graph extends
        planes = stack.cut(
            slice(stack.shape[1]), slice(top, min(bottom, height)), slice(left, min(right, width))
        )
        fused = self._graph.run([np.ascontiguousarray(plane) for plane in planes])
        check_values(fused, self._graph, MAX_VALUE)
        return fused[..., *tile.inner.within(tile.outer).slices]

    def _fuse_as_they_are(
        self, stack: Stack, images: Sequence[Any], depth: Depth | None
    ) -> Fused[Any]:
        """Fuse with scale and range inside of the graph."""
        depths = self.metadata.depths or ()
        wanted = [DTYPES[each] for each in depths]
        arrays = [np.asarray(image) for image in images]
        found = [array.dtype.name for array in arrays]
        if found != wanted:
            raise FusionlabError(
                f"{self.path} takes images of {' and '.join(wanted)}, got {' and '.join(found)}",
                code="model-depth",
                path=self.path,
            )
        if depth not in (None, max(depths)):
            raise FusionlabError(
                f"{self.path} returns images of {max(depths)} bits, not of {depth}; choose that "
                "depth, and a format that holds it",
                code="model-depth",
                option="depth",
                path=self.path,
            )
        fused = self._graph.run([np.ascontiguousarray(array)[None, None] for array in arrays])
        unknown = np.full(1, np.nan)
        return Fused(
            fused[0, 0],
            [],
            stack.limits,
            stack.extremes,
            stack.colors,
            unknown,
            None,
            None,
            stack.no_data,
        )
