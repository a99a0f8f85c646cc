"""An image set whose sources take up too little of their range is refused, unless that is meant."""

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError, FusionlabWarning, evaluate, score


def textured(bits, number):
    rng = np.random.default_rng(number)
    smooth = rng.normal(size=(48, 48)).cumsum(0).cumsum(1)
    unit = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(unit * (2**bits - 1)).astype(np.uint16 if bits > 8 else np.uint8)


def make_set(folder, bits):
    """Write the same three samples with so many bits, in files of 8 or 16."""
    for letter, shift in (("a", 0), ("b", 50)):
        (folder / letter).mkdir(parents=True)
        for number in range(3):
            image = textured(bits, number + shift)
            iio.imwrite(folder / letter / f"{number}.tif", image)
    return folder


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_counts_are_refused_with_the_scale_to_choose(tmp_path, bits):
    folder = make_set(tmp_path / "set", bits)
    with pytest.raises(FusionlabError) as refused:
        evaluate(folder, "identity/mean", "SSIM")
    assert (refused.value.code, refused.value.option) == ("unused-range", "scale")
    assert f"0,{2**bits - 1} and 0,{2**bits - 1}" in str(refused.value)


def test_rows_do_not_depend_on_the_bits_once_the_scale_is_given(tmp_path):
    """8, 10, 12, 14 and 16 bits of the same images, within the rounding of their levels."""
    values = {}
    for bits in (8, 10, 12, 14, 16):
        folder = make_set(tmp_path / f"{bits}", bits)
        scale = None if bits in (8, 16) else f"0,{2**bits - 1}"
        report = evaluate(folder, "identity/mean", "SSIM,VIF,SD", scale=scale, baselines=False)
        values[bits] = [list(row.values.values()) for row in report.rows]
    for bits in (8, 10, 12, 14):
        # half a level of 255 on a standard deviation of about 50 gray levels
        assert np.allclose(values[bits], values[16], rtol=0.01), bits


def test_full_says_that_it_is_meant(tmp_path):
    folder = make_set(tmp_path / "set", 12)
    report = evaluate(folder, "identity/mean", "SD", scale="full", baselines=False)
    assert all(row.values["SD"] < 16 for row in report.rows)  # of 16 gray levels


def test_one_dark_image_is_no_reason_to_refuse_a_set(tmp_path):
    folder = make_set(tmp_path / "set", 16)
    iio.imwrite(folder / "a" / "0.tif", textured(16, 0) // 16)
    assert evaluate(folder, "identity/mean", "SD", baselines=False).rows


def test_each_source_has_a_scale_of_its_own(tmp_path):
    folder = make_set(tmp_path / "set", 12)
    for number in range(3):
        iio.imwrite(folder / "b" / f"{number}.tif", textured(8, number))
    with pytest.raises(FusionlabError, match=r"here 0,4095 and full,"):
        evaluate(folder, "identity/mean", "SD")
    assert evaluate(folder, "identity/mean", "SD", scale=["0,4095", "full"]).rows


def test_a_score_is_refused_too():
    a, b = textured(12, 0), textured(12, 1)
    with pytest.raises(FusionlabError) as refused:
        score(textured(16, 2), [a, b], "SSIM")
    assert refused.value.code == "unused-range"
    assert score(textured(16, 2), [a, b], "SSIM", scale="0,4095")


def test_python_warns_of_arrays_and_not_if_the_scale_is_given():
    sources = [textured(12, 0), textured(16, 1)]
    with pytest.warns(FusionlabWarning, match="source 1 has values that fit 12 bits"):
        Fusion("identity", "mean")(sources)
    Fusion("identity", "mean", scale="full")(sources)  # a warning would be an error
    Fusion("identity", "mean", scale=["0,4095", "auto"])(sources)
