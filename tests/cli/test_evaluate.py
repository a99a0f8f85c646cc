"""`fusionlab evaluate` and `score` and `metrics`, as a user types them."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab.cli import main


@pytest.fixture
def image_set(tmp_path, monkeypatch):
    """Six pairs, in the folder the user is in."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (48, 52), dtype=np.uint8)
            iio.imwrite(tmp_path / "set" / letter / f"{number}.png", pixels)
    return tmp_path / "set"


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_a_table_with_the_gain_of_a_learned_backbone(image_set):
    result = run("evaluate", "set", "--method", "densefuse@1e2/mean", "--metrics", "EN,SD")
    assert result.exit_code == 0, result.output
    assert "densefuse@1e2/mean" in result.stdout
    assert "identity/mean" in result.stdout
    assert "EN ↑" in result.stdout
    assert "range   auto: clip, or minmax where the strategy needs it" in result.stdout
    assert "luminance 0.299 R + 0.587 G + 0.114 B" in result.stdout
    assert "Gain over the baseline" in result.stdout


def test_results_are_compared_with_true_images_where_there_are_any(image_set):
    (image_set / "truth").mkdir()
    for number in range(5):
        pixels = iio.imread(image_set / "a" / f"{number}.png")
        iio.imwrite(image_set / "truth" / f"{number}.png", pixels)
    result = run(
        *("evaluate", "set", "--method", "identity/mean", "--metrics", "EN"),
        *("--truth", image_set / "truth"),
    )
    assert result.exit_code == 1, result.output  # the sixth image has no truth
    assert "EN ↑" in result.stdout
    assert "PSNR_truth ↑" in result.stdout
    assert "no score: 5 has no true image" in result.stderr
    assert "PSNR_truth 5" in result.stdout  # images
    nothing = run("evaluate", "set", "--method", "identity/mean", "--truth", image_set.parent)
    assert nothing.exit_code == 2
    assert "(--truth)" in nothing.stderr


def test_the_files_are_written_and_a_second_run_is_refused(image_set):
    args = ["evaluate", "set", "--method", "identity/mean", "--metrics", "EN", "-o", "out"]
    assert run(*args).exit_code == 0
    names = {path.name for path in (image_set.parent / "out").iterdir()}
    assert names == {
        "table.md",
        "table.tex",
        "means.csv",
        "comparisons.csv",
        "rows.csv",
        "study.json",
        "rows.jsonl",
    }
    second = run(*args)
    assert second.exit_code == 2
    assert "(--resume)" in second.stderr
    first = (image_set.parent / "out" / "study.json").read_bytes()
    resumed = run(*args, "--resume")
    assert resumed.exit_code == 0
    assert "6 of 6 rows of scores come from the earlier run" in resumed.stderr
    assert (image_set.parent / "out" / "study.json").read_bytes() == first
    assert run(*args, "--overwrite").exit_code == 0
    assert (image_set.parent / "out" / "study.json").read_bytes() == first


def test_json_is_all_there_is_on_stdout(image_set):
    result = run("evaluate", "set", "--method", "identity/max", "--metrics", "EN SD", "--json")
    content = json.loads(result.stdout)
    assert list(content["methods"]) == ["identity/max"]
    assert len(content["methods"]["identity/max"]["values"]) == 6


def test_results_of_other_programs_are_scored_beside_ours(image_set):
    fused = run("fuse", "set", "--backbone", "identity", "--strategy", "mean", "-o", "theirs")
    assert fused.exit_code == 0, fused.output
    result = run(
        *("evaluate", "set", "--metrics", "EN,SD,MSE", "--range", "clip"),
        *("--method", "identity/mean", "--fused", "Theirs=theirs", "--against", "Theirs"),
    )
    assert result.exit_code == 0, result.output
    assert "Against Theirs" in result.stdout
    assert "+0.0000" in result.stdout  # the same images, so no difference


