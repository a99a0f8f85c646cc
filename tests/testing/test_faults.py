"""The law suite bites: each planted fault is caught, by the laws it breaks and by no others."""

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


def broken(cls):
    return {verdict.law for verdict in examine(cls) if not verdict.kept}


@pytest.mark.parametrize("cls", [FAULTS.Sound, FAULTS.Window])
def test_rules_without_a_fault_keep_all_laws(cls):
    """Otherwise nothing below means anything."""
    assert broken(cls) == set()


@pytest.mark.parametrize("fault", FAULTS.BREAKS, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught_by_the_laws_it_breaks(fault):
    expected, found = FAULTS.BREAKS[fault], broken(fault)
    if Law.DETERMINISM in expected:
        assert found >= expected
    else:
        assert found == expected


def test_there_is_a_fault_for_every_law():
    assert set().union(*FAULTS.BREAKS.values()) == set(Law)
