"""Listing and loading what plugins offer, from Python."""

import doctest

import numpy as np
import pytest

import fusionlab
from fusionlab import FusionlabError
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import split_method

EXAMPLES = [name for name in fusionlab.__all__ if name.startswith(("list_", "load_"))]
EXAMPLES.remove("load_plugins")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_docstrings_are_true(name):
    function = getattr(fusionlab, name)
    (example,) = doctest.DocTestFinder().find(function, name, globs={"fusionlab": fusionlab})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_patterns_choose_and_everything_is_the_default():
    assert "l1norm" in fusionlab.list_strategies()
    assert fusionlab.list_strategies("nothing*") == []
    assert fusionlab.list_metrics("Qab?") == ["Qabf"]
    assert fusionlab.list_metrics("qab?") == []
    assert fusionlab.list_backbones()[0] == "densefuse@1e3-long"
    assert "identity" in fusionlab.list_backbones()


def test_every_listed_method_is_a_listed_backbone_and_a_strategy_that_can_be_built():
    methods = fusionlab.list_methods()
    assert len(methods) == len(set(methods))
    for name in methods:
        backbone, strategy = split_method(name, installed())
        assert backbone in fusionlab.list_backbones()
        assert fusionlab.load_strategy(strategy)


def test_a_listed_method_fuses():
    (name,) = fusionlab.list_methods("densefuse@1e2/addition")
    images = np.random.default_rng(0).random((2, 9, 9), np.float32)
    assert fusionlab.Fusion(*split_method(name, installed()))(list(images)).shape == (9, 9)


KINDS = """
    from dataclasses import dataclass
    from pathlib import Path
    from fusionlab import LearnedStrategy, Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies():
        folder = Path(__file__).parent
        files = {"first": folder / "first.safetensors", "second": folder / "second.safetensors"}
        return [
            StrategyRef("px", "lab_kinds:Px", "Px."),
            StrategyRef("needs", "lab_kinds:Needs", "Needs."),
            StrategyRef("lost", "lab_kinds:Lost", "Lost."),
            StrategyRef("net", "lab_kinds:Net", "Net.", files),
        ]

    @dataclass(frozen=True)
    class Px(Strategy):
        domain = "pixels"
        def fuse(self, features, scene): return features[0]

    @dataclass(frozen=True)
    class Needs(Strategy):
        value: int
        def fuse(self, features, scene): return features[0]

    @dataclass(frozen=True)
    class Net(LearnedStrategy):
        def network(self, level): raise NotImplementedError
        def losses(self, fused, sources, merged, features): raise NotImplementedError
"""


def test_methods_are_listed_where_they_work_only(install, tmp_path):
    install("lab-kinds", KINDS)
    densefuse = fusionlab.load_backbone("densefuse@1e2").card
    for tag, trained_on in (("first", "0" * 64), ("second", densefuse.sha256)):
        facts = {"name": "net", "parameters": {}, "backbone_sha256": trained_on}
        card = fusionlab.Card("densefuse", tag, "1" * 64, "MIT", strategy=facts)
        (tmp_path / "site-packages" / f"{tag}.json").write_text(card.to_json())
    with pytest.warns(RuntimeWarning, match="lab-kinds:lost cannot be used"):
        methods = fusionlab.list_methods()
    assert [name for name in methods if name.endswith("/px")] == ["identity/px"]
    assert [name for name in methods if "/net" in name] == ["densefuse@1e2/net,checkpoint=second"]
    assert not [name for name in methods if "/needs" in name or "/lost" in name]
    assert "densefuse@1e2/l1norm" in methods


def test_what_cannot_be_loaded_is_refused():
    with pytest.raises(FusionlabError) as refused:
        fusionlab.load_strategy("l1nrm")
    assert refused.value.code == "unknown-name"
    with pytest.raises(FusionlabError) as refused:
        fusionlab.load_backbone("densefuse@1e9")
    assert refused.value.code == "unknown-weights"
