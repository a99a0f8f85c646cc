"""`fusionlab.score`: one fused image by its sources, as files, arrays or tensors."""

import math

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.metrics
import torch

import fusionlab
from fusionlab import FusionlabError


@pytest.fixture
def images():
    return list(np.random.default_rng(0).integers(0, 256, (3, 24, 30), dtype=np.uint8))


def test_files_arrays_and_tensors_score_alike(images, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        iio.imwrite(path, image)
    color = [np.stack([image] * 3, axis=-1) for image in images]
    tensors = [torch.from_numpy(image)[None] for image in images]
    floats = [image / 255 for image in images]
    expected = fusionlab.score(paths[0], paths[1:], "EN,MSE,SSIM")
    assert list(expected) == ["EN", "MSE", "SSIM"]
    for given in (images, color, tensors, [str(path) for path in paths]):
        assert fusionlab.score(given[0], given[1:], "EN,MSE,SSIM") == expected
    assert fusionlab.score(floats[0], floats[1:], ["EN", "MSE", "SSIM"]) == pytest.approx(expected)


def test_the_default_metrics_are_those_of_the_command(images):
    assert "Qabf" in fusionlab.score(images[0], images[1:])
    assert list(fusionlab.score(images[0], images[1:], "EN")) == ["EN"]


def test_a_metric_that_is_not_defined_is_nan(images):
    assert math.isnan(fusionlab.score(images[0], [*images, images[0]], "Q_C")["Q_C"])


def test_a_scale_applies_to_the_sources(images):
    counts = [image.astype(np.int32) + 1000 for image in images]
    scored = fusionlab.score(images[0], counts[1:], "MSE", scale="1000,1255")
    expected = fusionlab.score(images[0], images[1:], "MSE")
    assert scored == pytest.approx(expected, rel=1e-6)  # scales are applied in float32


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda image: image[::-1, ::-1].copy()[::-1, ::-1], id="flipped"),
        pytest.param(lambda image: image.astype(">f4"), id="big-endian"),
        pytest.param(np.asfortranarray, id="by columns"),
        pytest.param(lambda image: np.broadcast_to(image, image.shape), id="read-only"),
    ],
)
def test_the_layout_of_an_array_does_not_matter(images, layout):
    color = [np.stack([image] * 3, axis=-1) for image in images]
    for given in (images, color):
        floats = [(image / 255).astype(np.float32) for image in given]
        arrays = [layout(image) for image in floats]
        for scale in ("full", "minmax"):
            expected = fusionlab.score(floats[0], floats[1:], "EN,MSE,saturation", scale=scale)
            found = fusionlab.score(arrays[0], arrays[1:], "EN,MSE,saturation", scale=scale)
            assert found == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda image: image[:5], "size-mismatch"),
        (lambda image: np.stack([image] * 2, axis=-1), "not-an-image"),
        (lambda image: image.astype(np.int32), "no-white"),
        (lambda image: image.astype(object), "not-an-image"),
        (lambda image: image.astype(float), "out-of-range"),
    ],
)
def test_what_cannot_be_scored_is_refused(images, change, code):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.score(images[0], [images[1], change(images[2])], "EN")
    assert refused.value.code == code


def test_an_image_without_sources_is_refused(images):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.score(images[0], [], "EN")
    assert refused.value.code == "no-sources"


def test_one_path_is_not_taken_for_a_list_of_sources(images, tmp_path):
    path = tmp_path / "a.png"
    iio.imwrite(path, images[0])
    for single in (path, str(path)):
        with pytest.raises(FusionlabError) as refused:
            fusionlab.score(images[0], single, "EN")
        assert refused.value.code == "no-list"


def test_what_is_no_image_is_refused(images):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.score(None, images[1:], "EN")
    assert refused.value.code == "not-an-image"


def test_bfloat16_scores_like_the_same_values_in_float32(images):
    half = [torch.from_numpy(image / 255).bfloat16() for image in images]
    single = [image.float() for image in half]
    assert fusionlab.score(half[0], half[1:], "EN") == fusionlab.score(single[0], single[1:], "EN")


def test_a_true_image_adds_what_compares_with_it_alone(images, tmp_path):
    fused, first, second = images
    iio.imwrite(tmp_path / "truth.png", second)
    for truth in (second, tmp_path / "truth.png", torch.from_numpy(second)):
        values = fusionlab.score(fused, [first, second], "EN,PSNR", truth=truth)
        assert list(values) == ["EN", "PSNR", "PSNR_truth", "SSIM_truth"]
        expected = skimage.metrics.peak_signal_noise_ratio(second, fused)
        assert values["PSNR_truth"] == pytest.approx(expected, rel=1e-12)
        alone = fusionlab.score(fused, [second], "PSNR,SSIM")
        assert [values["PSNR_truth"], values["SSIM_truth"]] == list(alone.values())
        assert values["PSNR"] != values["PSNR_truth"]
    assert fusionlab.score(fused, [first], "EN", truth=fused)["PSNR_truth"] == math.inf


def test_a_true_image_of_another_size_or_kind_is_refused(images, tmp_path):
    with pytest.raises(FusionlabError, match="has 30x20 pixels, the fused image 30x24") as refused:
        fusionlab.score(images[0], images[1:], "EN", truth=images[2][:20])
    assert (refused.value.code, refused.value.option) == ("size-mismatch", "truth")
    with pytest.raises(FusionlabError, match="gone.png") as refused:
        fusionlab.score(images[0], images[1:], "EN", truth=tmp_path / "gone.png")
    assert refused.value.code == "missing-file"
