"""Sources in color: `evaluate` fuses them as `fuse` does, and scores luminance or each channel."""

import json
from typing import get_args

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner
from skimage.metrics import peak_signal_noise_ratio

import fusionlab
from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.gray_levels import ScoreColor, to_gray, to_gray_levels
from fusionlab.evaluation.studies.file import parse_study
from fusionlab.evaluation.studies.plan import plan_study
from fusionlab.evaluation.studies.study import run_study
from fusionlab.imaging.color import Color
from fusionlab.imaging.scale import Scale
from fusionlab.plugins.host import installed


@pytest.fixture
def color_set(tmp_path):
    """Build an image set of color and gray pairs: dtype -> its folder."""

    def build(dtype):
        rng = np.random.default_rng(0)
        suffix, white = (".png", 256) if dtype == np.uint8 else (".tif", 65536)
        for letter, shape in (("a", (24, 30, 3)), ("b", (24, 30))):
            (tmp_path / "set" / letter).mkdir(parents=True)
            for stem in ("one", "two"):
                pixels = rng.integers(0, white, shape).astype(dtype)
                iio.imwrite(tmp_path / "set" / letter / f"{stem}{suffix}", pixels)
        return tmp_path / "set"

    return build


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strategy", ["mean", "addition"])
def test_the_scored_image_has_the_pixels_that_fuse_writes(color_set, tmp_path, dtype, strategy):
    folder, method = color_set(dtype), f"identity/{strategy}"
    fusionlab.evaluate(
        folder, method, "EN", range_policy="clip", output=tmp_path / "out", save_images=True
    )
    args = ["fuse", str(folder), "--backbone", "identity", "--strategy", strategy]
    args += ["--color", "gray", "--range", "clip", "-o", str(tmp_path / "fused")]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    for stem in ("one", "two"):
        scored = iio.imread(tmp_path / "out/images" / method / f"{stem}.png")
        (written,) = map(iio.imread, (tmp_path / "fused").glob(f"{stem}.[pt]*"))
        assert scored.dtype == written.dtype == dtype
        assert scored.tobytes() == written.tobytes()


def test_the_fusion_does_not_round_the_luminance_first(color_set):
    """A level between two whole ones counts: the mean of 0.4 and 1 is 0.7, not 0.5."""
    folder = color_set(np.uint8)
    color, gray = (iio.imread(folder / letter / "one.png") for letter in "ab")
    rounded = fusionlab.Fusion("identity", "mean")([to_gray(color), gray])
    exact = fusionlab.Fusion("identity", "mean", color="gray")([color, gray])
    assert 0 < (rounded != exact).mean() < 0.5
    (row,) = fusionlab.evaluate(folder, "identity/mean", "EN", range_policy="clip").values.values()
    assert row["one"] == pytest.approx(fusionlab.score(exact, [color, gray], "EN"))


def test_the_metrics_see_the_luminance_that_a_gray_file_would_hold():
    color = np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert np.array_equal(to_gray_levels(color, "x.png").numpy(), to_gray(color))


def test_a_scale_applies_to_the_color_image_in_fusion_and_metrics_alike(color_set):
    """The limits are those of all three channels, not those of the luminance."""
    folder = color_set(np.uint16)
    color = iio.imread(folder / "a" / "one.tif")
    low, high = int(color.min()), int(color.max())
    scaled = to_gray_levels(color, "x.tif", Scale("minmax"))
    unit = (color.astype(float) - low) / (high - low)
    expected = 255 * (unit @ [0.299, 0.587, 0.114])
    assert np.allclose(scaled, expected, atol=1e-4)  # scales are applied in float32
    fused = fusionlab.Fusion("identity", "max", color="gray", scale="minmax")([color, color])
    errors = fusionlab.score(fused, [color, color], "RMSE", scale="minmax")
    assert errors["RMSE"] < 0.002  # the rounding to 16 bits is 1/257 of a gray level at most


