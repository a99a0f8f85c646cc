"""The laws as a test class, for the repositories of strategies."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar
from unittest import SkipTest

from fusionlab.errors import FusionlabError
from fusionlab.strategy import Law, Strategy
from fusionlab.testing.checking import examine


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


def _test_of(law: Law) -> Callable[[StrategyLaws], None]:
    def test(self: StrategyLaws) -> None:
        if not isinstance(getattr(self, "strategy", None), type):
            raise FusionlabError(
                f"{type(self).__name__} must name the class of a strategy: strategy = Mine"
            )
        (verdict,) = examine(self.strategy, [law], self.profile)
        if not verdict.passed:
            raise AssertionError(f"{law.name} ({law.value}): {verdict.counterexample}")
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
