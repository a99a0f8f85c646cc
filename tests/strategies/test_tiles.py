"""Through the whole pipeline: an image in tiles is the image in one piece, for every strategy.

The law TILES asks this of a strategy with a backbone whose receptive field is a pixel; here it is
the default backbone, with its halo, and the image as it is written. Pixel strategies run on the
backbone that leaves images as they are.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.plugins.factory import build_strategy
from fusionlab.plugins.host import installed

NAMES = [
    registration.ref.name
    for registration in installed().strategies.registrations
    if registration.plugin == "fusionlab-imaging"
]
WHOLE = 10**6

# Of 255. On a CPU nothing differs, to the bit; a GPU may choose other kernels for other sizes.
FLOAT = 1e-3
LEVELS = 1
SHARE = 1e-3  # of the pixels of an 8-bit image


@cache
def backbone(domain):
    return Fusion(strategy="laplacian_pyramid" if domain == "pixels" else "mean").backbone


def images(k, height, width, seed):
    """Return k images of one scene: smooth, with an edge and some noise, each sharp elsewhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = 110 + 60 * np.sin(x / 5 + seed) * np.cos(y / 7) + 50 * (x > y)
    return [
        (scene * (0.6 + 0.2 * number) + rng.normal(0, 4 + 6 * number, (height, width)))
        .clip(0, 255)
        .round()
        .astype(np.uint8)
        for number in range(k)
    ]


def fused(name, sources, tile, policy):
    """Fuse; no strategy that ships refuses an image with its defaults, however small."""
    strategy = build_strategy(name, installed())
    fusion = Fusion(backbone(strategy.domain), strategy, range_policy=policy, tile=tile)
    no_cache = FeatureCache(max_bytes=0)  # it would encode small images whole for some strategies
    return fusion.fuse(sources, feature_cache=no_cache).image.astype(float)


@pytest.mark.parametrize("name", NAMES)
def test_tiles_do_not_show(name):
    """Sizes of 2 to 40 pixels, which tiles do not divide, and smaller than a tile."""
    assert build_strategy(name, installed()).support is not None

    @settings(max_examples=15)
    @given(
        st.integers(2, 3),
        st.integers(2, 40),
        st.integers(2, 40),
        st.integers(16, 24),
        st.sampled_from([None, "clip", "minmax"]),
    )
    def check(k, height, width, tile, policy):
        sources = images(k, height, width, seed=height * 41 + width)
        whole = fused(name, sources, WHOLE, policy)
        assert whole.shape == (height, width)
        difference = np.abs(whole - fused(name, sources, tile, policy))
        if policy is None:
            assert difference.max() <= FLOAT / 255
        else:
            assert difference.max() <= LEVELS
            assert (difference > 0).sum() <= max(1, SHARE * difference.size)  # at least one may

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["clip", "minmax"])
def test_tiles_do_not_show_in_an_image_of_several_tiles_by_default(name, policy):
    """With the default tiles, in both directions, and a middle one among them."""
    sources = images(2, 421, 433, seed=5)
    difference = np.abs(fused(name, sources, WHOLE, policy) - fused(name, sources, None, policy))
    assert difference.max() <= LEVELS
    assert (difference > 0).mean() <= SHARE
