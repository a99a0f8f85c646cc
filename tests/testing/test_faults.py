"""Each planted fault is caught by the laws that it breaks, and by no others."""

import importlib.util
from pathlib import Path

import pytest

from fusionlab import Law
from fusionlab.testing import examine


def _faults():
    path = Path(__file__).with_name("faults.py")
    spec = importlib.util.spec_from_file_location("faults", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAULTS = _faults()


def broken(cls, laws=Law, profile="quick"):
    verdicts = examine(cls, laws, profile, simplify=False)
    return {verdict.law for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize("cls", [FAULTS.Sound, FAULTS.Window])
def test_strategies_without_a_fault_keep_all_laws(cls):
    """The tests below depend on it."""
    assert broken(cls) == set()


@pytest.mark.parametrize("fault", FAULTS.BREAKS, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught_by_the_laws_it_breaks(fault):
    """With the thorough profile: which inputs are drawn depends on the loaded modules."""
    expected = FAULTS.BREAKS[fault]
    assert broken(fault, expected, "thorough") == expected


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.BREAKS, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught_by_no_other_laws(fault):
    expected = FAULTS.BREAKS[fault]
    if Law.DETERMINISM in expected:
        pytest.skip("what is random may break any law")
    assert broken(fault) <= expected | FAULTS.RARELY[fault]


def test_there_is_a_fault_for_every_law():
    assert set().union(*FAULTS.BREAKS.values()) == set(Law)
