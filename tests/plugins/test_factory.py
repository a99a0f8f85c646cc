"""Building strategies and backbones by name."""

import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import split_method


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l1norm", "l1norm,r=1,border=inside"),
        ("l1norm,r=0", "l1norm,r=0,border=inside"),
        ("fusionlab-imaging:l1norm,border=reflect,r=2", "l1norm,r=2,border=reflect"),
        ("addition", "addition"),
    ],
)
def test_a_strategy_is_named_by_its_text(text, expected):
    fusion = Fusion("identity", text)
    assert fusion.method == f"identity/{expected}"
    assert build_strategy(expected, installed()) == fusion.strategy


def test_tuples_take_the_commas_that_are_not_followed_by_a_name(install):
    install(
        "lab-tuple",
        """
        from dataclasses import dataclass
        from fusionlab import Strategy, StrategyRef, hookimpl

        @hookimpl
        def fusionlab_strategies(): return [StrategyRef("w", "lab_tuple:W", "W.")]

        @dataclass(frozen=True)
        class W(Strategy):
            "W."
            theta: tuple[float, ...]
            n: int = 1
            def fuse(self, features, scene): return features[0]
        """,
    )
    rule = build_strategy("w,theta=0.2,0.8,n=3", installed())
    assert (rule.theta, rule.n) == ((0.2, 0.8), 3)
    with pytest.raises(FusionlabError, match="the strategy 'w' needs a value for theta"):
        build_strategy("w", installed())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l1norm,q=1", "'l1norm' has no parameter 'q'; it has: r, border"),
        ("addition,q=1", "'addition' has no parameter 'q'; it has: none"),
        ("l1norm,1", "expected name=value after 'l1norm', got '1'"),
        ("l1norm,r=x", "'r' must be int, got 'x'"),
        ("l1norm,r=-1", "'r' must be at least 0, got -1"),
    ],
)
def test_a_text_that_names_nothing_is_refused(text, message):
    with pytest.raises(FusionlabError, match=message):
        build_strategy(text, installed())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("densefuze", "there is no backbone 'densefuze'; did you mean 'densefuse'"),
        (
            "densefuse@1e9",
            "'densefuse' has no weights '1e9'; known: 1e3-long, 1e0, 1e1, 1e2, 1e3, or",
        ),
        ("identity@1e2", "'identity' has no weights '1e2'; known: none"),
        ("densefuse@nowhere.safetensors", "has no card"),
    ],
)
def test_a_backbone_that_is_not_there_is_refused(text, message):
    with pytest.raises(FusionlabError, match=message):
        build_backbone(text, installed())


def test_the_defaults_come_from_the_installed_plugins():
    assert Fusion().method == "densefuse@1e3-long/l1norm,r=1,border=inside"


SCALED = """
    from typing import Annotated, Literal
    from annotated_types import Gt
    from fusionlab import Backbone, BackboneRef, Level, hookimpl

    @hookimpl
    def fusionlab_backbones(): return [BackboneRef("scaled", "lab_scaled:Scaled", "Scaled.")]

    class Scaled(Backbone):
        "Scaled."
        levels = (Level(channels=1, stride=1),)
        receptive_field = (0, 0)
        def __init__(
            self,
            factor: Annotated[float, Gt(0), "Factor of the features."] = 2.0,
            mode: Literal["a", "b"] = "a",
            note: str = "x",
        ):
            super().__init__()
            self.factor, self.mode, self.note = factor, mode, note
        def encode(self, images): return (images * self.factor,)
        def decode(self, features): return features[0] / self.factor
"""


def test_a_backbone_takes_parameters_like_a_strategy(install):
    install("lab-scaled", SCALED)
    fusion = Fusion("scaled,factor=4,mode=b", "mean")
    assert (fusion.backbone.factor, fusion.backbone.mode) == (4.0, "b")
    assert fusion.method == "scaled,factor=4.0,mode=b,note=x/mean"
    assert Fusion(*split_method(fusion.method, installed())).method == fusion.method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scaled,size=2", "backbone 'scaled' has no parameter 'size'; it has: factor, mode, note"),
        ("scaled,factor=0", "'factor' must be more than 0, got 0.0"),
        ("scaled,mode=c", "'mode' must be one of a, b, got 'c'"),
        ("identity,factor=2", "backbone 'identity' has no parameter 'factor'; it has: none"),
    ],
)
def test_a_wrong_parameter_of_a_backbone_is_refused(install, text, message):
    install("lab-scaled", SCALED)
    with pytest.raises(FusionlabError, match=message):
        build_backbone(text, installed())


def test_a_value_of_a_backbone_that_would_not_parse_back_is_refused(install):
    install("lab-scaled", SCALED)
    fusion = Fusion("scaled,note=a/b", "mean")
    with pytest.raises(FusionlabError, match="'note' of the backbone scaled .* without '/'"):
        _ = fusion.method
