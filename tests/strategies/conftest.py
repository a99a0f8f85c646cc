"""The laws of the shipped strategies, examined once for all tests and all workers."""

import pickle
from functools import cache

import pytest
from filelock import FileLock

from fusionlab import load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.strategy import DECLARABLE, Law
from fusionlab.testing import PROFILES, examine

PROFILES["brief"] = 6  # slow tests examine 500 inputs


def _examined(cls):
    """Examine what must hold briefly; each other law with more inputs, until one breaks it."""
    must_hold = [law for law in Law if law not in DECLARABLE or law in cls().laws]
    others = [law for law in Law if law not in must_hold]
    yield from examine(cls, must_hold, "brief", simplify=False)
    for law in others:  # inputs of its own break some sooner
        yield from examine(cls, [law], simplify=False)


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
                examined = {v.law: v for v in _examined(strategy_class(registrations[name]))}
                stored.write_bytes(pickle.dumps(examined))
            return pickle.loads(stored.read_bytes())

    return verdicts_of