@pytest.mark.parametrize("color", ["auto", *get_args(Color)])
def test_color_results_are_kept_and_their_luminance_is_scored(color_set, tmp_path, color):
    folder, output = color_set(np.uint8), tmp_path / "out"
    metrics = "SD,saturation,hue_error"
    report = fusionlab.evaluate(
        folder, "identity/mean", metrics, color=color, output=output, save_images=True
    )
    sources = [iio.imread(folder / letter / "one.png") for letter in "ab"]
    expected = fusionlab.Fusion("identity", "mean", color=color)(sources)
    saved = iio.imread(output / "images/identity/mean/one.png")
    assert np.array_equal(saved, expected)
    values = report.values["identity/mean"]["one"]
    assert values == pytest.approx(fusionlab.score(saved, sources, metrics))
    assert values["SD"] == pytest.approx(fusionlab.score(to_gray(saved), sources, "SD")["SD"])
    assert (values["saturation"] > 0) == (saved.ndim == 3)
    assert values["hue_error"] == 0
    assert report.settings["color"].startswith(color if color != "gray" else "luminance 0.299")


def test_a_folder_of_color_results_is_scored_in_color(color_set, tmp_path):
    """Also in a table of gray results: files are scored as they are."""
    folder = color_set(np.uint8)
    theirs = {"Theirs": folder / "a"}
    report = fusionlab.evaluate(folder, ["identity/mean", theirs], "saturation,hue_error")
    assert report.means["identity/mean"] == {"saturation": 0, "hue_error": 0}
    pixels = [iio.imread(folder / "a" / f"{stem}.png") for stem in ("one", "two")]
    mean = np.mean([image.std(axis=-1).mean() for image in pixels])
    assert report.means["Theirs"] == {"saturation": pytest.approx(mean), "hue_error": 0}


def test_gray_sources_have_no_hue_and_their_results_no_saturation(image_set):
    report = fusionlab.evaluate(image_set, "identity/mean", "saturation,hue_error", color="luma")
    values = report.values["identity/mean"]["one"]
    assert values["saturation"] == 0
    assert np.isnan(values["hue_error"])


