"""An evaluation goes through images in order, survives bad ones, and resumes."""

import json

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.evaluation.measures import Measure
from fusionlab.evaluation.methods import FolderMethod, build_methods
from fusionlab.evaluation.run import Evaluation
from fusionlab.evaluation.store import NAME, check_folder
from fusionlab.imaging.scale import parse_scales
from fusionlab.plugins.host import installed
from fusionlab.runs.image_sets import find_image_set

STEMS = ["one", "three", "two"]


def evaluation(*names, methods=("identity/mean",), **settings):
    plugins = installed()
    measures = [Measure.find(name, plugins) for name in names or ("brightness",)]
    return Evaluation(build_methods(methods, plugins), measures, **settings)


def test_every_image_is_scored_in_order(image_set, metrics):
    outcomes = list(evaluation("brightness", "darkness", jobs=3).run(find_image_set([image_set])))
    assert [outcome.stem for outcome in outcomes] == STEMS
    for outcome in outcomes:
        assert outcome.values["brightness"] + outcome.values["darkness"] == 255
        assert not outcome.problem


def test_any_number_of_jobs_gives_the_same(image_set, metrics):
    entries = find_image_set([image_set])
    methods = ("densefuse@1e2/addition", "densefuse@1e2/max")
    found = [list(evaluation(methods=methods, jobs=jobs).run(entries)) for jobs in (1, 3)]
    assert found[0] == found[1]


def test_a_bad_image_costs_its_row_and_nothing_else(image_set, metrics):
    (image_set / "b" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    iio.imwrite(image_set / "b" / "three.png", np.zeros((5, 5), dtype=np.uint8))
    (image_set / "a" / "four.png").write_bytes((image_set / "a" / "one.png").read_bytes())
    outcomes = {o.stem: o for o in evaluation().run(find_image_set([image_set]))}
    assert outcomes["one"].values
    assert "cannot read" in outcomes["two"].problem
    assert "same size, got 30x24, 5x5" in outcomes["three"].problem
    assert "four is only in" in outcomes["four"].problem


def test_a_missing_result_costs_this_row_only(image_set, metrics, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    iio.imwrite(results / "one.png", np.full((24, 30), 9, dtype=np.uint8))
    one = evaluation()
    one.methods = [*one.methods, FolderMethod.parse(f"theirs={results}", STEMS)]
    entries = find_image_set([image_set])
    outcomes = list(one.run(entries))
    missing = [o.stem for o in outcomes if o.problem]
    assert missing == ["three", "two"]
    scores = one.scores(entries, outcomes)
    assert scores.used == [1]
    assert scores.means()[1] == [9]


def test_a_run_goes_on_where_the_last_one_stopped(image_set, metrics, tmp_path):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    first = evaluation(folder=folder).run(entries)
    whole = [next(first)]
    first.close()
    again = list(evaluation(folder=folder, resume=True).run(entries))
    assert again[0].reused
    assert again[0].values == whole[0].values
    lines = [json.loads(line) for line in (folder / NAME).read_text().splitlines()]
    assert sorted({line["image"] for line in lines}) == STEMS
    assert all(o.reused for o in evaluation(folder=folder, resume=True).run(entries))


def test_a_metric_that_is_new_is_computed_and_the_rest_kept(image_set, metrics, tmp_path):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    list(evaluation(folder=folder).run(entries))
    both = evaluation("brightness", "darkness", folder=folder, resume=True)
    outcomes = list(both.run(entries))
    assert all(o.values.keys() == {"brightness", "darkness"} for o in outcomes)
    assert not any(o.reused for o in outcomes)
    assert all(
        o.reused
        for o in evaluation("brightness", "darkness", folder=folder, resume=True).run(entries)
    )


@pytest.mark.parametrize("change", ["source", "setting", "result"])
def test_what_has_changed_is_scored_again(image_set, metrics, tmp_path, change):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    results = tmp_path / "results"
    results.mkdir()
    for stem in STEMS:
        iio.imwrite(results / f"{stem}.png", np.full((24, 30), 9, dtype=np.uint8))

    def run(policy="minmax"):
        one = evaluation(folder=folder, resume=True)
        one.methods = build_methods(["identity/mean"], installed(), range_policy=policy)
        one.methods.append(FolderMethod.parse(f"theirs={results}", STEMS))
        return {(o.stem, o.method): o.reused for o in one.run(entries)}

    run()
    assert all(run().values())
    other = np.full((24, 30), 8, dtype=np.uint8)
    if change == "source":
        iio.imwrite(image_set / "a" / "one.png", other)
        assert {key for key, reused in run().items() if not reused} == {
            ("one", "identity/mean"),
            ("one", "theirs"),
        }
    elif change == "setting":
        found = run("clip")
        assert {key for key, reused in found.items() if not reused} == {
            (stem, "identity/mean") for stem in STEMS
        }
    else:
        iio.imwrite(results / "two.png", other)
        assert [key for key, reused in run().items() if not reused] == [("two", "theirs")]


def test_a_line_that_was_cut_off_is_left_out(image_set, metrics, tmp_path):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    list(evaluation(folder=folder).run(entries))
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text[: len(text) - 30])
    found = list(evaluation(folder=folder, resume=True).run(entries))
    assert [o.reused for o in found].count(False) == 1
    assert all(o.reused for o in evaluation(folder=folder, resume=True).run(entries))


def test_undefined_values_are_remembered_as_such(image_set, metrics, tmp_path):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    for letter in "ab":
        iio.imwrite(image_set / letter / "tiny.png", np.zeros((3, 3), dtype=np.uint8))
    entries = find_image_set([image_set])
    list(evaluation("wide", folder=folder).run(entries))
    found = {o.stem: o for o in evaluation("wide", folder=folder, resume=True).run(entries)}
    assert found["tiny"].reused
    assert np.isnan(found["tiny"].values["wide"])


def test_a_folder_with_scores_asks_what_to_do(image_set, metrics, tmp_path):
    folder = tmp_path / "out"
    check_folder(folder, resume=False, overwrite=False)
    list(evaluation(folder=folder).run(find_image_set([image_set])))
    with pytest.raises(FusionlabError, match="--resume to go on with it, --overwrite"):
        check_folder(folder, resume=False, overwrite=False)
    check_folder(folder, resume=True, overwrite=False)
    check_folder(folder, resume=False, overwrite=True)


def test_a_folder_that_cannot_be_written_ends_the_run(image_set, metrics, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionlabError, match="cannot make the folder"):
        list(evaluation(folder=tmp_path / "file" / "out").run(find_image_set([image_set])))


def test_a_failing_metric_costs_its_value_only_and_is_tried_again(image_set, metrics, tmp_path):
    entries, settings = find_image_set([image_set]), {"folder": tmp_path / "out"}
    for resume in (False, True):
        run = evaluation("brightness", "broken", resume=resume, **settings)
        for outcome in run.run(entries):
            assert outcome.values.keys() == {"brightness"}
            assert "ZeroDivisionError" in outcome.problem
            assert not outcome.reused


def test_a_metric_whose_code_has_changed_is_computed_again(image_set, metrics, tmp_path):
    entries, folder = find_image_set([image_set]), tmp_path / "out"
    list(evaluation(folder=folder).run(entries))
    assert all(o.reused for o in evaluation(folder=folder, resume=True).run(entries))
    module = tmp_path / "site-packages" / "by_hand.py"
    module.write_text(module.read_text().replace("dim=(1, 2))", "dim=(1, 2)) + 1", 1))
    again = list(evaluation(folder=folder, resume=True).run(entries))
    assert not any(o.reused for o in again)


def test_two_metrics_of_one_name_are_kept_apart(image_set, install, metrics, tmp_path):
    code = (tmp_path / "site-packages" / "by_hand.py").read_text()
    install("second", code.replace("fused.double().mean(dim=(1, 2))", "0 * fused[:, 0, 0]", 1))
    names = ("by-hand:brightness", "second:brightness")
    (outcome, *_) = evaluation(*names).run(find_image_set([image_set]))
    assert outcome.values["by-hand:brightness"] > 0
    assert outcome.values["second:brightness"] == 0


def test_a_full_disk_keeps_the_values(image_set, metrics, tmp_path, monkeypatch):
    from fusionlab.evaluation.store import ScoreStore

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ScoreStore, "note", full)
    one = evaluation(folder=tmp_path / "out")
    assert all(outcome.values for outcome in one.run(find_image_set([image_set])))
    assert "No space left on device" in one.unwritten


