"""The grammar of method names: what is written parses back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab import Fusion, FusionlabError
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import NameWithValues, split_method

PIXELS = """
    from dataclasses import dataclass
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies(): return [StrategyRef("px", "lab_pixels:Px", "Px.")]

    @dataclass(frozen=True)
    class Px(Strategy):
        "Px."
        domain = "pixels"
        lam: float = 1.0
        def fuse(self, features, scene): return features[0]
"""

plain = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,5}", fullmatch=True).filter(
    lambda text: not text.endswith((".pt", ".pth", ".bin", ".safetensors"))
)
names = st.one_of(plain, st.builds("{}:{}".format, plain, plain))
paths = st.lists(plain, min_size=1, max_size=3).map("/".join)
weights = paths.map("{}.safetensors".format)


def values(texts):
    elements = st.lists(texts, min_size=1, max_size=3).map(",".join)
    return st.dictionaries(st.from_regex(r"[a-z_]{1,4}", fullmatch=True), elements, max_size=3)


backbones = st.builds(NameWithValues, names, st.one_of(st.just(""), plain, weights), values(plain))
strategies = st.builds(NameWithValues, names, st.just(""), values(st.one_of(plain, paths, weights)))


@given(backbone=backbones, strategy=strategies)
def test_what_is_written_parses_back(backbone, strategy):
    left, right = split_method(f"{backbone}/{strategy}", installed())
    assert (left, right) == (str(backbone), str(strategy))
    assert NameWithValues.parse(left) == backbone
    assert NameWithValues.parse(right) == strategy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("densefuse@1e2/l1norm,r=0,border=inside", ("densefuse@1e2", "l1norm,r=0,border=inside")),
        ("densefuse@my/own.safetensors/mean", ("densefuse@my/own.safetensors", "mean")),
        ("densefuse@/my/own.pth/mean", ("densefuse@/my/own.pth", "mean")),
        (
            "densefuse@my/own.safetensors,x=1/rfn,checkpoint=a/b.safetensors",
            ("densefuse@my/own.safetensors,x=1", "rfn,checkpoint=a/b.safetensors"),
        ),
        (
            "densefuse/rfn,checkpoint=my/own.safetensors",
            ("densefuse", "rfn,checkpoint=my/own.safetensors"),
        ),
    ],
)
def test_a_method_is_a_backbone_and_a_strategy_whose_values_may_be_paths(text, expected):
    assert split_method(text, installed()) == expected


@pytest.mark.parametrize(
    "text", ["densefuse", "densefuse,r=1", "densefuse@1e2", "a b/mean", "/mean"]
)
def test_a_text_without_a_strategy_is_refused(text):
    with pytest.raises(FusionlabError, match=r"a method is written BACKBONE.*/STRATEGY") as error:
        split_method(text, installed())
    assert error.value.code == "method-name"


def test_a_strategy_that_is_not_for_pixels_needs_its_backbone():
    with pytest.raises(FusionlabError, match="'l1norm' merges features, so the method") as error:
        split_method("l1norm,r=0", installed())
    assert error.value.code == "missing-backbone"


def test_a_pixel_strategy_runs_on_the_baseline_where_no_backbone_is_given(install):
    install("lab-pixels", PIXELS)
    assert split_method("px,lam=4", installed()) == ("identity", "px,lam=4")
    assert Fusion(*split_method("px,lam=4", installed())).method == "identity/px,lam=4.0"


def test_an_unknown_name_alone_brings_the_nearest_strategy():
    with pytest.raises(FusionlabError, match="did you mean 'l1norm'") as error:
        split_method("l1nrm", installed())
    assert error.value.code == "unknown-name"
