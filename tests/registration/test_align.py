"""Estimates of plugins: what they are given, and what is expected of them."""

import sys

import imageio.v3 as iio
import numpy as np
import pytest

import fusionlab
from fusionlab import FusionlabError, LoadedImage
from fusionlab.plugins.host import installed
from fusionlab.plugins.registry import Plugins
from fusionlab.registration.align import RegistrationError, align, find_method, overlap
from fusionlab.registration.register import register
from fusionlab.registration.transform import Transform


def image(name, height=20, width=30, dtype=np.uint8, channels=(), valid=None, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (height, width, *channels)).astype(dtype)
    return LoadedImage(name, pixels, "0" * 64, valid=valid)


def test_an_estimate_becomes_an_alignment(method):
    alignment = align(image("a.png"), image("b.png", 25, 40), method("known"), "translation")
    assert alignment.transform.matrix.tolist() == [[1, 0, 3], [0, 1, 2], [0, 0, 1]]
    assert (alignment.transform.fixed, alignment.transform.moving) == ((40, 25), (30, 20))
    described = alignment.describe()
    assert described["method"] == "known"
    assert described["evidence"] == {"peak": 2.5}
    assert Transform.from_json(described).model == "translation"


def test_estimators_get_gray_between_0_and_1_with_masks(method):
    counts = image("a.tif", dtype=np.uint16)
    valid = np.ones((20, 30), bool)
    valid[:5] = False
    counts.pixels[:5] = 60000
    floats = image("b.tif", dtype=np.float32, channels=(3,))
    floats.pixels[3, 4] = np.nan
    align(
        LoadedImage("a.tif", counts.pixels, "", valid=valid), floats, method("known"), "similarity"
    )
    moving, fixed, model, moving_valid, fixed_valid = sys.modules["lab_register"].CALLS[-1]
    assert model == "similarity"
    for gray, mask in ((moving, moving_valid), (fixed, fixed_valid)):
        assert gray.dtype == np.float32
        assert gray.flags.c_contiguous
        assert (gray[mask].min(), gray[mask].max()) == (0, 1)
        np.testing.assert_allclose(gray[~mask], gray[mask].mean(), rtol=1e-5)
    assert (moving_valid == valid).all()
    assert (~fixed_valid).sum() == 1


def test_what_is_data_everywhere_has_no_mask(method):
    everywhere = image("a.png", valid=np.ones((20, 30), bool))
    align(everywhere, image("b.png"), method("known"))
    assert sys.modules["lab_register"].CALLS[-1][3:] == (None, None)


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("refuses", "low_confidence", "no position stands out: a second place fits as well"),
        ("silent", "low_confidence", "no position stands out"),
        ("unsure", "low_confidence", "the confidence is 0.30, at least 0.5 is needed"),
        ("mirrors", "degenerate", "not mirror it"),
        ("far", "out_of_range", "they would overlap by"),
        ("affine", "degenerate", "not a similarity"),
    ],
)
def test_a_refusal_says_why(method, name, reason, message):
    with pytest.raises(RegistrationError, match=message) as caught:
        align(image("a.png"), image("b.png", seed=1), method(name))
    assert caught.value.reason == reason
    assert caught.value.code == "not-registered"
    assert str(caught.value).startswith("a.png cannot be registered to b.png: ")


@pytest.mark.parametrize("name", ["broken", "loud", "odd_reason", "endless", "fails"])
def test_an_estimator_that_breaks_its_contract_is_named(method, name):
    with pytest.raises(FusionlabError, match=f"lab-register:{name}") as caught:
        align(image("a.png"), image("b.png"), method(name))
    assert caught.value.code == "plugin-error"


@pytest.mark.parametrize(("uniform", "other"), [("a.png", "b.png"), ("b.png", "a.png")])
def test_a_uniform_image_is_refused_before_the_estimator_is_asked(method, uniform, other):
    images = {other: image(other), uniform: LoadedImage(uniform, np.full((20, 30), 7, "u1"), "")}
    with pytest.raises(RegistrationError, match=f"{uniform} is uniform") as caught:
        align(images["a.png"], images["b.png"], method("fails"))
    assert caught.value.reason == "insufficient_structure"


@pytest.mark.parametrize("model", ["rigid", "homography"])
def test_a_model_that_there_is_not_is_refused(method, model):
    with pytest.raises(FusionlabError, match=model) as caught:
        align(image("a.png"), image("b.png"), method("known"), model)
    assert caught.value.code == "unknown-model"


