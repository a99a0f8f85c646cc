"""DeepFuse and NestFuse with the shipped weights against numpy in float64."""

from functools import partial

import backbone_references as reference
import network_reference
import numpy as np
import pytest
import torch
from golden_images import image_set

from fusionlab import Fusion

BACKBONES = {
    "deepfuse": (reference.deepfuse_encode, reference.deepfuse_decode, "deepfuse-1e3"),
    "nestfuse": (reference.nestfuse_encode, reference.nestfuse_decode, "nestfuse-1e2"),
}
FUSIONS = {
    "deepfuse/addition": network_reference.addition,
    "nestfuse/l1norm": partial(network_reference.l1norm, radius=1),
    "nestfuse/nestfuse,tau=20": partial(reference.attention, tau=20),
}

FLOAT32 = 4e-6
"""Of the largest value: sums of up to a few hundred products in at most ten layers."""


def encoded(name, image_name):
    """Return the features `(k, C, h, w)` of both sources, for each level; and the sources."""
    encode, _, checkpoint = BACKBONES[name]
    weights = reference.load(checkpoint)
    _, *sources = image_set(image_name)
    levels = zip(*(encode(source, weights) for source in sources), strict=True)
    return [np.stack(maps) for maps in levels], sources


@pytest.mark.parametrize("name", BACKBONES)
def test_the_encoder_and_the_decoder_are_those_of_the_paper(name):
    backbone = Fusion(name).backbone
    expected, sources = encoded(name, "s64")  # a multiple of 8
    features = backbone.encode(torch.from_numpy(np.stack(sources))[:, None] / 255)
    for ours, theirs in zip(features, expected, strict=True):
        assert abs(ours.numpy() - theirs).max() < FLOAT32 * abs(theirs).max()

    _, decode, checkpoint = BACKBONES[name]
    decoded = 255 * backbone.decode(tuple(torch.from_numpy(maps).float() for maps in expected))
    image = decode([maps[0] for maps in expected], reference.load(checkpoint))
    assert abs(decoded[0, 0].numpy() - image).max() < FLOAT32 * abs(image).max()


@pytest.mark.parametrize("method", FUSIONS)
def test_a_fused_image_of_odd_size_has_the_gray_levels_of_float64(method):
    name, _, strategy = method.partition("/")
    features, sources = encoded(name, "s61")
    _, decode, checkpoint = BACKBONES[name]
    expected = decode([FUSIONS[method](maps) for maps in features], reference.load(checkpoint))
    height, width = sources[0].shape
    fused = Fusion(name, strategy, range_policy=None)([source / 255 for source in sources])
    expected = expected[:height, :width]
    assert abs(255 * fused - expected).max() < 2 * FLOAT32 * abs(expected).max()
