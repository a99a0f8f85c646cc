"""Sources in color: `evaluate` fuses them as `fuse` does, and scores their luminance."""

from typing import get_args

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab import FusionlabError
from fusionlab.cli import main
from fusionlab.evaluation.gray_levels import to_gray, to_gray_levels
from fusionlab.imaging.color import Color
from fusionlab.imaging.scale import Scale


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
