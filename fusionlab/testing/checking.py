"""Examine which laws a strategy declares, which hold, and the smallest input that breaks one."""

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
from fusionlab.strategy import DECLARABLE, Law, Strategy, WeightedStrategy
from fusionlab.testing.cases import features, instances
from fusionlab.testing.laws import TESTS
from fusionlab.testing.under_test import BrokenLawError, StrategyUnderTest

PROFILES = {"quick": 25, "thorough": 500}
"""How many inputs each law is tested with."""

LARGE_IMAGES = {Law.SUPPORT, Law.TILES, Law.TRANSLATION}
"""Laws that need images larger than the support of the strategy."""
MAX_SUPPORT = 24
"""The largest support, in pixels, with which these laws are tested; more would take too long."""

Declaration = Literal["required", "yes", "for some", "no"]


@dataclass(frozen=True)
class Verdict:
    """The result of examining one law."""

    law: Law
    declared: Declaration
    """Whether every strategy must keep it, or this one declares it: for all its parameters, for
    some, or not at all."""
    held: bool | None
    """Whether it held for all inputs, at least one of which was not refused; None: it does not
    apply."""
    counterexample: str = ""
    """The simplest input that was found to break it, and what happens there."""

    @property
    def passed(self) -> bool:
        """Whether the law holds, or is neither required nor declared."""
        return self.declared == "no" or self.held is not False


def examine(
    strategy: type[Strategy] | Strategy, laws: Iterable[Law] = Law, profile: str = "quick"
) -> Iterator[Verdict]:
    """Test laws of a strategy, whether it declares them or not.

    Hypothesis draws the parameters, the number of sources, their sizes and values
    deterministically: the draws are the same as long as the same modules are loaded, from which it
    takes some constants. Three laws that need larger images are tested only with parameters whose
    support is at most 24 pixels.

    Args:
        strategy: a class, whose parameters are drawn, or an instance, which is tested as it is.
        laws: the laws to test.
        profile: `quick` (25 inputs per law) or `thorough` (500).

    Yields:
        One verdict per law, in their order.
    """
    declared = _declared_laws(strategy)
    for law in laws:
        declaration = _declaration(law, declared)
        if not _applies(law, strategy):
            yield Verdict(law, declaration, None)
            continue
        ran, counterexample = _search(law, strategy, declaration, PROFILES[profile])
        yield Verdict(law, declaration, not counterexample if ran else None, counterexample)


def _declaration(law: Law, declared: list[frozenset[Law]]) -> Declaration:
    if law not in DECLARABLE:
        return "required"
    count = sum(law in laws for laws in declared)
    return "no" if not count else "yes" if count == len(declared) else "for some"


@lru_cache(maxsize=1)  # `StrategyLaws` asks once for each law
def _declared_laws(strategy: type[Strategy] | Strategy) -> list[frozenset[Law]]:
    """Return the laws that each of about 50 instances declares."""
    declared: list[frozenset[Law]] = []

    @_settings(50)
    @given(instances(strategy))
    def look(drawn: tuple[Strategy, int]) -> None:
        declared.append(drawn[0].laws)

    try:
        look()
    except Unsatisfiable:
        name = getattr(strategy, "__name__", strategy)
        raise FusionlabError(
            f"the strategy {name} refused all parameters that were tried, so it cannot be "
            "tested; narrow the bounds of its parameters to what it accepts"
        ) from None
    return declared


def _applies(law: Law, strategy: type[Strategy] | Strategy) -> bool:
    cls = strategy if isinstance(strategy, type) else type(strategy)
    return law is not Law.PARTITION or issubclass(cls, WeightedStrategy)


def _search(
    law: Law, strategy: type[Strategy] | Strategy, declaration: Declaration, examples: int
) -> tuple[bool, str]:
    """Return whether the law was tested at all, and the simplest counterexample."""
    ran, refusal = False, ""

    @_settings(examples)
    @given(instances(strategy), st.data())
    def test(drawn: tuple[Strategy, int], data: st.DataObject) -> None:
        nonlocal ran, refusal
        instance, k = drawn
        tested = StrategyUnderTest(instance)
        assume(declaration in ("required", "no") or law in instance.laws)
        assume(instance.support is not None or law not in (Law.SUPPORT, Law.TILES))
        assume(
            law not in LARGE_IMAGES or instance.support is None or instance.support <= MAX_SUPPORT
        )
        x = data.draw(features(k, pixels=tested.pixels))
        try:
            TESTS[law](tested, x, data.draw)
        except BrokenLawError as broken:
            ran = True
            raise BrokenLawError(
                f"{_describe(instance)}, {_describe_features(x)}: {broken}"
            ) from broken
        finally:
            refusal = tested.refusal or refusal
        ran = True

    try:
        test()
    except BrokenLawError as broken:
        return True, str(broken)
    except Flaky:
        return True, "the same input gives different results at different times"
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


def _describe(strategy: Strategy) -> str:
    return f"{type(strategy).__name__}({parameters.describe(strategy).replace(',', ', ')})"


def _describe_features(x: Tensor) -> str:
    """Describe features by their shape and range, or by their values if there are few."""
    k, n, channels, height, width = x.shape
    shape = f"k={k} N={n} C={channels} {height}x{width}"
    flat = x.flatten(1).tolist()
    if len(flat[0]) > 8:
        return f"{shape}, from {x.min():g} to {x.max():g}"
    sources = " | ".join(" ".join(f"{value:g}" for value in source) for source in flat)
    return f"{shape}, features {sources}"
