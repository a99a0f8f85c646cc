"""The images of a page: sources and results as a browser shows them, thumbnails, weight maps.

Files are numbered, `images/SET/SAMPLE-s1.png` (source 1), `SAMPLE-r0.png` (the result of row 0),
`SAMPLE-r0-w1.webp` (its weights of source 1), so that no name of a sample or a row can be a wrong
path. Thumbnails have the same names in `thumbnails/`, with the suffix `.webp`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import FULL_SCALE
from fusionlab.evaluation.scores import Scores
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.imaging.formats.pillow_formats import encode_png
from fusionlab.imaging.range_policy import GRAY_LEVELS, round_half_up
from fusionlab.imaging.reading import LoadedImage, read_image
from fusionlab.imaging.scale import Scale, parse_scales, scales_for, scales_of

IMAGES, THUMBNAILS = "images", "thumbnails"
THUMBNAIL_EDGE = 320
"""Longest edge of a thumbnail, in pixels."""
WEBP_QUALITY = 80

WeightMaps = Callable[[str, str, str], Sequence[NDArray[Any]]]
"""(set, label of a row, sample) -> the weight map `(H, W)` of each source, floats in 0..1; empty
where there is none."""


@dataclass(frozen=True)
class ImageChoice:
    """Which samples of each set are shown with their images."""

    kind: Literal["all", "none", "worst"]
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `all`, `none` or `worst:N`.

        Raises:
            FusionlabError: the text is none of these (code `image-choice`).
        """
        kind, _, count = text.partition(":")
        if text in ("all", "none"):
            return cls(text)  # type: ignore[arg-type]  # narrowed by the line above
        if kind == "worst" and count.isascii() and count.isdecimal() and int(count) > 0:
            return cls("worst", int(count))
        raise FusionlabError(
            f"the images of a page must be all, none or worst:N, got {text!r}",
            code="image-choice",
            option="images",
        )

    def samples(self, scores: Scores, metric: int) -> list[int]:
        """Return the numbers of the chosen samples, in the order of the set.

        Args:
            scores: the values.
            metric: the number of a metric; the worst samples are those with the worst value of any
                method. Of a metric without a direction, the lowest values count as the worst.
        """
        numbers = range(len(scores.samples))
        if self.kind == "none":
            return []
        if self.kind == "all" or self.count >= len(numbers):
            return list(numbers)
        values = scores.values[:, :, metric] * (scores.metrics[metric].direction or 1)
        worst = np.where(np.isfinite(values), values, np.inf).min(axis=0)
        return sorted(np.argsort(worst, kind="stable")[: self.count].tolist())


