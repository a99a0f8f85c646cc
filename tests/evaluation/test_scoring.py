"""A scoring run goes through the samples in order, survives bad ones, and resumes."""

import json
from itertools import chain, product
from threading import Event

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.evaluation.executors import ExecutorChoice
from fusionlab.evaluation.jobs import run_job
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.run import ScoringRun
from fusionlab.evaluation.score_journal import NAME, ScoreJournal, check_output_folder
from fusionlab.evaluation.scores import Scores, in_order
from fusionlab.evaluation.scoring import ScoringSettings
from fusionlab.imaging.scale import parse_scales
from fusionlab.plugins.host import installed
from fusionlab.runs.image_sets import find_image_set

SAMPLES = ["one", "three", "two"]


class Run(ScoringRun):
    """A run with threads."""

    jobs = 1

    def run(self, items):
        with ExecutorChoice("threads", self.jobs).open() as workers:
            yield from chain.from_iterable(super().run(self.look_up(items), workers))


def scoring_run(
    *names,
    methods=("identity/mean",),
    range_policy="minmax",
    scale="full",
    folder=None,
    resume=False,
    jobs=1,
    **more,
):
    plugins = installed()
    metrics = [Metric.find(name, plugins) for name in names or ("brightness",)]
    scales = parse_scales(scale)
    builder = MethodBuilder(plugins, range_policy=range_policy, scale=scales)
    settings = ScoringSettings(scales)
    journal = ScoreJournal(folder, resume=resume)
    run = Run(builder.build(methods, SAMPLES), metrics, journal, settings, **more)
    run.jobs = jobs
    return run


def test_every_image_is_scored(image_set, metrics):
    rows = list(scoring_run("brightness", "darkness", jobs=3).run(find_image_set([image_set])))
    assert sorted(row.sample for row in rows) == SAMPLES
    for row in rows:
        assert row.values["brightness"] + row.values["darkness"] == 255
        assert not row.problem


def test_any_number_of_jobs_gives_the_same(image_set, metrics):
    items = find_image_set([image_set])
    methods = ("densefuse@1e2/addition", "densefuse@1e2/max")
    runs = {jobs: scoring_run(methods=methods, jobs=jobs) for jobs in (1, 3)}
    labels = [method.label for method in runs[1].methods]
    serial, parallel = (in_order(run.run(items), SAMPLES, labels) for run in runs.values())
    assert serial == parallel
    assert [(row.sample, row.method) for row in serial] == list(product(SAMPLES, labels))


def test_rows_are_counted_and_yielded_while_an_earlier_sample_is_being_computed(
    image_set, metrics, monkeypatch
):
    monkeypatch.setattr("fusionlab.evaluation.run.WAIT_SECONDS", 0.01)
    others = Event()

    def slow_first(job, stopping):
        if job.item.stem == SAMPLES[0]:
            assert others.wait(60)
        return run_job(job, stopping)

    monkeypatch.setattr("fusionlab.evaluation.run.run_job", slow_first)
    counts, samples = [], []
    run = scoring_run(jobs=2, progress=lambda *count: counts.append(count))
    with ExecutorChoice("threads", 2).open() as workers:
        for batch in ScoringRun.run(run, run.look_up(find_image_set([image_set])), workers):
            samples += [row.sample for row in batch]
            if len(samples) == 2 and not batch:  # none has come for a while
                assert counts == [(0, 3), (1, 3), (2, 3)]
                others.set()
    assert samples == ["three", "two", "one"]


