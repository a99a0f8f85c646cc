"""The laws of the shipped strategies, tested once for all who look at them."""

from functools import cache

import pytest

from fusionlab import load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.testing import examine


@pytest.fixture(scope="session")
def verdicts():
    """Name of a strategy -> law -> verdict."""
    registrations = {o.ref.name: o for o in load_plugins().strategies.registrations}

    @cache
    def of(name):
        return {verdict.law: verdict for verdict in examine(strategy_class(registrations[name]))}

    return of