def test_without_options_the_scored_image_is_the_one_that_fuse_writes(image_set):
    method = ("--backbone", "densefuse@1e2", "--strategy")
    for strategy in ("max", "addition"):
        assert run("fuse", "set", *method, strategy, "-o", strategy).exit_code == 0
    methods = ("--method", "densefuse@1e2/max", "--method", "densefuse@1e2/addition")
    result = run("evaluate", "set", *methods, "--metrics", "EN", "-o", "out", "--save-images")
    assert result.exit_code == 0, result.output
    assert "outside %" in result.stdout
    for strategy in ("max", "addition"):
        for number in range(6):
            scored = iio.imread(f"out/images/densefuse@1e2/{strategy}/{number}.png")
            assert np.array_equal(scored, iio.imread(f"{strategy}/{number}.png"))


def test_a_row_to_compare_with_may_be_spelled_with_default_values(image_set):
    result = run(
        *("evaluate", "set", "--metrics", "EN", "--against", "identity/l1norm,r=1"),
        *("--method", "identity/l1norm,r=1", "--method", "identity/mean"),
    )
    assert result.exit_code == 0, result.output
    assert "Against identity/l1norm" in result.stdout


def test_a_bad_image_is_reported_and_costs_exit_code_1(image_set):
    (image_set / "a" / "3.png").write_bytes(b"nothing")
    result = run("evaluate", "set", "--method", "identity/mean", "--metrics", "EN")
    assert result.exit_code == 1
    assert "warning: no score: 3: cannot read set/a/3.png" in result.stderr
    assert "over those that have a value: EN 5" in result.stdout


@pytest.mark.usefixtures("only_what_ships")
def test_a_preset_brings_methods_metrics_and_published_rows(image_set):
    result = run("evaluate", "set", "--preset", "paper", "--metrics", "EN", "--digits", "5")
    assert result.exit_code == 0, result.output
    for label in ("densefuse@1e3/addition", "densefuse@1e0/l1norm,r=0", "identity/l1norm,r=0"):
        assert label in result.stdout
    for text in (result.stdout, result.stderr):
        assert "cbf,variant=authors is left out: install fusionlab-classics" in text
    assert "Published" in result.stdout
    assert "6.65426" in result.stdout
    assert "means over 20 images, ours over 6: they do not compare" in result.stdout
    assert "Distance of our rows" not in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["set"], "nothing to evaluate"),
        (["set", "--method", "addition"], "needs a backbone"),
        (["set", "--method", "identity/nothing"], "there is no strategy 'nothing'"),
        (["set", "--method", "identity/mean", "--metrics", "Qbf"], "there is no metric 'Qbf'"),
        (["set", "--method", "identity/mean", "--against", "me"], "there is no row 'me'"),
        (["set", "--method", "identity/mean", "--resume"], "(--output)"),
        (["set", "--fused", "x=set/a", "--fused", "x=set/b"], "two rows are called 'x'"),
        (["set", "--fused", "x=missing"], "missing is not a folder"),
        (["set", "--fused", "x=set"], "x has no result for any image of the set"),
        (["set", "--method", "identity/mean", "--metrics", ","], "no metrics are given"),
        (
            ["set", "--method", "identity/mean", "-o", "out", "--resume", "--overwrite"],
            "choose one",
        ),
        (["set", "--preset", "newspaper"], "there is no preset 'newspaper'"),
        (["nowhere", "--method", "identity/mean"], "cannot read nowhere"),
        (["set/a", "--method", "identity/mean"], "set/a is not an image set"),
    ],
)
def test_a_mistake_costs_one_sentence(image_set, args, message):
    result = run("evaluate", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_metric_given_twice_counts_once(image_set):
    """Otherwise it would count as another test, and change the p-values of all."""
    result = run("evaluate", "set", "--method", "densefuse/mean", "--metrics", "EN,SD,EN", "--json")
    assert len(json.loads(result.stdout)["comparisons"]) == 2


def test_a_perfect_copy_has_no_number_in_json(image_set):
    result = run("evaluate", "set", "--fused", "x=set/a", "--metrics", "PSNR,EN", "--json")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout, parse_constant=pytest.fail)
    scored = run("score", "--metrics", "PSNR", "--json", "set/a/0.png", "set/a/0.png")
    assert json.loads(scored.stdout, parse_constant=pytest.fail)["values"] == {"PSNR": None}


