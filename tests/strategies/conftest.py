"""The laws of the shipped strategies, examined once for all tests and all workers."""

import pickle
from functools import cache

import pytest
from filelock import FileLock

from fusionlab import load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.testing import examine


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory, request):
    """Return a function: name of a strategy -> law -> verdict."""
    registrations = {r.ref.name: r for r in load_plugins().strategies.registrations}
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # a worker of pytest-xdist has a folder in it
        folder = folder.parent

    @cache
    def verdicts_of(name):
        with FileLock(folder / f"{name}.lock"):
            stored = folder / f"{name}.verdicts"
            if not stored.exists():
                examined = examine(strategy_class(registrations[name]), simplify=False)
                stored.write_bytes(pickle.dumps({v.law: v for v in examined}))
            return pickle.loads(stored.read_bytes())

    return verdicts_of
