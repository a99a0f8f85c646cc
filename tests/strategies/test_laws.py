"""The shipped strategies keep every law that they owe or claim, and claim what they keep."""

import pytest

from fusionlab import Law, load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.testing import examine

OFFERS = [o for o in load_plugins().strategies.registrations if o.plugin == "fusionlab-imaging"]
NAMES = [registration.ref.name for registration in OFFERS]


@pytest.mark.parametrize("law", Law, ids=lambda law: law.name)
@pytest.mark.parametrize("name", NAMES)
def test_the_law_holds_if_it_is_owed_or_claimed(verdicts, name, law):
    verdict = verdicts(name)[law]
    assert verdict.kept, verdict.counterexample


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_is_claimed(verdicts, name):
    unclaimed = {law for law, v in verdicts(name).items() if v.claimed == "no" and v.held}
    assert unclaimed == set()


@pytest.mark.slow
@pytest.mark.parametrize("registration", OFFERS, ids=NAMES)
def test_all_laws_with_many_more_inputs(registration):
    for verdict in examine(strategy_class(registration), profile="thorough"):
        assert verdict.kept, f"{verdict.law}: {verdict.counterexample}"


@pytest.mark.parametrize("registration", OFFERS, ids=NAMES)
def test_the_listed_summary_is_the_first_line_of_the_docstring(registration):
    assert strategy_class(registration).__doc__.splitlines()[0] == registration.ref.summary