@dataclass(frozen=True)
class SetImages:
    """Writes the images of one set into the folder of a page."""

    results: StudyResults
    image_set: str
    number: int
    """Of the set on the page."""
    target: Path
    """The folder of the page."""
    weight_maps: WeightMaps | None = None

    def write(self, chosen: Sequence[int], progress: Callable[[], None]) -> list[dict[str, Any]]:
        """Write the images of the chosen samples, and return what there is of each sample.

        Args:
            chosen: numbers of samples.
            progress: called after each chosen sample.

        Returns:
            For each sample of the set its `name`; for chosen ones also `size` (width and height),
            `sources` (their names and file names), `rows` (numbers of those with a result),
            `weights` (row -> how many maps), and `problem` if the sources cannot be shown.
        """
        report = self.results.reports[self.image_set]
        scales = parse_scales(report.settings.get("scale", "auto").split())
        if chosen:
            for folder in (IMAGES, THUMBNAILS):
                (self.target / folder / str(self.number)).mkdir(parents=True, exist_ok=True)
        entries: list[dict[str, Any]] = [{"name": name} for name in report.scores.samples]
        for sample in chosen:
            entries[sample] |= self._write_sample(sample, scales)
            progress()
        return entries

    def _write_sample(self, sample: int, scales: Sequence[Scale]) -> dict[str, Any]:
        report = self.results.reports[self.image_set]
        name = report.scores.samples[sample]
        entry: dict[str, Any] = {"sources": [], "rows": [], "weights": {}}
        try:
            sources = self.results.sources(self.image_set, name)
            paths = [Path(image.name) for image in sources]
            names = source_names(paths)
            for number, (image, path) in enumerate(zip(sources, paths, strict=True), 1):
                scale = scales_for(scales, len(sources))[number - 1]
                pixels = eight_bit_pixels(image, scale)
                entry["size"] = pixels.shape[1::-1]
                self._write_pixels(f"{sample}-s{number}", pixels)
                entry["sources"].append([names[number - 1], path.name])
        except FusionlabError as error:
            entry |= {"sources": [], "problem": str(error)}
        for row, label in enumerate(report.scores.methods):
            path_of_result = self.results.image(self.image_set, label, name)
            if path_of_result is None:
                continue
            try:
                pixels, as_it_is = _read_result(path_of_result)
            except (FusionlabError, OSError):
                continue  # damaged since it was scored: shown as missing
            entry.setdefault("size", pixels.shape[1::-1])
            if as_it_is:
                _link_or_copy(path_of_result, self._path(IMAGES, f"{sample}-r{row}.png"))
                self._write_thumbnail(f"{sample}-r{row}", Image.fromarray(pixels))
            else:
                self._write_pixels(f"{sample}-r{row}", pixels)
            entry["rows"].append(row)
            if maps := self.weight_maps and self.weight_maps(self.image_set, label, name):
                entry["weights"][row] = len(maps)
                for number, weights in enumerate(maps, 1):
                    self._write_weights(f"{sample}-r{row}-w{number}", weights)
        return entry

    def _path(self, folder: str, name: str) -> Path:
        return self.target / folder / str(self.number) / name

    def _write_pixels(self, name: str, pixels: NDArray[np.uint8]) -> None:
        self._path(IMAGES, f"{name}.png").write_bytes(encode_png(pixels))
        self._write_thumbnail(name, Image.fromarray(pixels))

    def _write_thumbnail(self, name: str, image: Image.Image) -> None:
        small = image.copy()
        small.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE), Image.Resampling.LANCZOS)
        small.save(self._path(THUMBNAILS, f"{name}.webp"), quality=WEBP_QUALITY)

    def _write_weights(self, name: str, weights: NDArray[Any]) -> None:
        levels = round_half_up(torch.from_numpy(np.clip(weights, 0, 1)) * GRAY_LEVELS)
        image = Image.fromarray(levels.to(torch.uint8).numpy())
        image.save(self._path(IMAGES, f"{name}.webp"), quality=WEBP_QUALITY)


def _read_result(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """Return the pixels of a result in 0..255, and whether browsers show its file as it is."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            if image.mode in ("L", "RGB"):
                return np.array(image), True
    return eight_bit_pixels(read_image(path), FULL_SCALE), False


def source_names(paths: Sequence[Path]) -> list[str]:
    """Return what to call the sources of a sample: their folders, if these differ."""
    folders = [path.parent.name for path in paths]
    if len(set(folders)) == len(folders) and all(folders):
        return folders
    return [f"source {number}" for number in range(1, len(paths) + 1)]


def eight_bit_pixels(image: LoadedImage, scale: Scale) -> NDArray[np.uint8]:
    """Return an image of any depth in 0..255, `(H, W)` or `(H, W, 3)`."""
    (scale,) = scales_of([image], [scale])
    pixels = np.asarray(image.pixels)
    planes = torch.from_numpy(pixels[None, None] if pixels.ndim == 2 else pixels[None])
    unit = scale.apply(planes, scale.limits(planes, image.name))
    levels: NDArray[np.uint8] = round_half_up(unit * GRAY_LEVELS).to(torch.uint8).numpy()[0]
    return levels[0] if pixels.ndim == 2 else levels


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, so that it takes its space once; copy it between file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