def test_an_unknown_color_mode_is_refused(image_set):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.evaluate(image_set, "identity/mean", "EN", color="sepia")
    assert (refused.value.code, refused.value.option) == ("color-mode", "color")
    args = ["evaluate", str(image_set), "--method", "identity/mean", "--color", "sepia"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "(--color)" in result.stderr


@pytest.mark.usefixtures("only_what_ships")
def test_a_preset_decides_whether_the_channels_share_their_weights(color_set, tmp_path):
    folder, output = color_set(np.uint8), tmp_path / "out"
    sources = [iio.imread(folder / letter / "one.png") for letter in "ab"]
    for preset in (None, "paper"):
        fusionlab.evaluate(
            folder,
            {"row": "identity/l1norm,r=0"},
            "SD",
            preset=preset,
            color="per-channel",
            range_policy="clip",
            output=output,
            overwrite=True,
            save_images=True,
        )
        fusion = fusionlab.Fusion(
            "identity",
            "l1norm,r=0",
            color="per-channel",
            range_policy="clip",
            shared_weights=preset is None,
        )
        assert np.array_equal(iio.imread(output / "images/row/one.png"), fusion(sources))


@pytest.mark.usefixtures("only_what_ships")
def test_a_preset_decides_how_color_is_fused_as_it_does_for_fuse(color_set, tmp_path):
    folder, output = color_set(np.uint8), tmp_path / "out"
    args = ["fuse", str(folder), "--preset", "ivif", "--backbone", "identity", "--strategy", "mean"]
    result = CliRunner().invoke(main, [*args, "-o", str(tmp_path / "fused")])
    assert result.exit_code == 0, result.output
    args = ["evaluate", str(folder), "--preset", "ivif", "--method", "identity/mean"]
    args += ["--metrics", "SD,saturation", "--json", "-o", str(output), "--save-images"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    scored = iio.imread(output / "images/identity/mean/one.png")
    assert scored.shape == (24, 30, 3)
    assert np.array_equal(scored, iio.imread(tmp_path / "fused/one.png"))
    content = json.loads(result.stdout)
    assert content["settings"]["color"].startswith("luma")
    gray = CliRunner().invoke(main, [*args, "--color", "gray", "--overwrite"])
    assert json.loads(gray.stdout)["methods"]["identity/mean"]["mean"]["saturation"] == 0


@pytest.mark.usefixtures("only_what_ships")
def test_a_study_takes_color_and_range_from_its_preset(color_set):
    folder = color_set(np.uint8)
    text = f"""
        [study]
        preset = "ivif"
        metrics = ["SD", "saturation"]
        executor = "threads:1"
        [sets]
        x = '{folder}'
        [[methods]]
        method = "identity/mean"
    """
    plan = plan_study(parse_study(text, folder, "x.toml"), installed())
    described = plan.sets[0].methods[0].describe()
    assert (described["color"], described["range"]) == ("luma", "clip")
    report = run_study(plan, folder / "out").reports["x"]
    evaluated = fusionlab.evaluate(folder, "identity/mean", "SD,saturation", preset="ivif")
    assert report.values == evaluated.values
    gray = parse_study(text.replace("[sets]", 'color = "gray"\n[sets]'), folder, "x.toml")
    assert plan_study(gray, installed()).sets[0].methods[0].describe()["color"] == "gray"


COLOR_METRIC = """
    from fusionlab import MetricRef, hookimpl

    @hookimpl
    def fusionlab_metrics():
        return [MetricRef("redness", __name__ + ":redness", "Mean of red.", color=True)]

    def redness(fused, sources, convention="default"):
        assert sources.shape[1:] == fused.shape and fused.shape[1] == 3
        return fused[:, 0].mean(dim=(1, 2))
"""


def test_the_metric_of_a_plugin_may_take_color(color_set, install):
    install("reds", COLOR_METRIC)
    folder = color_set(np.uint8)
    files = [folder / letter / "one.png" for letter in "ab"]
    red = iio.imread(files[0])[..., 0].mean()
    assert fusionlab.score(files[0], files, "redness") == {"redness": pytest.approx(red)}
    gray = iio.imread(files[1]).mean()
    assert fusionlab.score(files[1], files, "redness") == {"redness": pytest.approx(gray)}


# ------------------------------------------------------------------ channel by channel
@pytest.fixture
def colors():
    """A fused image and a source in color, and a gray source."""
    rng = np.random.default_rng(3)
    shapes = ((48, 52, 3), (48, 52, 3), (48, 52))
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


METRICS = ["EN", "SSIM", "Qabf", "MI", "VIF", "SF", "Qabf@vifb"]


def test_channel_by_channel_a_metric_is_the_mean_of_its_values_for_each(colors):
    fused, color, gray = colors
    scored = fusionlab.score(fused, [color, gray], METRICS, score_color="per-channel")
    by_channel = [fusionlab.score(fused[..., c], [color[..., c], gray], METRICS) for c in range(3)]
    for name in METRICS:
        mean = np.mean([values[name] for values in by_channel])
        assert scored[name] == pytest.approx(mean, rel=1e-12)  # summation order
    luma = fusionlab.score(fused, [color, gray], METRICS)
    assert all(abs(scored[name] - luma[name]) > 1e-4 for name in METRICS)


def test_a_gray_result_is_compared_with_each_channel_of_a_source(colors):
    _, color, gray = colors
    scored = fusionlab.score(gray, [color], ["MSE", "EN"], score_color="per-channel")
    errors = np.square(color.astype(float) - gray[..., None])
    assert scored["MSE"] == pytest.approx(errors.mean(), rel=1e-12)
    assert scored["EN"] == pytest.approx(fusionlab.score(gray, [color], "EN")["EN"], rel=1e-12)


def test_gray_images_score_alike_in_both_ways(colors):
    _, _, gray = colors
    other = gray[::-1]
    scored = [
        fusionlab.score(gray, [other], METRICS, score_color=way) for way in get_args(ScoreColor)
    ]
    assert scored[0] == scored[1]


def test_the_spatial_frequency_of_vifb_counts_the_seams_of_channels_side_by_side(colors):
    fused, color, gray = colors
    wide = np.concatenate([fused[..., c] for c in range(3)], axis=1)
    names = ["SF", "SF@vifb"]
    scored = fusionlab.score(fused, [color, gray], names, score_color="per-channel")
    assert scored["SF@vifb"] == fusionlab.score(wide, [wide], "SF")["SF"]
    assert scored["SF@vifb"] != scored["SF"]
    gray_result = fusionlab.score(gray, [color, gray], names, score_color="per-channel")
    assert gray_result["SF@vifb"] == pytest.approx(gray_result["SF"], rel=1e-12)


def test_metrics_that_take_color_are_not_concerned(colors):
    fused, color, gray = colors
    scored = [
        fusionlab.score(fused, [color, gray], "saturation,hue_error", score_color=way)
        for way in get_args(ScoreColor)
    ]
    assert scored[0] == scored[1]


def test_true_images_are_compared_channel_by_channel_too(colors):
    fused, color, gray = colors
    scored = fusionlab.score(fused, [gray], "EN", truth=color, score_color="per-channel")
    psnr = [peak_signal_noise_ratio(color[..., c], fused[..., c]) for c in range(3)]
    assert scored["PSNR_truth"] == pytest.approx(np.mean(psnr), rel=1e-12)


def test_a_table_scores_channel_by_channel_and_says_so(color_set, tmp_path):
    folder, output = color_set(np.uint8), tmp_path / "out"
    more = {"color": "luma", "output": output}
    luma = fusionlab.evaluate(folder, "identity/mean", "SD,MI", **more, save_images=True)
    report = fusionlab.evaluate(
        folder, "identity/mean", "SD,MI", **more, resume=True, score_color="per-channel"
    )
    assert not any(row.reused for row in report.rows)
    sources = [folder / letter / "one.png" for letter in "ab"]
    image = output / "images/identity/mean/one.png"
    expected = fusionlab.score(image, sources, "SD,MI", score_color="per-channel")
    assert report.values["identity/mean"]["one"] == expected
    settings = json.loads((output / "study.json").read_text())["sets"]["set"]["settings"]
    assert (
        settings["color"]
        == "luma, scored by red, green and blue one by one, the mean of the three values"
    )
    again = fusionlab.evaluate(folder, "identity/mean", "SD,MI", **more, resume=True)
    assert all(row.reused for row in again.rows)
    assert again.values == luma.values


@pytest.mark.parametrize("call", ["score", "evaluate"])
def test_an_unknown_way_of_scoring_color_is_refused(color_set, call):
    folder = color_set(np.uint8)
    args = (folder, "identity/mean") if call == "evaluate" else (folder / "a/one.png", [])
    with pytest.raises(FusionlabError) as refused:
        getattr(fusionlab, call)(*args, score_color="hsv")
    assert (refused.value.code, refused.value.option) == ("score-color", "score_color")


def test_a_study_scores_channel_by_channel(color_set):
    folder = color_set(np.uint8)
    text = f"""
        [study]
        metrics = ["SD"]
        color = "luma"
        score_color = "per-channel"
        executor = "local:1"
        [sets]
        x = '{folder}'
        [[methods]]
        method = "identity/mean"
    """
    plan = plan_study(parse_study(text, folder, "x.toml"), installed())
    report = run_study(plan, folder / "out").reports["x"]
    evaluated = fusionlab.evaluate(
        folder, "identity/mean", "SD", color="luma", score_color="per-channel"
    )
    assert report.values == evaluated.values
    assert report.settings["scored"].endswith("one by one, the mean of the three values")
    with pytest.raises(FusionlabError, match="score_color: color images") as refused:
        parse_study(text.replace("per-channel", "hsv"), folder, "x.toml")
    assert refused.value.code == "wrong-type"