def test_a_bad_image_costs_its_row_and_nothing_else(image_set, metrics):
    (image_set / "b" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    iio.imwrite(image_set / "b" / "three.png", np.zeros((5, 5), dtype=np.uint8))
    (image_set / "a" / "four.png").write_bytes((image_set / "a" / "one.png").read_bytes())
    rows = {row.sample: row for row in scoring_run().run(find_image_set([image_set]))}
    assert rows["one"].values
    assert "cannot read" in rows["two"].problem
    assert "same size, got 30x24, 5x5" in rows["three"].problem
    assert "four is only in" in rows["four"].problem


def test_a_missing_result_costs_this_row_only(image_set, metrics, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    iio.imwrite(results / "one.png", np.full((24, 30), 9, dtype=np.uint8))
    items = find_image_set([image_set])
    run = scoring_run(methods=["identity/mean", f"theirs={results}"])
    rows = list(run.run(items))
    assert sorted(row.sample for row in rows if row.problem) == ["three", "two"]
    labels = [method.label for method in run.methods]
    scores = Scores(labels, [item.stem for item in items], run.metrics, rows)
    assert scores.counts == [3]
    assert scores.method_counts.tolist() == [[3], [1]]
    assert scores.means()[1] == [9]


def test_a_run_resumes_where_the_last_one_stopped(image_set, metrics, tmp_path):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    first = scoring_run(folder=folder).run(items)
    complete = next(first)
    first.close()
    counts = []
    resumed = scoring_run(folder=folder, resume=True, progress=lambda *count: counts.append(count))
    again = list(resumed.run(items))
    known = sum(row.reused for row in again)
    assert counts == [(number, 3) for number in range(known, 4)]
    assert again[0].reused
    assert again[0].values == complete.values
    lines = [json.loads(line) for line in (folder / NAME).read_text().splitlines()]
    assert sorted({line["image"] for line in lines}) == SAMPLES
    assert all(row.reused for row in scoring_run(folder=folder, resume=True).run(items))


def test_a_metric_that_is_new_is_computed_and_the_rest_kept(image_set, metrics, tmp_path):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    list(scoring_run(folder=folder).run(items))
    both = scoring_run("brightness", "darkness", folder=folder, resume=True)
    rows = list(both.run(items))
    assert all(row.values.keys() == {"brightness", "darkness"} for row in rows)
    assert not any(row.reused for row in rows)
    assert all(
        row.reused
        for row in scoring_run("brightness", "darkness", folder=folder, resume=True).run(items)
    )


@pytest.mark.parametrize("change", ["source", "setting", "result"])
def test_what_has_changed_is_scored_again(image_set, metrics, tmp_path, change):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    results = tmp_path / "results"
    results.mkdir()
    for name in SAMPLES:
        iio.imwrite(results / f"{name}.png", np.full((24, 30), 9, dtype=np.uint8))

    def run(policy="minmax"):
        methods = ["identity/mean", f"theirs={results}"]
        again = scoring_run(methods=methods, range_policy=policy, folder=folder, resume=True)
        return {(row.sample, row.method): row.reused for row in again.run(items)}

    run()
    assert all(run().values())
    changed = np.full((24, 30), 8, dtype=np.uint8)
    if change == "source":
        iio.imwrite(image_set / "a" / "one.png", changed)
        assert {key for key, reused in run().items() if not reused} == {
            ("one", "identity/mean"),
            ("one", "theirs"),
        }
    elif change == "setting":
        clipped = run("clip")
        assert {key for key, reused in clipped.items() if not reused} == {
            (name, "identity/mean") for name in SAMPLES
        }
    else:
        iio.imwrite(results / "two.png", changed)
        assert [key for key, reused in run().items() if not reused] == [("two", "theirs")]


def test_a_line_that_was_cut_off_is_skipped(image_set, metrics, tmp_path):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    list(scoring_run(folder=folder).run(items))
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text[: len(text) - 30])
    rows = list(scoring_run(folder=folder, resume=True).run(items))
    assert [row.reused for row in rows].count(False) == 1
    assert all(row.reused for row in scoring_run(folder=folder, resume=True).run(items))


def test_undefined_values_are_remembered_as_such(image_set, metrics, tmp_path):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    for letter in "ab":
        iio.imwrite(image_set / letter / "tiny.png", np.zeros((3, 3), dtype=np.uint8))
    items = find_image_set([image_set])
    list(scoring_run("wide", folder=folder).run(items))
    rows = {row.sample: row for row in scoring_run("wide", folder=folder, resume=True).run(items)}
    assert rows["tiny"].reused
    assert np.isnan(rows["tiny"].values["wide"])


def test_a_folder_with_scores_must_be_resumed_or_overwritten(image_set, metrics, tmp_path):
    folder = tmp_path / "out"
    check_output_folder(folder, resume=False, overwrite=False)
    list(scoring_run(folder=folder).run(find_image_set([image_set])))
    with pytest.raises(FusionlabError) as refused:
        check_output_folder(folder, resume=False, overwrite=False)
    assert (refused.value.code, refused.value.option) == ("earlier-run", "resume")
    check_output_folder(folder, resume=True, overwrite=False)
    check_output_folder(folder, resume=False, overwrite=True)
    with pytest.raises(FusionlabError) as refused:
        check_output_folder(folder, resume=True, overwrite=True)
    assert refused.value.code == "resume-or-overwrite"


def test_a_folder_that_cannot_be_written_ends_the_run(image_set, metrics, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionlabError, match="cannot make the folder"):
        list(scoring_run(folder=tmp_path / "file" / "out").run(find_image_set([image_set])))


def test_a_failing_metric_costs_its_value_only_and_is_tried_again(image_set, metrics, tmp_path):
    items, settings = find_image_set([image_set]), {"folder": tmp_path / "out"}
    for resume in (False, True):
        run = scoring_run("brightness", "broken", resume=resume, **settings)
        for row in run.run(items):
            assert row.values.keys() == {"brightness"}
            assert "ZeroDivisionError" in row.problem
            assert not row.reused


def test_a_metric_whose_code_has_changed_is_computed_again(image_set, metrics, tmp_path):
    items, folder = find_image_set([image_set]), tmp_path / "out"
    list(scoring_run(folder=folder).run(items))
    assert all(row.reused for row in scoring_run(folder=folder, resume=True).run(items))
    module = tmp_path / "site-packages" / "by_hand.py"
    module.write_text(module.read_text().replace("dim=(1, 2))", "dim=(1, 2)) + 1", 1))
    again = list(scoring_run(folder=folder, resume=True).run(items))
    assert not any(row.reused for row in again)


def test_two_metrics_of_one_name_are_kept_apart(image_set, install, metrics, tmp_path):
    code = (tmp_path / "site-packages" / "by_hand.py").read_text()
    install("second", code.replace("fused.double().mean(dim=(1, 2))", "0 * fused[:, 0, 0]", 1))
    names = ("by-hand:brightness", "second:brightness")
    (row, *_) = scoring_run(*names).run(find_image_set([image_set]))
    assert row.values["by-hand:brightness"] > 0
    assert row.values["second:brightness"] == 0


def test_a_full_disk_keeps_the_values(image_set, metrics, tmp_path, monkeypatch):
    def full(*args):
        raise FusionlabError("cannot write rows.jsonl: No space left on device")

    monkeypatch.setattr(ScoreJournal, "append", full)
    run = scoring_run(folder=tmp_path / "out")
    assert all(row.values for row in run.run(find_image_set([image_set])))
    assert "No space left on device" in run.unsaved


def test_progress_counts_every_row(image_set, metrics):
    calls = []
    run = scoring_run(
        methods=["identity/mean", "identity/max"], progress=lambda *call: calls.append(call), jobs=3
    )
    list(run.run(find_image_set([image_set])))
    assert calls == [(number, 6) for number in range(7)]


def test_replacing_scores_removes_the_tables_made_of_them(image_set, metrics, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "table.md").write_text("old")
    list(scoring_run(folder=folder, resume=True).run(find_image_set([image_set])))
    assert (folder / "table.md").exists()
    list(scoring_run(folder=folder).run(find_image_set([image_set])))
    assert not (folder / "table.md").exists()


def test_a_scale_counts_for_fusion_and_metrics_alike(tmp_path, metrics):
    """Counts of 1000..1100 on their own range, against the same on that of their type."""
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / letter).mkdir()
        pixels = rng.integers(1000, 1101, (24, 30), dtype=np.uint16)
        pixels[0, :2] = 1000, 1100
        iio.imwrite(tmp_path / letter / "one.tif", pixels)
    items, means = find_image_set([tmp_path]), {}
    for scale in ("full", "minmax", "1000,1100"):
        run = scoring_run("MSE", "brightness", range_policy="clip", scale=scale)
        (row,) = run.run(items)
        means[scale] = row.values
    assert means["full"]["brightness"] == pytest.approx(1050 / 257, rel=0.01)
    assert means["minmax"]["brightness"] == pytest.approx(127.5, rel=0.02)
    assert means["minmax"] == pytest.approx(means["1000,1100"])
    assert means["minmax"]["MSE"] > 100 * means["full"]["MSE"]