def test_replacing_scores_removes_the_tables_made_of_them(image_set, metrics, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "table.md").write_text("old")
    list(evaluation(folder=folder, resume=True).run(find_image_set([image_set])))
    assert (folder / "table.md").exists()
    list(evaluation(folder=folder).run(find_image_set([image_set])))
    assert not (folder / "table.md").exists()


def test_a_scale_counts_for_fusion_and_metrics_alike(tmp_path, metrics):
    """Counts of 1000..1100 on their own range, against the same on that of their type."""
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / letter).mkdir()
        pixels = rng.integers(1000, 1101, (24, 30), dtype=np.uint16)
        pixels[0, :2] = 1000, 1100
        iio.imwrite(tmp_path / letter / "one.tif", pixels)
    entries, plugins = find_image_set([tmp_path]), installed()
    means = {}
    for scale in ("full", "minmax", "1000,1100"):
        scales = parse_scales(scale)
        one = evaluation("MSE", "brightness", scale=scales)
        one.methods = build_methods(["identity/mean"], plugins, range_policy="clip", scale=scales)
        (outcome,) = one.run(entries)
        means[scale] = outcome.values
    assert means["full"]["brightness"] == pytest.approx(1050 / 257, rel=0.01)
    assert means["minmax"]["brightness"] == pytest.approx(127.5, rel=0.02)
    assert means["minmax"] == pytest.approx(means["1000,1100"])
    assert means["minmax"]["MSE"] > 100 * means["full"]["MSE"]
