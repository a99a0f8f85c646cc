"""The laws as a test class, for the repositories of strategies."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar
from unittest import SkipTest

from fusionlab.errors import FusionlabError
from fusionlab.strategy import Law, Strategy
from fusionlab.testing.checking import RESTS_ON, Verdict, examine
from fusionlab.testing.search import OWN_DRAWS


class StrategyLaws:
    """Test each law that is required of a strategy or that it declares; derive from this class.

        class TestMine(StrategyLaws):
            strategy = Mine

    For unittest, derive from `unittest.TestCase`, too. A law that is neither required nor declared
    is skipped, and the reason says whether it could be declared. `profile = "thorough"` tests
    twenty times as many inputs.
    """

    strategy: ClassVar[type[Strategy]]
    profile: ClassVar[str] = "quick"


@lru_cache(maxsize=2)
def _verdicts(strategy: type[Strategy], own_draws: bool, profile: str) -> dict[Law, Verdict]:
    """Examine together the laws that the tests of a class ask for one by one."""
    laws = [law for law in Law if (law in OWN_DRAWS) == own_draws]
    return {v.law: v for v in examine(strategy, laws, profile, simplify=False)}


def _test_of(law: Law) -> Callable[[StrategyLaws], None]:
    def test(self: StrategyLaws) -> None:
        if not isinstance(getattr(self, "strategy", None), type):
            raise FusionlabError(
                f"{type(self).__name__} must name the class of a strategy: strategy = Mine"
            )
        verdict = _verdicts(self.strategy, law in OWN_DRAWS, self.profile)[law]
        if not verdict.passed:
            *_, simplified = examine(self.strategy, [*RESTS_ON.get(law, ()), law], self.profile)
            if not simplified.passed:  # a strategy that is not deterministic may pass now
                verdict = simplified
            first = f"first correct {verdict.cause.name}; " if verdict.cause else ""
            raise AssertionError(f"{law.name} ({law.value}): {first}{verdict.counterexample}")
        if verdict.held is None:
            raise SkipTest(f"{law.name} does not apply")
        if verdict.declared == "no":
            raise SkipTest(
                f"{law.name} is not declared, and "
                + ("held for all inputs: it could be" if verdict.held else "does not hold")
            )

    test.__doc__ = f"{law.value[0].upper()}{law.value[1:]}."
    return test


for _law in Law:
    setattr(StrategyLaws, f"test_{_law.name.lower()}", _test_of(_law))
