"""Counts to degrees: Planck's law by hand, its inverse, and what nothing else emits."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fusionlab_thermal.planck import KELVIN, Radiometry

BLACK = Radiometry(
    emissivity=1, distance=0, reflected=293.15, air=293.15, window=293.15, window_transmission=1,
    humidity=0.5, r1=17096.453125, b=1428, f=1, o=-370, r2=0.04808,
)  # fmt: skip
REAL = replace(
    BLACK, emissivity=0.8, distance=20, air=280, reflected=250, window=300,
    window_transmission=0.9, alpha1=0.006569, alpha2=0.01262, beta1=-0.002276, beta2=-0.00667,
    x=1.9,
)  # fmt: skip


def test_a_black_body_by_hand():
    """R1 / (R2 (exp(B / T) - F)) - O, at 300 K: 17096.453125 / (0.04808 * 115.755...) + 370."""
    counts = 17096.453125 / (0.04808 * (math.exp(1428 / 300) - 1)) + 370
    assert BLACK.counts(300) == pytest.approx(counts, rel=1e-12)
    assert BLACK.celsius(np.array([counts]))[0] == pytest.approx(300 - KELVIN, abs=1e-9)


@pytest.mark.parametrize("camera", [BLACK, REAL])
def test_the_sum_of_what_object_surroundings_air_and_window_emit_gives_the_object_back(camera):
    """The measurement formula forwards, term by term, and then back."""
    objects = np.array([260.0, 290, 310, 420])
    t, e, w = camera.transmission(), camera.emissivity, camera.window_transmission
    seen = np.array([camera.counts(k) for k in objects])
    reflected, air, window = map(camera.counts, (camera.reflected, camera.air, camera.window))
    counts = w * (e * t * seen + (1 - e) * t * reflected + (1 - t) * air) + (1 - w) * window
    np.testing.assert_allclose(camera.celsius(counts), objects - KELVIN, atol=1e-9)


def test_where_all_have_one_temperature_emissivity_and_air_do_not_matter():
    camera = replace(REAL, air=293.15, reflected=293.15, window=293.15)
    assert camera.celsius(np.array([camera.counts(293.15)]))[0] == pytest.approx(20, abs=1e-9)


def test_the_transmission_of_humid_air_by_hand():
    """At 0 degrees Celsius the water is the humidity times exp(1.5587)."""
    camera = replace(REAL, air=KELVIN, humidity=1.0, distance=4.0)
    root = math.sqrt(math.exp(1.5587))
    first = math.exp(-2 * (0.006569 - 0.002276 * root))
    second = math.exp(-2 * (0.01262 - 0.00667 * root))
    assert camera.transmission() == pytest.approx(1.9 * first - 0.9 * second, rel=1e-12)
    assert replace(camera, distance=0.0).transmission() == 1


def test_more_counts_are_warmer_and_too_few_are_no_temperature():
    celsius = REAL.celsius(np.arange(2**16))
    warm = celsius[np.isfinite(celsius)]
    assert len(warm) > 60000
    assert (np.diff(warm) > 0).all()
    assert np.isnan(celsius[0])


@pytest.mark.parametrize(
    "change",
    [
        *({"r1": 0}, {"b": math.nan}, {"emissivity": 0}, {"emissivity": 1.5}, {"air": -1}),
        *({"alpha1": -1e30}, {"b": 1e30}, {"f": math.exp(1428 / 280)}, {"o": math.inf}),
    ],
)
def test_constants_that_a_camera_left_out_are_not_used(change):
    assert REAL.usable()
    assert not replace(REAL, **change).usable()