def test_a_second_metric_of_a_default_name_does_not_break_the_defaults(image_set, install):
    install(
        "rival",
        """
        from fusionlab import hookimpl
        from fusionlab.plugins.offers import MetricRef
        @hookimpl
        def fusionlab_metrics(): return [MetricRef("EN", "x:y", "Mine.")]
        """,
    )
    result = run("evaluate", "set", "--method", "identity/mean")
    assert result.exit_code == 0, result.output
    assert "fusionlab-imaging:EN" in result.stdout


def test_ctrl_c_says_how_to_resume(image_set, monkeypatch):
    from fusionlab.evaluation.run import ScoringRun

    run_all = ScoringRun.run

    def stopped(self, *args):
        for number, row in enumerate(run_all(self, *args)):
            if number == 2:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(ScoringRun, "run", stopped)
    command = [
        "evaluate",
        "set",
        "--method",
        "identity/mean",
        "--metrics",
        "EN",
        "--executor",
        "threads:1",
    ]
    result = run(*command, "-o", "out")
    assert result.exit_code == 130
    assert "rows of scores; continue with --resume" in result.stderr
    monkeypatch.undo()
    monkeypatch.chdir(image_set.parent)
    resumed = run(*command, "-o", "out", "--resume")
    assert resumed.exit_code == 0
    assert "rows of scores come from the earlier run" in resumed.stderr


def test_score_prints_a_line_for_each_metric(image_set):
    result = run("score", "--metrics", "EN,MSE", "set/a/0.png", "set/a/0.png", "set/b/0.png")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["EN", "MSE"]


def test_score_as_json_takes_any_number_of_sources(image_set):
    names = [f"set/a/{number}.png" for number in range(4)]
    result = run("score", "--metrics", "EN,Q_C", "--json", *names)
    content = json.loads(result.stdout)
    assert content["values"]["EN"] > 7
    assert content["values"]["Q_C"] is None  # defined for two sources
    assert content["sources"] == names[1:]


def test_score_takes_a_scale_for_sources_without_an_agreed_white(image_set):
    iio.imwrite("count.tif", iio.imread("set/a/0.png").astype(np.int32))
    args = ["score", "--metrics", "MSE", "--json", "set/a/0.png", "count.tif"]
    refused = run(*args)
    assert refused.exit_code == 2
    assert "(--scale)" in refused.stderr
    content = json.loads(run(*args, "--scale", "0,255").stdout)
    assert content["values"]["MSE"] == pytest.approx(0, abs=1e-6)  # scales are applied in float32


def test_score_takes_the_metrics_of_a_preset(image_set):
    result = run("score", "--preset", "paper", "--json", *[f"set/a/{n}.png" for n in range(3)])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["values"]) == 7


