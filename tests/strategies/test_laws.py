"""The shipped strategies keep every required and declared law, and declare every law that holds."""

import pytest

from fusionlab import Law, load_plugins
from fusionlab.plugins.loading import strategy_class
from fusionlab.testing import examine

SHIPPED = [o for o in load_plugins().strategies.registrations if o.plugin == "fusionlab-imaging"]
NAMES = [registration.ref.name for registration in SHIPPED]


@pytest.mark.parametrize("law", Law, ids=lambda law: law.name)
@pytest.mark.parametrize("name", NAMES)
def test_a_law_holds_if_it_is_required_or_declared(verdicts, name, law):
    verdict = verdicts(name)[law]
    assert verdict.passed, verdict.counterexample


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_is_declared(verdicts, name):
    undeclared = {law for law, v in verdicts(name).items() if v.declared == "no" and v.held}
    assert undeclared == set()


@pytest.mark.slow
@pytest.mark.parametrize("registration", SHIPPED, ids=NAMES)
def test_all_laws_with_many_more_inputs(registration):
    for verdict in examine(strategy_class(registration), profile="thorough"):
        assert verdict.passed, f"{verdict.law}: {verdict.counterexample}"


@pytest.mark.parametrize("registration", SHIPPED, ids=NAMES)
def test_the_listed_summary_is_the_first_line_of_the_docstring(registration):
    assert strategy_class(registration).__doc__.splitlines()[0] == registration.ref.summary
