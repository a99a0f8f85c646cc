"""Methods that do not take the number of sources of an image set are left out of its table."""

from dataclasses import dataclass
from typing import ClassVar

import imageio.v3 as iio
import numpy as np
import pytest

import fusionlab
from fusionlab import FusionlabError, Strategy


@dataclass(frozen=True)
class First(Strategy):
    """Take the first source."""

    support = 0
    domain: ClassVar[str] = "pixels"

    def fuse(self, features, scene):
        return features[0]


@dataclass(frozen=True)
class PairOnly(First):
    max_k: ClassVar[int] = 2


@dataclass(frozen=True)
class ThreeRoles(First):
    roles: ClassVar[tuple[str, ...]] = ("red", "green", "blue")


@dataclass(frozen=True)
class Picky(First):
    limit: float = 0.0

    def fuse(self, features, scene):
        if features.mean() > self.limit:
            raise FusionlabError("too bright")
        return features[0]


@pytest.fixture(autouse=True)
def _metrics(metrics):
    """All tests here may use the metrics that are easy to work out."""


@pytest.fixture
def set_of(tmp_path):
    """Build an image set: stem -> number of sources."""

    def build(counts):
        rng = np.random.default_rng(0)
        for stem, k in counts.items():
            for letter in "abcd"[:k]:
                folder = tmp_path / "set" / letter
                folder.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (24, 30), dtype=np.uint8)
                iio.imwrite(folder / f"{stem}.png", pixels)
        return tmp_path / "set"

    return build


@pytest.mark.parametrize(
    ("strategy", "needed"),
    [(PairOnly(), "exactly 2 sources"), (ThreeRoles(), "3 sources (red, green, blue)")],
)
def test_a_method_that_does_not_fit_costs_the_other_rows_nothing(set_of, strategy, needed):
    folder = set_of({"one": 3, "two": 4})
    alone = fusionlab.evaluate(folder, "identity/mean", "brightness")
    rows, told = ["identity/mean", {"odd": strategy}], []
    report = fusionlab.evaluate(folder, rows, "brightness", on_problem=told.append)
    assert report.left_out == {"odd": f"it needs {needed}, the set has 3 to 4"}
    assert told == [f"odd is left out: it needs {needed}, the set has 3 to 4"]
    assert report.means == alone.means
    assert report.problems == []
    assert {row.method for row in report.rows} == {"identity/mean"}


def test_roles_fit_a_set_with_one_source_for_each(set_of):
    report = fusionlab.evaluate(set_of({"one": 3}), {"odd": ThreeRoles()}, "brightness")
    assert list(report.means) == ["odd"]


def test_a_mixed_set_leaves_out_a_method_for_two_sources_as_a_whole(set_of):
    """Its mean would be over other images than those of the other rows."""
    folder = set_of({"one": 2, "two": 3, "three": 2})
    report = fusionlab.evaluate(folder, ["identity/mean", {"pair": PairOnly()}], "brightness")
    assert list(report.means) == ["identity/mean"]
    assert report.scores.counts == [3]
    assert list(report.left_out) == ["pair"]


def test_a_sample_that_cannot_be_fused_does_not_decide_what_fits(set_of):
    folder = set_of({"one": 2, "two": 2})
    (folder / "a" / "three.png").write_bytes((folder / "a" / "one.png").read_bytes())
    report = fusionlab.evaluate(folder, {"pair": PairOnly()}, "brightness")
    assert report.left_out == {}
    assert report.scores.counts == [2]


def test_a_table_without_a_method_that_fits_is_refused(set_of):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.evaluate(set_of({"one": 3}), {"pair": PairOnly()}, "brightness")
    assert refused.value.code == "no-row-fits"


def test_a_row_that_is_left_out_cannot_be_compared_with(set_of):
    methods = ["identity/mean", {"pair": PairOnly()}]
    with pytest.raises(FusionlabError, match="exactly 2 sources") as refused:
        fusionlab.evaluate(set_of({"one": 3}), methods, "brightness", against="pair")
    assert refused.value.code == "no-such-row"


def test_a_resumed_run_computes_a_row_that_fits_now(set_of, tmp_path):
    methods = ["identity/mean", {"pair": PairOnly()}]
    folder, output = set_of({"one": 2, "two": 3}), tmp_path / "out"
    fusionlab.evaluate(folder, methods, "EN", output=output)
    (folder / "c" / "two.png").unlink()
    report = fusionlab.evaluate(folder, methods, "EN", output=output, resume=True)
    assert report.left_out == {}
    assert {(row.sample, row.method): row.reused for row in report.rows} == {
        ("one", "identity/mean"): True,
        ("one", "pair"): False,
        ("two", "identity/mean"): False,
        ("two", "pair"): False,
    }


def test_an_error_of_one_method_on_one_image_costs_only_its_row(set_of):
    folder = set_of({"one": 2, "two": 2, "three": 2})
    brightness = [
        np.mean([iio.imread(folder / letter / f"{stem}.png") for letter in "ab"])
        for stem in ("one", "two", "three")
    ]
    picky = {"picky": Picky(float(np.median(brightness)) + 1e-3)}
    report = fusionlab.evaluate(folder, ["identity/mean", picky], "brightness", against="picky")
    assert report.scores.method_counts[:, 0].tolist() == [3, 2]
    assert [entry.images for entry in report.differences] == [2]
    (problem,) = report.problems
    assert "too bright" in problem
