"""Evaluate methods on an image set: fuse or read, score, and keep what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from fusionlab import __version__
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.gray import RULE, grey_levels
from fusionlab.evaluation.measures import Measure, value_of
from fusionlab.evaluation.methods import Encodings, Method, Subject
from fusionlab.evaluation.scores import Outcome, Scores
from fusionlab.evaluation.store import ScoreStore
from fusionlab.imagesets import Entry
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.record import digest


@dataclass
class Evaluation:
    """Methods, metrics, and where scores are kept.

    Args:
        methods: the rows, see `fusionlab.evaluation.methods`.
        measures: the columns.
        folder: where scores are kept as they come; None: nowhere.
        resume: use the scores of an earlier run in this folder where nothing has changed.
        jobs: how many images are worked on at the same time.
        device: where the metrics are computed.
        max_pixels: refuse sources that claim more; None: no limit.
    """

    methods: Sequence[Method]
    measures: Sequence[Measure]
    folder: Path | None = None
    resume: bool = False
    jobs: int = 1
    device: str | torch.device = "cpu"
    max_pixels: int | None = MAX_PIXELS

    def run(self, entries: Sequence[Entry]) -> Iterator[Outcome]:
        """Score every method on every image, images in their order.

        An image whose sources cannot be read, and a result that cannot be made or read, fails by
        itself: its outcome says why.

        Raises:
            FusionlabError: the folder cannot be written.
        """
        store = ScoreStore(self.folder, resume=self.resume)
        keys = [self._key(method) for method in self.methods]
        pool = ThreadPoolExecutor(self.jobs, "evaluate")
        try:
            for outcomes in pool.map(lambda entry: self._image(entry, keys, store), entries):
                yield from outcomes
        finally:  # also at Ctrl-C: what has been noted stays
            pool.shutdown(cancel_futures=True)

    def scores(self, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> Scores:
        """Gather outcomes into a table."""
        labels = [method.label for method in self.methods]
        return Scores(labels, [entry.stem for entry in entries], self.measures, outcomes)

    def _key(self, method: Method) -> str:
        """Return what the scores of a method are a function of, besides the images."""
        return digest({"method": method.describe(), "gray": RULE, "fusionlab": __version__})

    def _image(self, entry: Entry, keys: Sequence[str], store: ScoreStore) -> list[Outcome]:
        """Score all methods on one image, the sources read and encoded once."""
        if entry.problem:
            return self._failed(entry, entry.problem)
        try:
            pictures = [read_image(path, self.max_pixels) for path in entry.sources]
            subject = Subject.of(entry.stem, pictures)
            levels = [
                grey_levels(image, name)
                for image, name in zip(subject.sources, subject.names, strict=True)
            ]
        except FusionlabError as error:
            return self._failed(entry, f"{entry.stem}: {error}")
        sources = torch.stack(levels)[:, None].to(self.device)  # (k, 1, H, W)
        encodings = Encodings()
        outcomes = []
        for method, key in zip(self.methods, keys, strict=True):
            try:
                outcomes.append(self._scored(method, key, subject, sources, encodings, store))
            except FusionlabError as error:
                problem = f"{entry.stem}, {method.label}: {error}"
                outcomes.append(Outcome(entry.stem, method.label, {}, problem))
        return outcomes

    def _failed(self, entry: Entry, problem: str) -> list[Outcome]:
        return [Outcome(entry.stem, method.label, {}, problem) for method in self.methods]

    def _scored(
        self,
        method: Method,
        key: str,
        subject: Subject,
        sources: torch.Tensor,
        encodings: Encodings,
        store: ScoreStore,
    ) -> Outcome:
        own = digest(
            {"key": key, "sources": subject.sha256, "file": method.fingerprint(subject.stem)}
        )
        known = store.find(own, subject.stem)
        missing = [measure for measure in self.measures if measure.name not in known]
        if not missing:
            return Outcome(subject.stem, method.label, known, reused=True)
        picture = method.picture(subject, encodings)
        fused = grey_levels(picture, subject.stem).to(self.device)[None]
        values = {measure.name: value_of(measure, fused, sources) for measure in missing}
        outcome = Outcome(subject.stem, method.label, {**known, **values})
        store.note(own, outcome)
        return outcome
