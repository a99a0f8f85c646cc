"""Source pairs, and what the programs of the methods' authors saved for them; laws."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import Fusion, Law
from fusionlab.strategy import DECLARABLE
from fusionlab.testing import PROFILES, examine

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[4] / "shared"
ORACLE = SHARED / "oracle" / "comparators"
PAIRS = SHARED / "data" / "eval" / "tno20"

SYNTHETIC = ("s64", "s61")
REAL = ("01", "05", "08")

PROFILES["brief"] = 2  # slow tests examine the 25 inputs of `quick`


def _read(path):
    if not path.exists():
        pytest.skip(f"{path.name} of {path.parent.name} is not at hand")
    return iio.imread(path)


@pytest.fixture(scope="session")
def sources():
    """Return a function: name of a pair -> infrared and visible image, 8 bits."""

    def read(pair):
        if pair in SYNTHETIC:
            return [_read(GOLDEN / "synthetic" / f"{pair}_{role}.png") for role in ("ir", "vi")]
        return [_read(PAIRS / place / f"{pair}.png") for place in "ab"]

    return read


@pytest.fixture(scope="session")
def published():
    """Return a function: method and pair -> the image that its authors' program saved."""

    def read(method, pair):
        if pair in SYNTHETIC:
            return _read(GOLDEN / method / f"{pair}.png")
        resized = ORACLE / method / f"{pair}_resized.png"
        return _read(resized if resized.exists() else ORACLE / method / f"{pair}.png")

    return read


@pytest.fixture(scope="session")
def assert_as_published(sources, published):
    """Return a function that compares a strategy with the image its authors' program saved."""

    def check(strategy, method, pair):
        expected = published(method, pair).astype(int)
        fused = Fusion("identity", strategy, range_policy="clip")(sources(pair)).astype(int)
        differences = np.abs(fused - expected)
        # ties of rounding to 8 bits: by one level, in at most one pixel of 10,000
        assert differences.max() <= 1
        assert (differences > 0).mean() <= 1e-4

    return check


@pytest.fixture(scope="session")
def broken_laws():
    """Return a function: strategy, or its class -> counterexamples to laws that it must keep."""

    def find(strategy, profile="brief", without=()):
        declared = (strategy() if isinstance(strategy, type) else strategy).laws
        required = [law for law in Law if law not in DECLARABLE or law in declared]
        laws = [law for law in required if law not in without]
        verdicts = examine(strategy, laws, profile)
        return [f"{v.law.name}: {v.counterexample}" for v in verdicts if not v.passed]

    return find
