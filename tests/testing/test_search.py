"""The inputs of the laws are the same in every program."""

import sys
from types import ModuleType

import pytest
from hypothesis.internal.conjecture import providers

from fusionlab import Law
from fusionlab.testing.search import search_together
from fusionlab_strategies.weighted import Weighted


def inputs_seen(monkeypatch):
    """Return what a search draws."""
    seen = []
    monkeypatch.setattr(
        "fusionlab.testing.search._SharedInputs.test", lambda _, *drawn: seen.append(drawn[0])
    )
    search_together(Weighted, {Law.SHAPE: "yes", Law.UNTOUCHED: "yes"}, 100)
    return [repr(strategy) for strategy in seen]


@pytest.mark.skipif(
    not hasattr(providers, "_get_local_constants"), reason="this Hypothesis reads no constants"
)
def test_inputs_do_not_depend_on_the_modules_that_are_loaded(tmp_path, monkeypatch):
    """Hypothesis draws numbers that it finds in the source of loaded modules."""
    before = inputs_seen(monkeypatch)
    source = tmp_path / "with_constants.py"
    source.write_text("\n".join(f"x{n} = {n}.{n}" for n in range(200, 400)))
    module = ModuleType("with_constants")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "with_constants", module)
    assert inputs_seen(monkeypatch) == before
    assert before
