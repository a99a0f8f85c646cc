"""The range policies that depend on the method: `auto`, and `own`, which the method declares."""

import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.laplacian_pyramid import LaplacianPyramid
from fusionlab_strategies.mean import Mean


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


@pytest.mark.parametrize(("base", "role"), [(Identity, "backbone"), (Addition, "strategy")])
def test_an_unknown_range_policy_as_what_a_method_saves_with_is_refused(base, role):
    parts = {"backbone": Identity(), "strategy": Addition()}
    parts[role] = type("Odd", (base,), {"saves": "gamma"})()
    with pytest.raises(FusionlabError, match=f"the {role} Odd") as refused:
        Fusion(**parts)
    assert refused.value.code == "saves"
