"""The shipped network and fusions with it against numpy in float64; see `network_reference.py`."""

from functools import cache, partial

import network_reference as reference
import numpy as np
import pytest
import torch
from golden_images import image_set

from fusionlab import Fusion

STRATEGIES = {
    "addition": reference.addition,
    "mean": reference.mean,
    "max": reference.maximum,
    "l1norm,r=0": partial(reference.l1norm, radius=0),
    "l1norm": partial(reference.l1norm, radius=1),
    "l1norm,r=3": partial(reference.l1norm, radius=3),
}

FLOAT32 = 4e-6
"""Of the largest value: sums of up to 576 products in four layers; measured: 7e-7."""


@cache
def features(tag, name):
    weights = reference.load(tag)
    _, *sources = image_set(name)
    return np.stack([reference.encode(source, weights) for source in sources])


def largest_error(ours, expected):
    return abs(ours - expected).max() / abs(expected).max()


@pytest.mark.parametrize("tag", ["1e0", "1e1", "1e2", "1e3", "1e3-long"])
def test_the_encoder_and_the_decoder_are_those_of_table_i(tag):
    backbone = Fusion(f"densefuse@{tag}").backbone
    _, infrared, _ = image_set("s61")
    (encoded,) = backbone.encode(torch.from_numpy(infrared)[None, None] / 255)
    expected, _ = features(tag, "s61")
    assert largest_error(encoded[0].numpy(), expected) < FLOAT32

    decoded = 255 * backbone.decode((torch.from_numpy(expected)[None].float(),))
    assert largest_error(decoded[0, 0].numpy(), reference.decode(expected, reference.load(tag))) < (
        FLOAT32
    )


@pytest.mark.parametrize("range_policy", ["clip", "minmax"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["s64", "s61"])
def test_a_fused_image_has_the_pixels_of_float64(name, strategy, range_policy):
    _, *sources = image_set(name)
    fused = Fusion("densefuse@1e2", strategy, range_policy=range_policy)(sources)
    decoded = reference.decode(STRATEGIES[strategy](features("1e2", name)), reference.load("1e2"))
    expected = getattr(reference, range_policy)(decoded)
    # float32 may round to the other side where the exact value lies between two gray levels
    certain = abs(expected % 1 - 0.5) > 255 * FLOAT32
    assert certain.mean() > 0.98
    assert np.array_equal(fused[certain], np.floor(expected + 0.5)[certain])
