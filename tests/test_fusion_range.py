"""The range policies that depend on the method, `auto` and `own`, and what lies outside."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Law
from fusionlab.imaging.range_policy import OutsideCount
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.laplacian_pyramid import LaplacianPyramid
from fusionlab_strategies.mean import Mean
from fusionlab_strategies.multi_scale import MultiScale


class Clipped(Identity):
    saves = "clip"


class StretchedPyramid(LaplacianPyramid):
    saves = "minmax"


@pytest.mark.parametrize(
    ("backbone", "strategy", "policy"),
    [
        (DenseFuse(), Mean(), "minmax"),  # the backbone declares it
        (Identity(), Mean(), "clip"),
        (Identity(), Addition(), "minmax"),
        (Clipped(), Addition(), "clip"),
    ],
)
def test_own_is_what_the_backbone_declares_or_else_the_strategy(backbone, strategy, policy):
    assert Fusion(backbone, strategy, range_policy="own").range_policy == policy


def test_auto_is_what_a_pixel_strategy_declares():
    """Although it is not convex: one pixel that overshoots must not change all others."""
    assert Fusion(Identity(), LaplacianPyramid()).range_policy == "clip"
    assert Fusion(Identity(), StretchedPyramid()).range_policy == "minmax"


def test_auto_clips_what_gives_back_what_all_sources_show():
    """A pyramid of features may overshoot, too, and is as bright as the sources."""
    assert Law.CONVEXITY not in MultiScale().laws
    assert Fusion(DenseFuse(), MultiScale()).range_policy == "clip"
    assert Fusion(DenseFuse(), Addition()).range_policy == "minmax"


@pytest.mark.parametrize(("base", "role"), [(Identity, "backbone"), (Addition, "strategy")])
def test_an_unknown_range_policy_as_what_a_method_saves_with_is_refused(base, role):
    parts = {"backbone": Identity(), "strategy": Addition()}
    parts[role] = type("Odd", (base,), {"saves": "gamma"})()
    with pytest.raises(FusionlabError, match=f"the {role} Odd") as refused:
        Fusion(**parts)
    assert refused.value.code == "saves"


@pytest.mark.parametrize("policy", ["clip", "minmax", None])
def test_the_share_of_values_outside_the_range_is_counted_before_the_range_policy(policy):
    bright = np.array([[100, 127, 128, 200]], dtype=np.uint8)
    fused = Fusion(Identity(), Addition(), range_policy=policy).fuse([bright, bright])
    assert fused.outside.tolist() == [0.5]  # 256 and 400


def test_a_value_that_is_rounded_to_white_or_black_is_not_outside():
    levels = torch.tensor([[[-0.6, -0.4, 255.4, 255.6]]])
    count = OutsideCount()
    count.add(levels[None] / 255)
    assert count.share().tolist() == [0.5]


def test_the_share_is_that_of_each_image_over_its_channels_and_tiles():
    batch = torch.full((2, 3, 40, 50), 0.25)
    batch[1, 0, :10] = 0.75
    fused = Fusion(Identity(), Addition(), tile=16).fuse([batch, batch])
    assert fused.outside.tolist() == pytest.approx([0, 10 / 40 / 3])
    gray = batch[:, :1]
    mixed = Fusion(Identity(), Addition(), color="gray").fuse([gray, batch])
    assert mixed.outside.tolist() == [0, 0.25]  # 0.75 and a luminance of 0.4
