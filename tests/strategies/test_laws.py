"""The shipped strategies keep every law that they owe or claim, and claim what they keep."""

import pytest

from fusionlab import Law, load_plugins
from fusionlab.method import strategy_class
from fusionlab.testing import examine

OFFERS = [o for o in load_plugins().strategies.offers if o.plugin == "fusionlab-imaging"]
NAMES = [offer.ref.name for offer in OFFERS]


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
@pytest.mark.parametrize("offer", OFFERS, ids=NAMES)
def test_all_laws_with_many_more_inputs(offer):
    for verdict in examine(strategy_class(offer), profile="thorough"):
        assert verdict.kept, f"{verdict.law}: {verdict.counterexample}"


@pytest.mark.parametrize("offer", OFFERS, ids=NAMES)
def test_the_listed_summary_is_the_first_line_of_the_docstring(offer):
    assert strategy_class(offer).__doc__.splitlines()[0] == offer.ref.summary
