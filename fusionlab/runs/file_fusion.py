"""Fuse files into a file: read the sources, fuse them, encode the image with its record.

The steps are separate methods, so that a folder run can read one item, fuse another and write a
third at the same time (`fusionlab.runs.folder_run`):

    plan -> Destination;  load -> sources;  fuse -> Product;  encode -> the content of every file
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.fused import Fused
from fusionlab.imaging.arrays import color_modes
from fusionlab.imaging.depth import Depth, depth_of_array
from fusionlab.imaging.formats.pillow_formats import encode_png
from fusionlab.imaging.given import given_sources
from fusionlab.imaging.metadata import NOTHING, Metadata, kept
from fusionlab.imaging.reading import (
    MAX_PIXELS,
    LoadedImage,
    decode_image,
    read_image,
    single_source_error,
)
from fusionlab.imaging.resizing import Resize, resize_to_one_size
from fusionlab.imaging.rows import Rows
from fusionlab.imaging.scale import scales_of
from fusionlab.imaging.selecting import file_of, joined
from fusionlab.imaging.writing import WEIGHTS, encode_image, encode_weight_map, with_alpha
from fusionlab.plugins.failures import memory_errors
from fusionlab.plugins.registry import Plugins
from fusionlab.runs import notes, record
from fusionlab.runs.code_hash import code_of
from fusionlab.runs.destination import Destination, fitting_name
from fusionlab.storage.atomic import Content

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab.fusion import Fusion
    from fusionlab.registration.registrar import Registrar
    from fusionlab.temporal import TemporalConsistency


@dataclass(frozen=True)
class Product:
    """A fused image that is not encoded yet."""

    sources: Sequence[LoadedImage]
    destination: Destination
    fused: Fused[Rows]
    notes: tuple[str, ...]
    """What the user should know about the sources and the result, a sentence each."""
    metadata: Metadata = NOTHING
    """What the image keeps of that of the sources."""


class FileFusion:
    """A fusion of files.

    Args:
        fusion: the method and its settings.
        plugins: the installed plugins, for the record.
        depth: bits per sample of the results; None: those of the deepest source of each.
        resize: resample sources of different sizes to that of the first, or of the one with the
            fewest pixels; None: refuse them.
        registrar: registers the sources, and brings them to one size by that; None: they lie on
            each other already.
        record: write how each image was made next to it, and into it if the format can store it.
        weights: where to write the weight maps, see `Destination.plan`; None: nowhere.
        index_folder: where `plan` puts the index maps; None: nowhere.
        overlay_folder: where it puts the images that show how sources were registered, likewise.
        max_pixels: refuse sources that claim more pixels; None: no limit.
        task: the task that the method was chosen for, for the record.
        detected: whether the task was detected from sources.
        temporal: what carries over from frame to frame of a sequence, for the record.
    """

    def __init__(
        self,
        fusion: Fusion,
        plugins: Plugins,
        *,
        depth: Depth | None = None,
        resize: Resize | None = None,
        registrar: Registrar | None = None,
        record: bool = False,
        weights: Path | None = None,
        index_folder: Path | None = None,
        overlay_folder: Path | None = None,
        max_pixels: int | None = MAX_PIXELS,
        task: str | None = None,
        detected: bool = False,
        temporal: Mapping[str, Any] | None = None,
    ) -> None:
        self.fusion = fusion
        self.plugins = plugins
        self.depth = depth
        self.resize = resize
        self.registrar = registrar
        self.record = record
        self.weights = weights
        self.index_folder = index_folder
        self.overlay_folder = overlay_folder
        self.max_pixels = max_pixels
        self.task = task
        self.detected = detected
        self.temporal = temporal

    @cached_property
    def settings(self) -> record.Record:
        """The part of a record that is the same for all sources."""
        task = {"task": {"name": self.task, "detected": self.detected}} if self.task else {}
        method = self._describe_method()
        registrar = self.registrar
        registration = {"registration": registrar.describe()} if registrar else {}
        temporal = {"temporal": dict(self.temporal)} if self.temporal else {}
        return {**method, **task, "resize": self.resize, **registration, **temporal}

    def _describe_method(self) -> record.Record:
        """Return the part of a record that describes the method."""
        return record.describe_method(self.fusion, self.plugins)

    def code(self) -> list[str]:
        """Return the hashes of all code that decides what the method computes."""
        return code_of(self.fusion.backbone, self.fusion.strategy)

    def plan(self, output: Path, sources: Sequence[Path]) -> Destination:
        """Return the files that fusing `sources` to the image `output` writes.

        Raises:
            FusionlabError: no format with the suffix of `output` can be written.
        """

        def named(folder: Path | None, end: str) -> Path | None:
            return None if folder is None else folder / fitting_name(output.stem, end)

        return Destination.plan(
            output,
            sources,
            record=self.record,
            weights=self.weights,
            index=named(self.index_folder, "-index.png"),
            overlay=named(self.overlay_folder, "-registration.png"),
        )

    def load(self, paths: Sequence[Path]) -> list[LoadedImage]:
        """Read the sources, and resize or register them if requested.

        Raises:
            FusionlabError: a file cannot be read.
        """
        with memory_errors("to read the sources"):
            return load_sources(paths, self.resize, self.max_pixels, self.registrar)

    def fuse(
        self,
        sources: Sequence[LoadedImage],
        destination: Destination,
        progress: Callable[[int, int], None] = lambda *_: None,
        *,
        depth: Depth | None = None,
        temporal: TemporalConsistency | None = None,
    ) -> Product:
        """Fuse sources at their depth, or the closest depth that the format can hold.

        Args:
            sources: the images.
            destination: the files that the result is for.
            progress: called with (tiles done, tiles in all) after each tile.
            depth: bits per sample in place of those of the sources; where a format cannot hold
                them, the closest that it can.
            temporal: what carries over from the frame before, where these are frames of a sequence.

        Raises:
            FusionlabError: as `Fusion.fuse`; or there is not enough memory.
        """
        wanted, depth = self._depths(sources, destination, depth)
        with _enough_memory(destination):
            fused = self.fusion.fuse(
                sources,
                weights=destination.needs_weights,
                depth=depth,
                names=[image.name for image in sources],
                progress=progress,
                temporal=temporal,
            )
        return self._product(sources, destination, fused, wanted, depth)

    def batch_size(self, sources: Sequence[LoadedImage]) -> int:
        """Return how many images with sources like these to fuse in one batch.

        On a GPU it is one: other numbers of images may use other kernels there, and the result for
        an image must not depend on its neighbors, nor on how many there are.
        """
        in_memory = all(isinstance(image.pixels, np.ndarray) for image in sources)
        if self.fusion.device.type != "cpu" or not in_memory:
            return 1
        height, width = sources[0].pixels.shape[:2]
        return self.fusion.at_once(len(sources), height, width)

    def together(self, sources: Sequence[LoadedImage]) -> int:
        """Return how many images with sources like these are best fused at the same time."""
        if not all(isinstance(image.pixels, np.ndarray) for image in sources):
            return 1
        height, width = sources[0].pixels.shape[:2]
        return self.fusion.together(len(sources), height, width)

    def fit_together(self, first: Sequence[LoadedImage], second: Sequence[LoadedImage]) -> bool:
        """Return whether the sources of two images may be fused in one batch.

        They have the `same_layout` and the same color mode: the result for an image does not
        depend on its neighbors.
        """
        if not same_layout(first, second) or not self._same_scales(first, second):
            return False
        if self.fusion.color != "auto":
            return True
        try:
            modes = [
                color_modes(given_sources(sources, nodata=self.fusion.nodata)[0], "auto")
                for sources in (first, second)
            ]
        except FusionlabError:  # raised again for the image that causes it
            return False
        return modes[0] == modes[1]

    def _same_scales(self, first: Sequence[LoadedImage], second: Sequence[LoadedImage]) -> bool:
        """Return whether the same values of two images become black and white."""
        try:
            return scales_of(first, self.fusion.scale) == scales_of(second, self.fusion.scale)
        except FusionlabError:  # raised again for the image that causes it
            return False

    def fuse_batch(
        self,
        batch: Sequence[Sequence[LoadedImage]],
        destinations: Sequence[Destination],
        *,
        depth: Depth | None = None,
        temporal: TemporalConsistency | None = None,
    ) -> list[Product]:
        """Fuse the sources of several images in one batch; they must `fit_together`.

        On a CPU the result for an image does not depend on the number of images; see `batch_size`.

        Args:
            batch: the sources of each image.
            destinations: the files that the results are for.
            depth: as for `fuse`.
            temporal: as for `fuse`; no image may depend on the one before.

        Raises:
            FusionlabError: as `fuse`, without saying which of the images is at fault.
        """
        import torch

        first = batch[0]
        by_source = list(zip(*batch, strict=True))
        stacks = [
            torch.from_numpy(np.stack([image.pixels for image in images])) for images in by_source
        ]
        wanted, depth = self._depths(first, destinations[0], depth)
        with torch.no_grad(), _enough_memory(destinations[0]):
            fused = self.fusion.fuse(
                [s.movedim(-1, 1) if s.ndim == 4 else s[:, None] for s in stacks],
                valid=[_masks(images) for images in by_source],
                weights=destinations[0].needs_weights,
                depth=depth,
                scale=scales_of(first, self.fusion.scale),
                temporal=temporal,
            )
        return [
            self._product(sources, destination, _of_batch(fused, number), wanted, depth)
            for number, (sources, destination) in enumerate(zip(batch, destinations, strict=True))
        ]

    def encode(self, product: Product) -> dict[Path, Content]:
        """Return the content of every file of a product, the image first.

        Rows of a file are encoded only when the content is written, if the format allows it.

        Raises:
            FusionlabError: the image does not fit into its format, or not into memory.
        """
        with _enough_memory(product.destination):
            return self._encoded(product)

    def _encoded(self, product: Product) -> dict[Path, Content]:
        """Return the content of every file of a product; see `encode`."""
        destination, fused = product.destination, product.fused
        path, output_format, text = destination.image, destination.format, ""
        files: dict[Path, Content] = {}
        if not output_format.lossless:  # such formats cannot store a record
            files[path] = encode_image(
                fused.image, path, output_format, "", fused.valid, product.metadata
            )
        if destination.record is not None:
            stored = fused.image
            if isinstance(content := files.get(path), bytes):  # describe what a reader gets
                stored = decode_image(content, path.name, max_pixels=None).pixels
            run_record = {
                **self.settings,
                **record.describe_run(product.sources, fused, stored, path),
            }
            text = record.to_json(run_record)
            files[destination.record] = f"{record.to_json(run_record, indent=2)}\n".encode()
        if output_format.lossless:
            image = encode_image(
                fused.image, path, output_format, text, fused.valid, product.metadata
            )
            files = {path: image, **files}
        if destination.index is not None:
            index = np.asarray(fused.index)
            valid = fused.valid
            shown = index if valid is None else with_alpha(index, valid)
            files[destination.index] = encode_png(shown)
        if destination.overlay is not None:
            resampled = [image.resampled for image in product.sources]
            overlays = [each.overlay for each in resampled if each and each.overlay is not None]
            files[destination.overlay] = encode_png(np.concatenate(overlays))
        if destination.weights is not None:
            names = _names_of_maps(product.sources)
            encode_weights = WEIGHTS[destination.weights.suffix.lower()]
            files[destination.weights] = encode_weights(fused.weights, names)
        if destination.weight_maps:
            maps = map(encode_weight_map, fused.weights)
            files |= dict(zip(destination.weight_maps, maps, strict=True))
        return files

    def depth_for(self, sources: Sequence[LoadedImage]) -> Depth:
        """Return the depth that the result of these sources should have."""
        return self.depth or max(depth_of_array(image.pixels.dtype) for image in sources)

    def _depths(
        self, sources: Sequence[LoadedImage], destination: Destination, depth: Depth | None = None
    ) -> tuple[Depth, Depth]:
        """Return the depth that is wanted, and the closest one that the format can hold."""
        wanted = depth or self.depth_for(sources)
        return wanted, destination.format.nearest(wanted)

    def _product(
        self,
        sources: Sequence[LoadedImage],
        destination: Destination,
        fused: Fused[Any],
        wanted: Depth,
        depth: Depth,
    ) -> Product:
        scales = scales_of(sources, self.fusion.scale)
        metadata, differences = kept(sources, color=fused.image.ndim == 3)
        texts = [
            *(note for image in sources for note in image.notes),
            *notes.note_reduced_depth(destination.image, wanted, depth),
            *notes.note_smaller_tiles(destination.image, fused.tile),
            *notes.note_windows(sources, self.fusion.scale),
            *notes.note_unused_range(sources, scales, fused, self.fusion.nodata),
            *notes.note_no_data(sources, destination, fused, self.fusion.nodata),
            *differences,
            *notes.note_lost_metadata(sources, metadata, destination),
        ]
        return Product(sources, destination, fused, tuple(texts), metadata)


def load_sources(
    paths: Sequence[Path],
    resize: Resize | None = None,
    max_pixels: int | None = MAX_PIXELS,
    registrar: Registrar | None = None,
) -> list[LoadedImage]:
    """Read the sources of one fusion, and resize or register them; see `FileFusion`.

    Raises:
        FusionlabError: a file cannot be read, or is the only one (code `number-of-sources`).
    """
    images = notes.note_duplicates([read_image(path, max_pixels) for path in paths])
    if len(images) == 1:
        image = images[0]
        raise single_source_error(image.name, image.selection, image.further)
    if registrar is not None and images:
        return registrar(images)
    return resize_to_one_size(images, resize) if resize and images else images


def _names_of_maps(sources: Sequence[LoadedImage]) -> list[str]:
    """Return what the weight maps in one file are called: stems, with what is selected of files."""
    files = [file_of(source.name) for source in sources]
    return [
        str(joined(Path(file.stem), source.selection))
        for file, source in zip(files, sources, strict=True)
    ]


def same_layout(first: Sequence[LoadedImage], second: Sequence[LoadedImage]) -> bool:
    """Return whether the sources of two images have the same sizes and depths, pair by pair."""
    layouts = [
        [(image.pixels.shape, image.pixels.dtype) for image in sources]
        for sources in (first, second)
    ]
    return layouts[0] == layouts[1]


def _masks(images: Sequence[LoadedImage]) -> NDArray[np.bool_] | None:
    """Return the masks of the images of a batch, `(N, 1, H, W)`; None if none has one."""
    if all(image.valid is None for image in images):
        return None
    masks = [
        np.ones(image.pixels.shape[:2], bool) if image.valid is None else np.asarray(image.valid)
        for image in images
    ]
    return np.stack(masks)[:, None]


def _of_batch(fused: Fused[Tensor], number: int) -> Fused[NDArray[Any]]:
    """Return one image of a batch as an array."""

    def array(images: Tensor) -> NDArray[Any]:
        pixels: NDArray[Any] = images[number].numpy()
        return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))

    this_image = slice(number, number + 1)
    valid = None if fused.valid is None else array(fused.valid)
    maps = [array(weights) for weights in fused.weights]
    return Fused(
        array(fused.image),
        maps,
        fused.limits[:, this_image],
        fused.extremes[:, this_image],
        fused.colors[this_image],
        fused.outside[this_image],
        fused.tile,
        None if valid is None or valid.all() else valid,
        None if fused.no_data is None else fused.no_data[:, this_image],
    )


def _enough_memory(destination: Destination) -> AbstractContextManager[None]:
    """Return the block in which a lack of memory is an error about an image."""
    return memory_errors(f"to fuse {destination.image.name}", path=destination.image)
