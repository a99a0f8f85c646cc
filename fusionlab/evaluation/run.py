"""Evaluate methods on an image set: fuse or read, score, and keep what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.measures import Measure, value_of
from fusionlab.evaluation.methods import Method, Subject
from fusionlab.evaluation.metric_input import RULE, gray_levels
from fusionlab.evaluation.scores import Outcome, Scores
from fusionlab.evaluation.store import ScoreStore
from fusionlab.imaging.reading import MAX_PIXELS, read_image
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.storage.hashing import sha256_of_json

KEPT_BYTES = 2**30
"""How large the features of an image may be that the strategies share: a pair of 2 megapixels."""


@dataclass
class Evaluation:
    """Methods, metrics, and where scores are kept.

    Args:
        methods: the rows, see `fusionlab.evaluation.methods`.
        measures: the columns.
        folder: where scores are kept as they come; None: nowhere.
        resume: use the scores of an earlier run in this folder where nothing has changed.
        scale: which values of the sources are black and white for the metrics.
        jobs: how many images are worked on at the same time; each may keep 1 GiB of features.
        device: where the metrics are computed.
        max_pixels: refuse sources that claim more; None: no limit.
    """

    methods: Sequence[Method]
    measures: Sequence[Measure]
    folder: Path | None = None
    resume: bool = False
    scale: Sequence[Scale] = (Scale(),)
    jobs: int = 1
    device: str | torch.device = "cpu"
    max_pixels: int | None = MAX_PIXELS
    done: int = field(default=0, init=False)
    """How many rows of scores there are, also those that have not been yielded yet."""
    unwritten: str = field(default="", init=False)
    """Why scores could not be kept any more, a sentence; empty if all is well."""
    _stopping: Event = field(default_factory=Event, init=False, repr=False)

    def run(self, entries: Sequence[ImageSetItem]) -> Iterator[Outcome]:
        """Score every method on every image, images in their order.

        An image whose sources cannot be read, and a result that cannot be made or read, fails by
        itself: its outcome says why. A metric that fails costs its value.

        Raises:
            FusionlabError: the folder cannot be used. (If it cannot be written later on, the run
                goes on, and `unwritten` says so.)
        """
        store = ScoreStore(self.folder, resume=self.resume)
        seen = {"gray": RULE, "scale": [str(scale) for scale in self.scale]}
        keys = [sha256_of_json({"method": method.describe(), **seen}) for method in self.methods]
        pool = ThreadPoolExecutor(self.jobs, "evaluate")
        try:
            for outcomes in pool.map(lambda entry: self._image(entry, keys, store), entries):
                yield from outcomes
        finally:  # also at Ctrl-C: what has been noted stays
            self._stopping.set()
            pool.shutdown(cancel_futures=True)

    def scores(self, entries: Sequence[ImageSetItem], outcomes: Sequence[Outcome]) -> Scores:
        """Gather outcomes into a table."""
        labels = [method.label for method in self.methods]
        return Scores(labels, [entry.stem for entry in entries], self.measures, outcomes)

    def _image(self, entry: ImageSetItem, keys: Sequence[str], store: ScoreStore) -> list[Outcome]:
        """Score all methods on one image, the sources read and encoded once."""
        try:
            if entry.problem:
                raise FusionlabError(entry.problem)  # noqa: TRY301  # the same way out as below
            subject = Subject.of(
                entry.stem, [read_image(path, self.max_pixels) for path in entry.sources]
            )
            sources = self._levels(subject)
        except FusionlabError as error:
            problem = entry.problem or f"{entry.stem}: {error}"
            return [Outcome(entry.stem, method.label, {}, problem) for method in self.methods]
        feature_cache = FeatureCache(KEPT_BYTES)
        outcomes = []
        for method, key in zip(self.methods, keys, strict=True):
            if self._stopping.is_set():
                break
            try:
                own = sha256_of_json(
                    {"key": key, "sources": subject.sha256, "file": method.fingerprint(entry.stem)}
                )
                known = store.find(own, entry.stem, self.measures)
                outcome = self._scored(method, subject, sources, feature_cache, known)
            except FusionlabError as error:
                problem = f"{entry.stem}, {method.label}: {error}"
                outcome = Outcome(entry.stem, method.label, {}, problem)
            if outcome.values and not outcome.reused:
                self._keep(store, own, outcome)
            outcomes.append(outcome)
            self.done += 1
        return outcomes

    def _keep(self, store: ScoreStore, key: str, outcome: Outcome) -> None:
        """Note an outcome; what has been computed is worth more than the disk that is full."""
        try:
            store.note(key, outcome, self.measures)
        except OSError as error:
            self.unwritten = f"cannot write {self.folder}: {error.strerror or error}"

    def _levels(self, subject: Subject) -> Tensor:
        """Return the sources `(k, 1, H, W)` as the metrics see them."""
        scales = scales_for(self.scale, len(subject.sources))
        levels = [
            gray_levels(image, name, scale)
            for image, name, scale in zip(subject.sources, subject.names, scales, strict=True)
        ]
        return torch.stack(levels)[:, None].to(self.device)

    def _scored(
        self,
        method: Method,
        subject: Subject,
        sources: Tensor,
        feature_cache: FeatureCache,
        known: dict[str, float],
    ) -> Outcome:
        """Return the values of one method for one image, computing those that are not known.

        The value of a metric that fails is missing, and the problem says why.
        """
        missing = [measure for measure in self.measures if measure.name not in known]
        if not missing:
            return Outcome(subject.stem, method.label, known, reused=True)
        picture = method.picture(subject, feature_cache)
        fused = gray_levels(picture, f"the result of {method.label}").to(self.device)[None]
        values, failures = dict(known), []
        for measure in missing:
            if self._stopping.is_set():
                break
            try:
                values[measure.name] = value_of(measure, fused, sources)
            except FusionlabError as error:  # a stranger's metric; a later run tries it again
                failures.append(str(error))
        return Outcome(subject.stem, method.label, values, "; ".join(failures))
