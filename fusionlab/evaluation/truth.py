"""True images: what the result should be, where that is known, and the metrics against them.

Truth exists where the sources were made from one image, as `benchmarks/focus_set.py` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray_levels import MetricInput
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.sample import Sample, check_all_data
from fusionlab.evaluation.sample_files import SampleFiles
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.plugins.registry import Plugins
from fusionlab.storage.hashing import sha256_of_file

METRICS = ("fusionlab-imaging:PSNR", "fusionlab-imaging:SSIM")
"""The metrics that also compare with the true image, as if it were the only source."""


def truth_metrics(plugins: Plugins) -> list[Metric]:
    """Return the columns that compare results with true images: `PSNR_truth`, `SSIM_truth`."""
    return [replace(Metric.find(name, plugins), of_truth=True) for name in METRICS]


@dataclass(frozen=True)
class Truth:
    """The true image of one sample, or the reason why there is none."""

    images: MetricInput | None = None
    """One image; None where there is none."""
    sha256: str = ""
    """Of its file."""
    problem: str = ""
    """A sentence that begins with the name of the sample; empty if there is an image."""


@dataclass(frozen=True)
class TruthFolder:
    """A folder with the true image of each sample.

    Args:
        images: the files.
    """

    images: SampleFiles

    @classmethod
    def find(cls, folder: Path, samples: Sequence[str]) -> TruthFolder:
        """Find the true images of a folder, as `FolderMethod.find` finds results.

        Raises:
            FusionlabError: the folder does not exist (code `no-folder`), or has no image of any
                sample (code `no-truth`).
        """
        images = SampleFiles.find(folder, samples, "the true images")
        if not (images.files or images.problems):
            raise FusionlabError(
                "there is no true image for any sample of the set; expected files named "
                f"{images.pattern}",
                code="no-truth",
                option="truth",
                path=folder,
            )
        return cls(images)

    def sha256(self, sample: str) -> str:
        """Return the SHA-256 of the true image of a sample; empty if there is not one file.

        Raises:
            OSError: it cannot be read.
        """
        file = self.images.files.get(sample)
        return "" if file is None else sha256_of_file(file)

    def load(
        self,
        sample: Sample,
        device: str | torch.device = "cpu",
        max_pixels: int | None = MAX_PIXELS,
    ) -> Truth:
        """Read the true image of a sample; raises nothing, see `Truth.problem`."""
        try:
            image = read_image(self.images.file(sample.name), max_pixels)
            check_all_data(image)
            pixels = np.asarray(image.pixels)
            (height, width), (rows, columns) = pixels.shape[:2], sample.sources[0].shape[:2]
            if (height, width) != (rows, columns):
                raise FusionlabError(  # noqa: TRY301
                    f"{image.name} has {width}x{height} pixels, the sources {columns}x{rows}"
                )
            images = MetricInput([pixels], [image.name], device=device, shared=True)
            _ = images.gray  # a depth without a white is a problem of the sample, too
        except FusionlabError as error:
            return Truth(problem=f"{sample.name} has no true image: {error}")
        return Truth(images, image.sha256)
