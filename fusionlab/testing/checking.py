"""Which laws a strategy claims, which of them hold, and the smallest input where one does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable
from torch import Tensor

from fusionlab import parameters
from fusionlab.errors import FusionlabError
from fusionlab.strategy import CLAIMS, Law, Strategy, WeightedStrategy
from fusionlab.testing.cases import features, rules
from fusionlab.testing.laws import TESTS
from fusionlab.testing.subject import BrokenLawError, Subject

PROFILES = {"quick": 25, "thorough": 500}
"""How many inputs each law is tested with."""

WIDE = {Law.SUPPORT, Law.TILES, Law.TRANSLATION}
"""Laws whose images are larger than the rule looks far,"""
WIDEST = 24
"""and which are not tested for rules that look further: in pixels, or it would take too long."""

Claim = Literal["required", "yes", "for some", "no"]


@dataclass(frozen=True)
class Verdict:
    """What came of one law."""

    law: Law
    claimed: Claim
    """Whether the rule claims it: whatever its parameters, for some of them, or not at all."""
    held: bool | None
    """Whether it held for every input, and there was one that was not refused; None: it does not
    apply."""
    counterexample: str = ""
    """The simplest input found where it does not hold, and what happens there."""

    @property
    def kept(self) -> bool:
        """Whether the rule is as good as its word: what it claims or owes holds."""
        return self.claimed == "no" or self.held is not False


def examine(
    strategy: type[Strategy] | Strategy, laws: Iterable[Law] = Law, profile: str = "quick"
) -> Iterator[Verdict]:
    """Test a strategy for laws, whether it claims them or not.

    Parameters, the number of sources, their sizes and values are drawn by hypothesis, without
    chance: the same ones as long as the same modules are loaded, from which it takes some
    constants. Three laws that need larger images are tested with such parameters only for which
    the rule looks no further than 24 pixels.

    Args:
        strategy: a class, whose parameters are drawn, or an instance, with the parameters it has.
        laws: which laws.
        profile: `quick` (25 inputs a law) or `thorough` (500).
    """
    claimed = _claimed(strategy)
    for law in laws:
        claim = _claim(law, claimed)
        if not _applies(law, strategy):
            yield Verdict(law, claim, None)
            continue
        ran, counterexample = _search(law, strategy, claim, PROFILES[profile])
        yield Verdict(law, claim, not counterexample if ran else None, counterexample)


def _claim(law: Law, claimed: list[frozenset[Law]]) -> Claim:
    if law not in CLAIMS:
        return "required"
    count = sum(law in laws for laws in claimed)
    return "no" if not count else "yes" if count == len(claimed) else "for some"


@lru_cache(maxsize=1)  # `StrategyLaws` asks once for each law
def _claimed(strategy: type[Strategy] | Strategy) -> list[frozenset[Law]]:
    """Return what some instances claim."""
    found: list[frozenset[Law]] = []

    @_settings(50)
    @given(rules(strategy))
    def look(drawn: tuple[Strategy, int]) -> None:
        found.append(drawn[0].laws)

    try:
        look()
    except Unsatisfiable:
        name = getattr(strategy, "__name__", strategy)
        raise FusionlabError(
            f"the strategy {name} refused all parameters that were tried, so it cannot be "
            "tested; narrow the bounds of its parameters to what it takes"
        ) from None
    return found


def _applies(law: Law, strategy: type[Strategy] | Strategy) -> bool:
    cls = strategy if isinstance(strategy, type) else type(strategy)
    return law is not Law.PARTITION or issubclass(cls, WeightedStrategy)


def _search(
    law: Law, strategy: type[Strategy] | Strategy, claim: Claim, examples: int
) -> tuple[bool, str]:
    """Return whether the law was tested at all, and the simplest counterexample."""
    ran, refusal = False, ""

    @_settings(examples)
    @given(rules(strategy), st.data())
    def test(drawn: tuple[Strategy, int], data: st.DataObject) -> None:
        nonlocal ran, refusal
        rule, k = drawn
        subject = Subject(rule)
        assume(claim in ("required", "no") or law in rule.laws)
        assume(rule.support is not None or law not in (Law.SUPPORT, Law.TILES))
        assume(law not in WIDE or rule.support is None or rule.support <= WIDEST)
        x = data.draw(features(k, pixels=subject.pixels))
        try:
            TESTS[law](subject, x, data.draw)
        except BrokenLawError as broken:
            ran = True
            raise BrokenLawError(f"{_written(rule)}, {_seen(x)}: {broken}") from broken
        finally:
            refusal = subject.refusal or refusal
        ran = True

    try:
        test()
    except BrokenLawError as broken:
        return True, str(broken)
    except Flaky:
        return True, "the same input gives one result now and another then"
    except Unsatisfiable:
        pass
    if refusal and not ran:
        return True, f"it refused every input, one of them with: {refusal}"
    return ran, ""


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def _written(rule: Strategy) -> str:
    return f"{type(rule).__name__}({parameters.describe(rule).replace(',', ', ')})"


def _seen(x: Tensor) -> str:
    """Write down features: all numbers if they are few."""
    k, n, channels, height, width = x.shape
    shape = f"k={k} N={n} C={channels} {height}x{width}"
    flat = x.flatten(1).tolist()
    if len(flat[0]) > 8:
        return f"{shape}, from {x.min():g} to {x.max():g}"
    sources = " | ".join(" ".join(f"{value:g}" for value in source) for source in flat)
    return f"{shape}, features {sources}"
