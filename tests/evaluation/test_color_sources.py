"""Sources in color: `evaluate` fuses them as `fuse` does, and scores their luminance."""

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab.cli import main
from fusionlab.evaluation.gray_levels import to_gray, to_gray_levels
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
