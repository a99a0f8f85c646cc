"""The results of a study: a report for each image set, and the images behind the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusionlab.evaluation.effects import Effect
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.saved_images import image_path
from fusionlab.imaging.reading import LoadedImage, read_image
from fusionlab.registration.registrar import Registrar
from fusionlab.runs.image_sets import ImageSetItem


@dataclass(frozen=True)
class StudyResults:
    """What a study, or an evaluation of one set, has found."""

    name: str
    """Of the study; a title."""
    reports: Mapping[str, Report]
    """Name of an image set -> its report; the sets in the order of the study."""
    items: Mapping[str, Sequence[ImageSetItem]]
    """Name of an image set -> its samples with the files of their sources."""
    folder: Path | None = None
    """The output folder of the run, which may hold scored images; None: nothing is kept."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """How it was made: command, versions, processor."""
    effects: Sequence[Effect] = ()
    """What the factors do that the study compares along, in each set and over all of them."""

    registrars: Mapping[str, Registrar] = field(default_factory=dict)
    """Name of an image set -> what registers its sources; nothing does for the others."""

    def sources(self, image_set: str, sample: str) -> list[LoadedImage]:
        """Read the sources of a sample, as they were fused.

        Raises:
            FusionlabError: they cannot be read or registered.
        """
        by_stem = {item.stem: item for item in self.items.get(image_set, ())}
        images = [read_image(path) for path in by_stem[sample].sources] if sample in by_stem else []
        registrar = self.registrars.get(image_set)
        return images if registrar is None or not images else registrar(images)

    @property
    def known(self) -> int:
        """How many rows of scores there are."""
        return sum(report.scores.known for report in self.reports.values())

    @property
    def total(self) -> int:
        """How many rows of scores there are when the study is complete."""
        return sum(report.scores.total for report in self.reports.values())

    def image(self, image_set: str, label: str, sample: str) -> Path | None:
        """Return the file of the scored image of a row and a sample; None if it is not kept.

        The image of an evaluation of one set lies in `FOLDER/images/ROW/`, those of a study in
        `FOLDER/images/SET/ROW/`.
        """
        if self.folder is None:
            return None
        labels = [label, f"{image_set}/{label}"]
        paths = [
            image_path(self.folder, name, sample, depth) for name in labels for depth in (8, 32)
        ]
        return next((path for path in paths if path.is_file()), None)
