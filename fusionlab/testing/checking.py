"""Examine which laws a strategy declares, which hold, and the smallest input that breaks one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from hypothesis import Phase, given
from hypothesis.errors import Unsatisfiable

from fusionlab.errors import FusionlabError
from fusionlab.plugins.declarations import check_strategy
from fusionlab.plugins.failures import translated
from fusionlab.strategy import DECLARABLE, Law, Strategy, WeightedStrategy
from fusionlab.testing.cases import instances
from fusionlab.testing.search import (
    OWN_DRAWS,
    Declaration,
    Outcome,
    hypothesis_settings,
    inputs_of,
    is_testable,
    search,
    search_together,
)

PROFILES = {"quick": 25, "thorough": 500}
"""How many inputs each law is tested with."""

RARE = 8
"""How many times as many inputs a law that is not declared has to hold for before it is said to."""

FIRST = (Law.SHAPE, Law.UNTOUCHED, Law.DETERMINISM)
"""A strategy that breaks one of these may break any other law as a consequence."""
RESTS_ON: dict[Law, tuple[Law, ...]] = {
    **{law: FIRST for law in Law if law not in FIRST},
    Law.TRANSLATION: (*FIRST, Law.SUPPORT),
    Law.TILES: (*FIRST, Law.SUPPORT),
    Law.MASKED_TILES: (*FIRST, Law.SUPPORT),
}
"""Law -> the laws that it rests on: those to correct first. The others rest on none."""
_CAUSES = set().union(*RESTS_ON.values())


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
    """The simplest input that was found to break it, and what happens there; the first one found if
    the law is not declared, or has a cause."""
    cause: Law | None = None
    """A broken law that it rests on, if it does not hold: correct that one first."""

    @property
    def passed(self) -> bool:
        """Whether the law holds, or is neither required nor declared."""
        return self.declared == "no" or self.held is not False


def examine(
    strategy: type[Strategy] | Strategy,
    laws: Iterable[Law] = Law,
    profile: str = "quick",
    *,
    simplify: bool = True,
) -> Iterator[Verdict]:
    """Test laws of a strategy, whether it declares them or not.

    Hypothesis draws the parameters, the number of sources, their sizes and values
    deterministically: the draws are the same as long as the same modules are loaded, from which it
    takes some constants. Laws that need no other draws are tested on the same inputs; a law that
    breaks, or that these inputs seldom suit, gets inputs of its own. Four laws that need larger
    images are tested only with parameters whose support is at most 24 pixels, if there are any
    among about 50; two that take several fusions each, with an eighth of the inputs.

    Laws that others rest on come first. Where one of them breaks, the others that break name it as
    their cause.

    Args:
        strategy: a class, whose parameters are drawn, or an instance, which is tested as it is.
        laws: the laws to test.
        profile: `quick` (25 inputs per law) or `thorough` (500).
        simplify: search for the simplest input that breaks a law that must hold; without it the
            first one is reported, which takes less time.

    Yields:
        One verdict per law, in their order but for those that others rest on.
    """
    examples = PROFILES[profile]
    asked = list(laws)
    causes = [law for law in asked if law in _CAUSES]
    laws = [*causes, *(law for law in asked if law not in causes)]
    samples = _samples(strategy)
    declarations = {law: _declaration(law, samples) for law in laws}
    applicable = {
        law
        for law, declaration in declarations.items()
        if _applies(law, strategy) and any(is_testable(law, s, declaration) for s in samples)
    }
    together = {
        law: declaration
        for law, declaration in declarations.items()
        if law in applicable and law not in OWN_DRAWS
    }
    outcomes = search_together(strategy, together, examples) if len(together) > 1 else {}
    broken: list[Law] = []
    for law, declaration in declarations.items():
        if law not in applicable:
            yield Verdict(law, declaration, None)
            continue
        outcome = outcomes.get(law, Outcome())
        cause = next((cause for cause in RESTS_ON.get(law, ()) if cause in broken), None)
        worth_simplifying = simplify and declaration != "no" and cause is None
        if not outcome.counterexample and outcome.inputs < inputs_of(law, examples):
            outcome = search(law, strategy, declaration, examples, simplify=worth_simplifying)
        elif outcome.counterexample and worth_simplifying:
            # the same law breaks, or this input remains
            alone = search(law, strategy, declaration, examples)
            outcome = alone if alone.counterexample else outcome
        if declaration == "no" and outcome.inputs and not outcome.counterexample:
            # a rare input may break it
            outcome = search(law, strategy, declaration, RARE * examples, simplify=False)
        verdict = _verdict(law, declaration, outcome)
        if verdict.held is False and cause:
            verdict = replace(verdict, cause=cause)
        if not verdict.passed:
            broken.append(law)
        yield verdict


def _verdict(law: Law, declaration: Declaration, outcome: Outcome) -> Verdict:
    if not outcome.inputs and outcome.refusal and not outcome.counterexample:
        refused = f"it refused every input, one of them with: {outcome.refusal}"
        return Verdict(law, declaration, held=False, counterexample=refused)
    held = not outcome.counterexample if outcome.inputs else None
    return Verdict(law, declaration, held, outcome.counterexample)


def _declaration(law: Law, samples: list[Strategy]) -> Declaration:
    if law not in DECLARABLE:
        return "required"
    count = sum(law in sample.laws for sample in samples)
    return "no" if not count else "yes" if count == len(samples) else "for some"


@lru_cache(maxsize=1)  # `StrategyLaws` asks once for each law
def _samples(strategy: type[Strategy] | Strategy) -> list[Strategy]:
    """Return about 50 instances, fewer if there are no more."""
    samples: list[Strategy] = []

    @hypothesis_settings(50, Phase.generate)
    @given(instances(strategy))
    def look(drawn: tuple[Strategy, int]) -> None:
        samples.append(drawn[0])

    name = getattr(strategy, "__name__", strategy)
    with translated(f"the strategy {name}", "strategy-failed"):
        with suppress(Unsatisfiable):
            look()
        for sample in samples:
            check_strategy(sample)
    if not samples:
        raise FusionlabError(
            f"the strategy {name} refused all parameters that were tried, so it cannot be "
            "tested; narrow the bounds of its parameters to what it accepts"
        )
    return samples


def _applies(law: Law, strategy: type[Strategy] | Strategy) -> bool:
    cls = strategy if isinstance(strategy, type) else type(strategy)
    return law is not Law.PARTITION or issubclass(cls, WeightedStrategy)
