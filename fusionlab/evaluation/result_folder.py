"""A row of a table that was made elsewhere: a folder with the fused images of any program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.sample import Result, Sample
from fusionlab.evaluation.sample_files import SampleFiles
from fusionlab.imaging.reading import read_image
from fusionlab.runs.pairing.templates import is_template, literal_folder
from fusionlab.storage.hashing import sha256_of_file


def parse_result_folder(text: str) -> tuple[str, Path]:
    """Split `NAME=DIR` into the label of the row and the folder.

    A name such as `r=2` and a folder such as `out/r=2` may hold equals signs themselves: the first
    one that has an existing folder behind it separates them; without any, the first one.

    Raises:
        FusionlabError: it is something else (code `not-name-and-folder`).
    """
    parts = text.split("=")
    splits = [("=".join(parts[:i]), "=".join(parts[i:])) for i in range(1, len(parts))]
    existing = (pair for pair in splits if pair[1] and _folder(Path(pair[1])).is_dir())
    label, folder = next(existing, splits[0] if splits else ("", ""))
    if not (folder and label.isprintable() and label.strip()):
        raise FusionlabError(
            "expected NAME=DIR, or NAME=DIR/fused_{}_x with {} for the name of the sample; "
            f"got {text!r}",
            code="not-name-and-folder",
        )
    return label, Path(folder)


def _folder(path: Path) -> Path:
    return literal_folder(path) if is_template(path) else path


@dataclass(frozen=True)
class FolderMethod:
    """A folder with one fused image for each sample, made by any program.

    Args:
        label: the name of the row.
        results: the files.
    """

    label: str
    results: SampleFiles
    baseline: str | None = None
    range_policy: None = None
    """Unknown: that of the program that made them."""

    @classmethod
    def find(cls, label: str, folder: Path, samples: Sequence[str]) -> FolderMethod:
        """Find the results of a folder.

        Args:
            label: the name of the row.
            folder: the folder, or a template if file names hold more than the name of the sample.
            samples: names of the samples of the image set.

        Raises:
            FusionlabError: see `SampleFiles.find`, or there is no result at all (code
                `no-results`).
        """
        results = SampleFiles.find(folder, samples, f"the results of {label}")
        if not (results.files or results.problems):
            raise FusionlabError(
                f"{label} has no result for any image of the set; expected files named "
                f"{results.pattern}, with {{}} for {samples[0]} and so on",
                code="no-results",
                path=folder,
            )
        return cls(label, results)

    def describe(self) -> dict[str, Any]:
        """Return the label and the pattern of the file names."""
        return {"method": self.label, "names": Path(self.results.pattern).name}

    def needs(self, k: int) -> str:  # noqa: ARG002  # the fusion is done
        """Return an empty text: a result is scored against any number of sources."""
        return ""

    def fingerprint(self, sample: str) -> str:
        """Return the SHA-256 of the file."""
        try:
            return sha256_of_file(self.results.file(sample))
        except OSError as error:
            raise FusionlabError(f"cannot read {error.filename}: {error.strerror}") from error

    def result(self, sample: Sample, feature_cache: FeatureCache) -> Result:  # noqa: ARG002
        """Read the result for a sample, gray or in color.

        Raises:
            FusionlabError: there is none or more than one (code `not-one-result`), it cannot be
                read, or its size is not that of the sources (code `size-mismatch`).
        """
        path = self.results.file(sample.name)
        image = np.asarray(read_image(path).pixels)
        height, width = image.shape[:2]
        rows, columns = sample.sources[0].shape[:2]
        if (height, width) != (rows, columns):
            raise FusionlabError(
                f"{path} has {width}x{height} pixels, its sources {columns}x{rows}; a result is "
                "scored at the size of its sources",
                code="size-mismatch",
                path=path,
            )
        return Result(image)
