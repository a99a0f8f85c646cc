"""The laws of the shipped strategies, tested once for all who look at them."""

from functools import cache

import pytest

from fusionlab import load_plugins
from fusionlab.method import strategy_class
from fusionlab.testing import examine


@pytest.fixture(scope="session")
def verdicts():
    """Name of a strategy -> law -> verdict."""
    offers = {o.ref.name: o for o in load_plugins().strategies.offers}

    @cache
    def of(name):
        return {verdict.law: verdict for verdict in examine(strategy_class(offers[name]))}

    return of
