"""A row of a table that was made elsewhere: a folder with the fused images of any program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.sample import Result, Sample
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.recognizing import suffixes
from fusionlab.runs.pairing.folder_search import images_by_stem
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
    existing = (pair for pair in splits if pair[1] and _split_pattern(Path(pair[1]))[0].is_dir())
    label, folder = next(existing, splits[0] if splits else ("", ""))
    if not (folder and label.isprintable() and label.strip()):
        raise FusionlabError(
            "expected NAME=DIR, or NAME=DIR/fused_{}_x with {} for the name of the sample; "
            f"got {text!r}",
            code="not-name-and-folder",
        )
    return label, Path(folder)


def files_of_samples(
    folder: Path, samples: Sequence[str], content: str
) -> tuple[str, dict[str, list[Path]]]:
    """Find the image files of samples by stem, whatever their suffix.

    Args:
        folder: the folder, or `DIR/before{}after` if file names hold more than the name of the
            sample; if it ends in the suffix of an image, only such files count.
        samples: names of the samples of the image set.
        content: what errors call the files.

    Returns:
        The path of the files with `{}` for the name of the sample, and name of a sample -> its
        files, of which there should be one.

    Raises:
        FusionlabError: the folder does not exist (code `no-folder`).
    """
    folder, pattern = _split_pattern(folder)
    suffix = next((suffix for suffix in suffixes() if pattern.lower().endswith(suffix)), "")
    before, _, after = pattern[: len(pattern) - len(suffix)].partition("{}")
    if not folder.is_dir():
        raise FusionlabError(
            f"{folder} is not a folder; expected one with {content}", code="no-folder", path=folder
        )
    images = images_by_stem(folder.absolute())  # workers may have another working directory
    files = {
        sample: [
            file
            for file in images.get(f"{before}{sample}{after}", [])
            if not suffix or file.suffix.lower() == suffix
        ]
        for sample in samples
    }
    return str(folder / (pattern if suffix else f"{pattern}.*")), files


def _split_pattern(path: Path) -> tuple[Path, str]:
    """Split `DIR` or `DIR/before{}after` into the folder and the pattern of the file names."""
    return (path.parent, path.name) if "{}" in path.name else (path, "{}")


@dataclass(frozen=True)
class FolderMethod:
    """A folder with one fused image for each sample, made by any program.

    Args:
        label: the name of the row.
        pattern: path of the files, `{}` for the name of the sample, as errors show it.
        files: name of a sample -> its files, of which there should be one.
    """

    label: str
    pattern: str
    files: Mapping[str, Sequence[Path]]
    baseline: str | None = None
    range_policy: None = None
    """Unknown: that of the program that made them."""

    @classmethod
    def find(cls, label: str, folder: Path, samples: Sequence[str]) -> FolderMethod:
        """Find the results of a folder.

        Args:
            label: the name of the row.
            folder: the folder, or `DIR/before{}after` if file names hold more than the name of the
                sample; if it ends in the suffix of an image, only such files count.
            samples: names of the samples of the image set.

        Raises:
            FusionlabError: the folder does not exist (code `no-folder`) or has no result at all
                (code `no-results`).
        """
        pattern, files = files_of_samples(folder, samples, f"the results of {label}")
        if not any(files.values()):
            raise FusionlabError(
                f"{label} has no result for any image of the set; expected files named "
                f"{pattern}, with {{}} for {samples[0]} and so on",
                code="no-results",
                path=folder,
            )
        return cls(label, pattern, files)

    def describe(self) -> dict[str, Any]:
        """Return the label and the pattern of the file names."""
        return {"method": self.label, "names": Path(self.pattern).name}

    def needs(self, k: int) -> str:  # noqa: ARG002  # the fusion is done
        """Return an empty text: a result is scored against any number of sources."""
        return ""

    def fingerprint(self, sample: str) -> str:
        """Return the SHA-256 of the file."""
        try:
            return sha256_of_file(self._file(sample))
        except OSError as error:
            raise FusionlabError(f"cannot read {error.filename}: {error.strerror}") from error

    def result(self, sample: Sample, feature_cache: FeatureCache) -> Result:  # noqa: ARG002
        """Read the result for a sample, gray or in color.

        Raises:
            FusionlabError: there is none or more than one (code `not-one-result`), it cannot be
                read, or its size is not that of the sources (code `size-mismatch`).
        """
        path = self._file(sample.name)
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

    def _file(self, sample: str) -> Path:
        files = self.files[sample]
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise FusionlabError(
                f"expected one image {self.pattern} for {sample}, found {names}",
                code="not-one-result",
            )
        return files[0]
