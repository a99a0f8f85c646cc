"""Properties that every metric declares in the catalog, and those that all have in common."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.evaluation.metric import Metric
from fusionlab.metrics.catalog import CATALOG
from fusionlab.plugins.registry import Registration

METRICS = {ref.name: ref for ref in CATALOG}
MEASURES = [
    Metric(Registration(ref, "fusionlab-imaging"), convention)
    for ref in CATALOG
    for convention in ("default", *ref.conventions)
]
SIZE = 48
"""Edge of most test images; a metric that needs more gets its own min_size."""

NOT_MIRRORED = {
    "Qabf": "an edge of a single direction has the angle +pi/2, never -pi/2",
    "texture": "as Qabf",
    "VIF": "each scale keeps every second pixel, from the first on",
    "VIFF": "as VIF",
    "MS_SSIM": "each scale averages blocks of 2x2, from the corner on",
    "MS_SSIM_Wang": "as MS_SSIM",
    "Q_M": "at odd edges the last row or column is dropped",
    "Q_P": "at even edges the highest frequency belongs to one direction",
    "Q_CV": "its regions are laid out from the corner",
    "FMI_pixel": "the pixels of a window are numbered column by column",
    "FMI_dct": "as FMI_pixel, and cosines change their sign",
    "FMI_w": "as FMI_pixel",
}
"""Metrics whose definition gives a mirrored scene a different value, and why."""

OF_THE_MEAN = {"RMSE", "PSNR"}
"""Metrics that are a function of a mean over the sources, not a mean."""

IDEAL_VALUES = {
    # values of a fused image that equals its only source, if there is an ideal
    "MSE": 0,
    "RMSE": 0,
    "PSNR": math.inf,
    "CC": 1,
    "CE": 0,
    "SSIM": 1,
    "SSIM_a": 1,
    "MS_SSIM_Wang": 1,
    "VIF": 1,
    "Nabf": 0,
    "FMI_pixel": 1,
    "FMI_dct": 1,
    "FMI_w": 1,
    "Q_CB": 1,
    "Q_CV": 0,
    "Q_S": 1,
    "Q_W": 1,
    "hue_error": 0,
}


def scene(min_size=SIZE, k=2, count=1, seed=0, contrast=1.0):
    """Return fused images and sources with smooth areas, edges and noise, as uint8."""
    rng = np.random.default_rng(seed)
    edge = max(min_size, SIZE) + 3
    y, x = np.mgrid[:edge, : edge + 5] / edge
    sources = []
    for _ in range(k * count):
        waves = sum(np.sin(rng.uniform(1, 20) * x + rng.uniform(1, 20) * y) for _ in range(3))
        step = 60 * (x + rng.uniform(-0.5, 0.5) * y > rng.uniform(0.3, 0.7))
        noise = rng.normal(0, 6, x.shape)
        sources.append(np.clip(contrast * (30 * waves + step + noise) + 110, 0, 255))
    stack = torch.from_numpy(np.array(sources)).view(k, count, *x.shape).round().to(torch.uint8)
    weights = torch.rand(k, count, 1, 1, generator=torch.Generator().manual_seed(seed))
    fused = (stack * weights).sum(0) / weights.sum(0)
    return fused.round().to(torch.uint8), stack


def scene_of(ref, k=2, count=1, **options):
    """Return a scene as a metric takes it: of the size that it needs, in color if it says so."""
    if not ref.color:
        return scene(ref.min_size, k, count, **options)
    fused, sources = scene(ref.min_size, k, 3 * count, **options)
    return fused.unflatten(0, (count, 3)), sources.unflatten(1, (count, 3))


def k_for(ref):
    return 2 if ref.sources == "pair" else 3


def named(measures):
    return pytest.mark.parametrize("measure", measures, ids=lambda m: m.name)


@named(MEASURES)
def test_a_batch_has_the_values_of_its_images(measure):
    fused, sources = scene_of(measure.ref, k_for(measure.ref), count=3)
    together = measure(fused, sources)
    alone = torch.cat([measure(fused[i : i + 1], sources[:, i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12, equal_nan=True)


@named(MEASURES)
def test_eight_bits_as_integers_or_floats_are_the_same_image(measure):
    """Everything is computed in float64, and float32 holds gray levels exactly: no tolerance."""
    fused, sources = scene_of(measure.ref, k_for(measure.ref))
    values = [measure(fused.to(t), sources.to(t)) for t in (torch.uint8, torch.float32)]
    for value in values:
        assert torch.equal(value, measure(fused.double(), sources.double()))
    assert values[0].dtype == torch.float64


@named(MEASURES)
def test_the_images_are_not_modified(measure):
    fused, sources = (images.double() for images in scene_of(measure.ref))
    before = fused.clone(), sources.clone()
    measure(fused, sources)
    assert torch.equal(fused, before[0])
    assert torch.equal(sources, before[1])


@named([m for m in MEASURES if m.convention == "default" and m.ref.symmetric])
def test_the_order_of_the_sources_does_not_matter_where_it_is_claimed(measure):
    fused, sources = scene_of(measure.ref, k_for(measure.ref))
    assert torch.allclose(measure(fused, sources), measure(fused, sources.flip(0)), rtol=1e-12)


def test_claims_of_asymmetry_are_true():
    for ref in CATALOG:
        if not ref.symmetric:
            measure = Metric(Registration(ref, "fusionlab-imaging"))
            fused, sources = scene_of(ref)
            if ref.name == "VIFF":
                fused[:], sources[0] = 128, 100  # the order matters for ties only
                sources[1] = torch.where(sources[1] > 128, 140, 100).to(torch.uint8)
            values = [measure(fused, sources).item(), measure(fused, sources.flip(0)).item()]
            assert values[0] != values[1], ref.name


@named([m for m in MEASURES if m.convention == "default"])
def test_a_mirrored_scene_has_the_same_value_or_a_reason(measure):
    fused, sources = scene_of(measure.ref)
    value = measure(fused, sources).item()
    for axis in (-1, -2):
        mirrored = measure(fused.flip(axis), sources.flip(axis)).item()
        if measure.ref.name not in NOT_MIRRORED:
            assert mirrored == pytest.approx(value, rel=1e-9)


@named([m for m in MEASURES if m.convention == "default"])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), contrast=st.sampled_from([0.02, 0.3, 1.0, 8.0]))
def test_values_lie_within_their_bounds(measure, seed, contrast):
    fused, sources = scene_of(measure.ref, seed=seed, contrast=contrast)
    low, high = measure.ref.bounds
    for value in (measure(fused, sources), measure(sources[0], sources)):
        assert math.isnan(value) or low - 1e-9 <= value.item() <= high + 1e-9


@named([m for m in MEASURES if m.convention == "default"])
def test_a_constant_fused_image_has_the_value_stated_in_the_catalog(measure):
    fused, sources = scene_of(measure.ref)
    fused[:] = 77
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = measure(fused, sources).item()
    constant = measure.ref.constant
    if constant is not None:
        assert value == pytest.approx(constant, abs=1e-9, nan_ok=True)


@named(MEASURES)
def test_images_that_are_all_constant_raise_nothing(measure):
    _, sources = scene_of(measure.ref)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for level in (0, 77, 255):
            same = torch.full_like(sources, level)
            assert measure(same[0], same).shape == (1,)


@named([m for m in MEASURES if m.convention == "default"])
def test_three_sources_are_combined_as_stated_in_the_catalog(measure):
    ref = measure.ref
    fused, sources = scene_of(ref, k=3)
    if ref.sources == "pair":
        with pytest.raises(FusionlabError) as caught:
            measure(fused, sources)
        assert caught.value.code == "number-of-sources"
        return
    value = measure(fused, sources).item()
    alone = [measure(fused, source[None]).item() for source in sources]
    if ref.sources == "none":
        assert alone == [value] * 3
    elif ref.sources == "mean" and ref.name not in OF_THE_MEAN:
        assert value == pytest.approx(sum(alone) / 3, rel=1e-12)
    elif ref.sources == "sum":
        assert value == pytest.approx(sum(alone), rel=1e-12)
    assert math.isfinite(value)


@pytest.mark.parametrize(("name", "ideal"), IDEAL_VALUES.items())
def test_a_fused_image_that_equals_its_only_source_has_the_ideal_value(name, ideal):
    measure = Metric(Registration(METRICS[name], "fusionlab-imaging"))
    _, sources = scene_of(METRICS[name])
    assert measure(sources[0], sources[:1]).item() == pytest.approx(ideal, abs=1e-9)


@named(MEASURES)
def test_the_smallest_image_is_the_one_stated_in_the_catalog(measure):
    min_size = measure.ref.min_size
    fused, sources = scene_of(measure.ref)
    fused, sources = (images[..., :min_size, :min_size] for images in (fused, sources))
    assert measure(fused, sources).shape == (1,)
    if min_size > 1:
        with pytest.raises(FusionlabError, match=f"at least {min_size} pixels") as caught:
            measure(fused[..., 1:, :], sources[..., 1:, :])
        assert caught.value.code == "too-small"


@named([m for m in MEASURES if m.convention == "default"])
@pytest.mark.parametrize(
    ("fused", "sources", "code"),
    [
        (torch.zeros(9, 9), torch.zeros(2, 9, 9), "size-mismatch"),
        (torch.zeros(1, 9, 9), torch.zeros(2, 1, 9, 8), "size-mismatch"),
        (torch.zeros(1, 200, 200), torch.zeros(0, 1, 200, 200), "number-of-sources"),
        (torch.full((1, 200, 200), 256.0), torch.zeros(2, 1, 200, 200), "value-range"),
        (torch.full((1, 200, 200), -1.0), torch.zeros(2, 1, 200, 200), "value-range"),
        (torch.zeros(1, 200, 200), torch.full((2, 1, 200, 200), math.nan), "value-range"),
    ],
    ids=["no-batch", "sizes", "no-source", "white", "black", "nan"],
)
def test_invalid_images_are_rejected(measure, fused, sources, code):
    if measure.ref.color:
        fused, sources = (
            images.unsqueeze(-3).expand(*images.shape[:-2], 3, -1, -1)
            for images in (fused, sources)
        )
    with pytest.raises(FusionlabError, match=measure.ref.name) as caught:
        measure(fused, sources)
    assert caught.value.code == code


@named([m for m in MEASURES if m.convention == "default"])
def test_an_unknown_convention_is_rejected(measure):
    fused, sources = scene_of(measure.ref)
    with pytest.raises(FusionlabError, match=measure.ref.name) as caught:
        measure.ref.load()(fused, sources, convention="folklore")
    assert caught.value.code == "unknown-convention"


@named([m for m in MEASURES if m.convention == "default"])
def test_the_entry_and_the_docstring_are_complete(measure):
    ref = measure.ref
    assert ref.reference
    assert len(ref.summary) < 75
    text = ref.load().__doc__
    for word in ("Args:", "Returns:", "Raises:", "Reference"):
        assert word in text
    assert ref.bounds[0] < ref.bounds[1]


@pytest.mark.gpu
@named(MEASURES)
def test_cuda_and_cpu_agree(measure):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    fused, sources = scene_of(measure.ref)
    # float64 sums in another order
    assert measure(fused.cuda(), sources.cuda()).item() == pytest.approx(
        measure(fused, sources).item(), rel=1e-9, nan_ok=True
    )