def test_without_a_plugin_that_registers_one_is_named():
    with pytest.raises(FusionlabError, match="pip install fusionlab-registration") as caught:
        find_method("auto", Plugins())
    assert caught.value.code == "no-registration"


def test_an_unknown_method_is_refused(method):
    with pytest.raises(FusionlabError, match="no registration method 'unknown-one'"):
        find_method("unknown-one", installed())


def test_the_overlap_is_the_share_of_the_fixed_image():
    assert overlap(Transform.identity((30, 20))) == 1
    half = Transform([[1, 0, 50], [0, 1, 0], [0, 0, 1]], (100, 80), (100, 80), "translation")
    assert overlap(half) == pytest.approx(0.5, abs=0.02)


def test_all_sources_but_the_reference_move(method):
    images = [image("a.png"), image("b.png", 40, 50, channels=(3,)), image("c.png", seed=2)]
    known = method("known")
    registered = register(images, lambda moving, fixed: align(images[moving], images[fixed], known))
    assert registered.reference == 1  # it has most pixels
    assert registered.images[1] is images[1]
    assert registered.alignments[1] is None
    for moved, before in zip(registered.images[::2], images[::2], strict=True):
        assert moved.pixels.shape == (40, 50)
        assert (moved.pixels[:18, :27] == before.pixels[2:, 3:]).all()
        assert moved.valid.sum() == 18 * 27
    chosen = register(
        images, lambda moving, fixed: align(images[moving], images[fixed], known), reference=3
    )
    assert (chosen.reference, chosen.images[0].pixels.shape) == (2, (20, 30))
    with pytest.raises(FusionlabError, match="1 to 3, got 4") as caught:
        register(images, None, reference=4)
    assert caught.value.code == "no-reference"


def test_cropping_leaves_data_only(method):
    images = [image("a.png"), image("b.png", channels=(3,))]
    known = method("known")
    registered = register(
        images,
        lambda moving, fixed: align(images[moving], images[fixed], known),
        reference=2,
        crop=True,
    )
    assert registered.cropped == (slice(0, 27), slice(0, 18))
    moved, fixed = registered.images
    assert moved.valid is None
    assert fixed.pixels.shape == (18, 27, 3)
    assert (moved.pixels == images[0].pixels[2:, 3:]).all()
    nowhere = LoadedImage("b.png", images[1].pixels, "", valid=np.zeros((20, 30), bool))
    with pytest.raises(FusionlabError, match="no area in common") as caught:
        register([images[0], nowhere], lambda *_: align(*images, known), reference=2, crop=True)
    assert caught.value.code == "no-common-area"


def test_python_registers_paths_arrays_and_images_for_a_fusion(method, tmp_path):
    method("known")
    a, b = image("a.png"), image("b.png", 40, 50, channels=(3,))
    iio.imwrite(tmp_path / "a.png", a.pixels)
    masked = np.ma.masked_array(a.pixels, a.pixels < 20)
    known = "lab-register:known"
    from_file, reference = fusionlab.register([tmp_path / "a.png", b.pixels], known)
    assert reference.pixels.shape == (40, 50, 3)
    assert (from_file.resampled.description["method"], reference.resampled) == ("known", None)
    from_array, _ = fusionlab.register([a.pixels, b], known)
    assert (from_array.pixels == from_file.pixels).all()
    lacking, _ = fusionlab.register([masked, b], known)
    assert lacking.valid.sum() < from_array.valid.sum()
    fused = fusionlab.Fusion("identity", "max", range_policy="clip")([from_array, reference])
    beyond = ~from_array.valid
    assert (fused[beyond] == reference.pixels[beyond]).all()
    with pytest.raises(FusionlabError, match="at least two sources, got 1"):
        fusionlab.register([a], known)
    with pytest.raises(FusionlabError, match="finite values, got infinity") as caught:
        fusionlab.register([np.full((9, 9), np.inf), b], known)
    assert caught.value.code == "not-finite"
    for wrong in ([a.pixels, np.zeros((3, 4, 5, 6))], [a.pixels, 7]):
        with pytest.raises(FusionlabError) as caught:
            fusionlab.register(wrong, known)
        assert caught.value.code == "not-an-image"
