"""The grammar of method names, there and back."""

import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.plugins.factory import build_backbone, build_strategy, split_method
from fusionlab.plugins.host import installed


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("densefuse@1e2/l1norm,r=0,border=inside", ("densefuse@1e2", "l1norm,r=0,border=inside")),
        ("densefuse@my/own.safetensors/mean", ("densefuse@my/own.safetensors", "mean")),
        (
            "densefuse/rfn,checkpoint=my/own.safetensors",
            ("densefuse", "rfn,checkpoint=my/own.safetensors"),
        ),
    ],
)
def test_a_method_is_a_backbone_and_a_strategy_whose_values_may_be_paths(text, expected):
    assert split_method(text) == expected


def test_without_a_slash_it_is_no_method():
    with pytest.raises(FusionlabError, match=r"a method is written .*, got 'densefuse,r=1/2'"):
        split_method("densefuse,r=1/2")