def test_score_compares_with_a_true_image(image_set):
    files = ["set/a/0.png", "set/a/0.png", "set/b/0.png"]
    args = ["score", "--metrics", "EN", "--truth", "set/b/0.png", *files]
    result = run(*args)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["truth", "set/b/0.png"] in lines
    assert [line[0] for line in lines[-3:]] == ["EN", "PSNR_truth", "SSIM_truth"]
    assert "with the true image as the only source" in result.stdout
    content = json.loads(run(*args, "--json").stdout)
    assert content["truth"] == "set/b/0.png"
    expected = json.loads(run("score", "--metrics", "PSNR", "--json", files[0], files[2]).stdout)
    assert content["values"]["PSNR_truth"] == expected["values"]["PSNR"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.png", "gone.png does not exist"),
        ("small.png", "small.png has 5x5 pixels, set/a/0.png 52x48 (--truth)"),
        ("text.png", "cannot read text.png"),
        ("set", "expected an image file, got a folder"),
    ],
)
def test_a_true_image_that_cannot_be_used_costs_a_sentence(image_set, name, message):
    iio.imwrite("small.png", np.zeros((5, 5), dtype=np.uint8))
    (image_set.parent / "text.png").write_text("text")
    result = run("score", "--truth", name, "set/a/0.png", "set/b/0.png")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["set/a/0.png", "gone.png"], "gone.png does not exist"),
        (["set/a/0.png", "small.png"], "must have the same size, got 52x48, 5x5"),
        (["set/a/0.png", "count.tif", "count.tif"], "which has no "),
    ],
)
def test_score_refuses_what_it_cannot_score(image_set, names, message):
    iio.imwrite("small.png", np.zeros((5, 5), dtype=np.uint8))
    iio.imwrite("count.tif", np.zeros((48, 52), dtype=np.int32))
    result = run("score", "--metrics", "EN", *names)
    assert result.exit_code == 2
    assert message in result.stderr


def test_metrics_are_listed_with_their_conventions():
    result = run("metrics")
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Qabf ")]
    assert "higher" in line
    assert "@paper" in line


def test_one_metric_is_described_completely():
    result = run("metrics", "Qabf")
    for word in ("reference", "smallest image", "constant image", "@vifb", "fusionlab-imaging"):
        assert word in result.stdout
    listed = json.loads(run("metrics", "--json").stdout)
    assert json.loads(run("metrics", "Qabf", "--json").stdout) in listed


def test_an_unknown_metric_is_refused():
    result = run("metrics", "Qbaf")
    assert result.exit_code == 2
    assert "did you mean 'Qabf'" in result.stderr


def test_rows_have_names_of_the_user_also_with_an_equals_sign(image_set):
    rows = ["--row", "no window, r=0", "identity/l1norm,r=0", "--row", "3x3", "identity/l1norm"]
    result = run("evaluate", "set", *rows, "--metrics", "EN", "--json")
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["methods"]) == ["no window, r=0", "3x3"]


def test_without_baselines_there_are_no_rows_on_pixels(image_set):
    command = ["evaluate", "set", "--method", "densefuse@1e2/max", "--metrics", "EN", "--json"]
    assert len(json.loads(run(*command).stdout)["methods"]) == 2
    content = json.loads(run(*command, "--no-baselines").stdout)
    assert list(content["methods"]) == ["densefuse@1e2/max"]
    assert content["comparisons"] == []


def test_an_option_that_is_given_twice_is_refused(image_set):
    twice = ["--range", "clip", "--range", "minmax"]
    result = run("evaluate", "set", "--method", "identity/max", *twice)
    assert result.exit_code == 2
    assert "--range is given 2 times" in result.stderr


def test_two_image_sets_are_told_from_two_sources(image_set):
    result = run("evaluate", "set", "set", "--method", "identity/max")
    assert result.exit_code == 2
    assert "image sets of their own" in result.stderr


def test_report_writes_a_page_with_the_images(image_set, tmp_path):
    output = tmp_path / "out"
    args = ["evaluate", str(image_set), "--method", "identity/mean", "--metrics", "EN"]
    result = CliRunner().invoke(main, [*args, "-o", str(output), "--report"])
    assert result.exit_code == 0, result.output
    index = output / "report" / "index.html"
    assert f"open {index}" in result.output
    assert (output / "report/images/0/0-r0.png").stat().st_nlink == 2  # it is kept in images/, too
    assert "identity/mean" in index.read_text("utf-8")
    without = CliRunner().invoke(main, [*args, "--report"])
    assert without.exit_code == 2
    assert "--output" in without.stderr
