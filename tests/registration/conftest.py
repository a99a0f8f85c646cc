"""A plugin whose estimators are known."""

import pytest

from fusionlab.plugins.host import installed
from fusionlab.registration.align import find_method

CODE = """
import numpy as np
from fusionlab import Estimate, RegistrationRef, hookimpl

CALLS = []  # what the estimators were given

@hookimpl
def fusionlab_registrations():
    one = ("translation", "similarity")
    return [
        RegistrationRef("known", f"{__name__}:known", "Three right, two down.", one, "doi:10.0/0"),
        *(RegistrationRef(name, f"{__name__}:{name}", "Odd.") for name in ODD),
    ]

def known(moving, fixed, *, model, moving_valid=None, fixed_valid=None):
    CALLS.append((moving, fixed, model, moving_valid, fixed_valid))
    return Estimate(np.array([[1, 0, 3], [0, 1, 2], [0, 0, 1.0]]), 0.9, evidence={"peak": 2.5})

ODD = {
    "refuses": Estimate(None, 0.1, "low_confidence", "a second place fits as well"),
    "silent": Estimate(None, 0.0),
    "unsure": Estimate(np.eye(3), 0.3),
    "mirrors": Estimate(np.diag([-1.0, 1, 1]), 0.9),
    "far": Estimate(np.array([[1, 0, 28.0], [0, 1, 0], [0, 0, 1]]), 0.9),
    "affine": Estimate(np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]]), 0.9),
    "broken": np.eye(3),
    "loud": Estimate(np.eye(3), 7.0),
    "odd_reason": Estimate(None, 0.0, "no idea"),
    "endless": Estimate(np.eye(3), 0.9, evidence={"peak": float("inf")}),
}

def __getattr__(name):
    if name in ODD:
        return lambda *images, **options: ODD[name]
    raise AttributeError(name)

def fails(*images, **options):
    raise SystemExit(0)

ODD["fails"] = None
"""


@pytest.fixture
def method(install):
    """Return a function that finds a registration method of the plugin."""
    install("lab-register", CODE)
    return lambda name: find_method(f"lab-register:{name}", installed())
