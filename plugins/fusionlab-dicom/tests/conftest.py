"""The files that the tests read, made by `make_files.py`."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def made():
    return SimpleNamespace(**runpy.run_path(Path(__file__).with_name("make_files.py")))
