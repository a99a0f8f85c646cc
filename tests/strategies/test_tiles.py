"""Through the whole pipeline: an image in tiles is the image in one piece, for every strategy.

The law TILES asks this of a rule with a backbone that sees nothing around it; here it is the
default backbone, with its margins, and the picture as it is written.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.plugins.factory import build_strategy
from fusionlab.plugins.host import installed

RULES = [registration.ref.name for registration in installed().strategies.registrations]
WHOLE = 10**6

# Of 255. On a CPU nothing differs, to the bit; a GPU may choose other kernels for other sizes.
FLOAT = 1e-3
LEVELS = 1
SHARE = 1e-3  # of the pixels of an 8-bit picture


@pytest.fixture(scope="module")
def backbone():
    return Fusion("densefuse").backbone


def pictures(k, height, width, seed):
    """Return k pictures of one scene: smooth, with an edge and some noise, each sharp elsewhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = 110 + 60 * np.sin(x / 5 + seed) * np.cos(y / 7) + 50 * (x > y)
    found = []
    for number in range(k):
        noise = rng.normal(0, 4 + 6 * number, (height, width))
        found.append((scene * (0.6 + 0.2 * number) + noise).clip(0, 255).round().astype(np.uint8))
    return found


def fused(backbone, rule, sources, tile, policy):
    """Fuse; None where the rule refuses such a picture: it must do so in one piece, too."""
    strategy = build_strategy(rule, installed())
    fusion = Fusion(backbone, strategy, range_policy=policy, tile=tile)
    kept = FeatureCache(
        max_bytes=0
    )  # small images would be encoded whole for rules that look twice
    try:
        return fusion.fuse(sources, feature_cache=kept).image
    except FusionlabError:
        return None


@pytest.mark.parametrize("rule", RULES)
def test_tiles_do_not_show(backbone, rule):
    """Sizes of 2 to 40 pixels, that do not divide, and smaller than a tile."""
    in_one_piece = build_strategy(rule, installed()).support is None

    @settings(max_examples=15)
    @given(
        st.integers(2, 3),
        st.integers(2, 40),
        st.integers(2, 40),
        st.integers(16, 24),
        st.sampled_from([None, "clip", "minmax"]),
    )
    def check(k, height, width, tile, policy):
        if in_one_piece:  # it is refused in smaller tiles
            tile = max(height, width, tile)
        sources = pictures(k, height, width, seed=height * 41 + width)
        whole = fused(backbone, rule, sources, WHOLE, policy)
        tiled = fused(backbone, rule, sources, tile, policy)
        assert (whole is None) == (tiled is None)
        if whole is None:
            return
        apart = np.abs(whole.astype(float) - tiled)
        if policy is None:
            assert apart.max() <= FLOAT / 255
        else:
            assert apart.max() <= LEVELS
            assert (apart > 0).sum() <= max(1, SHARE * apart.size)  # at least one may

    check()


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("policy", ["clip", "minmax"])
def test_tiles_do_not_show_in_a_picture_of_several_tiles_by_default(backbone, rule, policy):
    """With the tiles that everybody gets, in both directions, and a middle one among them."""
    if build_strategy(rule, installed()).support is None:
        pytest.skip("this rule needs the image in one piece")
    sources = pictures(2, 421, 433, seed=5)
    whole = fused(backbone, rule, sources, WHOLE, policy).astype(float)
    apart = np.abs(whole - fused(backbone, rule, sources, None, policy))
    assert apart.max() <= LEVELS
    assert (apart > 0).mean() <= SHARE
