"""A small image set, and metrics that are easy to work out by hand."""

import imageio.v3 as iio
import numpy as np
import pytest

METRICS = """
    from fusionlab import hookimpl
    from fusionlab.plugins.offers import MetricRef

    @hookimpl
    def fusionlab_metrics():
        here = __name__
        return [
            MetricRef("brightness", here + ":brightness", "Mean gray level.", sources="none"),
            MetricRef("darkness", here + ":darkness", "255 - mean.", higher_is_better=False),
            MetricRef("wide", here + ":brightness", "Needs 20.", min_size=20, sources="pair"),
            MetricRef("broken", here + ":broken", "Fails."),
            MetricRef("short", here + ":short", "Gives one value too few."),
        ]

    def brightness(fused, sources, convention="default"):
        return fused.double().mean(dim=(1, 2))

    def darkness(fused, sources, convention="default"):
        return 255 - fused.double().mean(dim=(1, 2))

    def broken(fused, sources, convention="default"):
        raise ZeroDivisionError("nothing to divide by")

    def short(fused, sources, convention="default"):
        return fused.double().mean()
"""


@pytest.fixture
def metrics(install):
    """Install metrics whose values can be worked out by hand."""
    return install("by-hand", METRICS)


@pytest.fixture
def image_set(tmp_path):
    """Three pairs of 24x30 pixels."""
    folder = tmp_path / "set"
    rng = np.random.default_rng(0)
    for letter in "ab":
        (folder / letter).mkdir(parents=True)
        for stem in ("one", "two", "three"):
            pixels = rng.integers(0, 256, (24, 30), dtype=np.uint8)
            iio.imwrite(folder / letter / f"{stem}.png", pixels)
    return folder
