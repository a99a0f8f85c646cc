"""The files that belong to the samples of an image set: results of other programs, true images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.runs.pairing.matching import match_sources
from fusionlab.runs.pairing.templates import (
    PLACE,
    Source,
    find_files,
    find_in_folder,
    is_template,
    literal_folder,
    with_any_suffix,
)


@dataclass(frozen=True)
class SampleFiles:
    """One file for each sample; they are paired as the sources of a set are."""

    pattern: str
    """The path of the files with `{}` for the name of the sample, as errors show it."""
    files: Mapping[str, Path]
    """Name of a sample -> its file."""
    problems: Mapping[str, str]
    """Name of a sample -> why none of the files that are there is its file, a sentence."""

    @classmethod
    def find(cls, path: Path, samples: Sequence[str], content: str) -> SampleFiles:
        """Find the files of samples.

        Args:
            path: a folder, or a template such as `DIR/fused_{}_x` or `DIR/{}/fused.png`.
            samples: names of the samples of the image set.
            content: what errors call the files.

        Raises:
            FusionlabError: the folder does not exist (code `no-folder`), or the template is wrong
                (codes `not-a-template`, `ambiguous-template`).
        """
        folder = literal_folder(path) if is_template(path) else path
        if not folder.is_dir():
            raise FusionlabError(
                f"{folder} is not a folder; expected one with {content}",
                code="no-folder",
                path=folder,
            )
        place = path.absolute()  # workers may have another working directory
        found = find_files(place) if is_template(path) else find_in_folder(place)
        wanted = Source("", {sample: [Path(sample)] for sample in samples})
        matches = {
            match.name: match
            for match in match_sources([wanted, found], same_k=True)
            if match.name in wanted.files
        }
        problems = {
            name: match.problem for name, match in matches.items() if match.kind != "missing"
        }
        reasons = {entry.path: f"{entry.path} {entry.reason}" for entry in found.lost.values()}
        for name, match in matches.items():
            if match.kind == "not-read":  # its problem speaks of a fusion
                problems[name] = reasons[match.files[1]]
        return cls(
            with_any_suffix(path) if is_template(path) else str(folder / f"{PLACE}.*"),
            {name: match.files[1] for name, match in matches.items() if not match.problem},
            {name: problem for name, problem in problems.items() if problem},
        )

    def file(self, sample: str) -> Path:
        """Return the file of a sample.

        Raises:
            FusionlabError: there is none or more than one (code `not-one-result`).
        """
        if sample in self.files:
            return self.files[sample]
        missing = f"there is no {self.pattern.replace(PLACE, sample)}"
        raise FusionlabError(self.problems.get(sample, missing), code="not-one-result")
