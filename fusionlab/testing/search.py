"""Search for inputs that break laws: many laws on the same inputs, or one law on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable, UnsatisfiedAssumption
from torch import Tensor

from fusionlab import parameters
from fusionlab.strategy import Law, Strategy
from fusionlab.testing.cases import Draw, features, instances
from fusionlab.testing.laws import TESTS
from fusionlab.testing.under_test import BrokenLawError, StrategyUnderTest

OWN_DRAWS = {Law.DERIVATIVE, Law.TILES}
"""Laws that draw more than features; each gets inputs of its own."""

FEWER = {Law.MASKS: 8, Law.MASKED_TILES: 8, Law.SEQUENCES: 8}
"""How many times fewer inputs these laws are tested with: they take several fusions each."""

LARGE_IMAGES = {Law.SUPPORT, Law.TILES, Law.MASKED_TILES, Law.TRANSLATION}
"""Laws that need images larger than the support of the strategy."""
MAX_SUPPORT = 24
"""The largest support, in pixels, with which these laws are tested; more would take too long."""

HUGE = 1e6
"""Size of a parameter above which a counterexample says that it has no bound there."""

MAX_DRAWS = 4
"""Most inputs that are drawn for laws together, for each that a law must see."""

Declaration = Literal["required", "yes", "for some", "no"]


@dataclass
class Outcome:
    """What a search for a counterexample of one law has seen."""

    inputs: int = 0
    """How many inputs the law was tested with, without those that were refused."""
    counterexample: str = ""
    """An input that breaks the law and what happens there; empty if there was none."""
    refusal: str = ""
    """The message of the strategy's last refusal; empty if it did not refuse."""


class _EnoughError(Exception):
    """Every law has seen enough inputs."""


@dataclass
class _SharedInputs:
    """Tests laws on the same inputs, each until it breaks or has seen enough of them."""

    declarations: Mapping[Law, Declaration]
    enough: int
    draws: int = 0
    outcomes: dict[Law, Outcome] = field(default_factory=dict)

    def open_laws(self) -> list[Law]:
        """Return the laws that have not seen enough inputs, and were not broken."""
        return [
            law
            for law in self.declarations
            if self.outcomes[law].inputs < inputs_of(law, self.enough)
            and not self.outcomes[law].counterexample
        ]

    def test(self, instance: Strategy, k: int, data: st.DataObject) -> None:
        """Draw features and test every open law on them; reject them if no law could use them.

        What is drawn does not depend on earlier inputs: hypothesis requires that.
        """
        x = data.draw(_features_for(instance, k))
        laws = self.open_laws()
        if not laws or self.draws >= MAX_DRAWS * self.enough:
            raise _EnoughError
        self.draws += 1
        laws = [law for law in laws if is_testable(law, instance, self.declarations[law])]
        tested = StrategyUnderTest(instance)
        assume([law for law in laws if self._used(law, tested, x)])

    def _used(self, law: Law, tested: StrategyUnderTest, x: Tensor) -> bool:
        outcome = self.outcomes[law]
        try:
            _test(law, tested, x.clone(), _no_draw, outcome)
        except UnsatisfiedAssumption:
            return False
        except BrokenLawError as broken:
            outcome.counterexample = str(broken)
        return True


def search_together(
    strategy: type[Strategy] | Strategy, declarations: Mapping[Law, Declaration], examples: int
) -> dict[Law, Outcome]:
    """Test laws on the same inputs, which takes a fraction of the time of drawing some for each.

    A law that breaks is not tested further: its counterexample is the first one, not the simplest.
    A law that the inputs seldom suit may have seen fewer than `examples`.
    """
    shared = _SharedInputs(declarations, examples)
    shared.outcomes = {law: Outcome() for law in declarations}

    @hypothesis_settings(MAX_DRAWS * examples, Phase.generate)
    @given(instances(strategy), st.data())
    def test(drawn: tuple[Strategy, int], data: st.DataObject) -> None:
        shared.test(*drawn, data)

    with _same_inputs_everywhere(), suppress(_EnoughError, Unsatisfiable):
        test()
    return shared.outcomes


def search(
    law: Law,
    strategy: type[Strategy] | Strategy,
    declaration: Declaration,
    examples: int,
    *,
    simplify: bool = True,
) -> Outcome:
    """Test one law, and simplify the input that breaks it."""
    outcome = Outcome()
    phases = [Phase.generate, Phase.shrink] if simplify else [Phase.generate]

    @hypothesis_settings(inputs_of(law, examples), *phases)
    @given(instances(strategy), st.data())
    def test(drawn: tuple[Strategy, int], data: st.DataObject) -> None:
        instance, k = drawn
        assume(is_testable(law, instance, declaration))
        tested = StrategyUnderTest(instance)
        x = data.draw(_features_for(instance, k))
        _test(law, tested, x, data.draw, outcome)

    try:
        with _same_inputs_everywhere():
            test()
    except BrokenLawError as broken:
        outcome.counterexample = str(broken)
    except Flaky:
        outcome.counterexample = "the same input gives different results at different times"
    except Unsatisfiable:
        pass
    return outcome


def _features_for(strategy: Strategy, k: int) -> st.SearchStrategy[Tensor]:
    return features(k, min_edge=strategy.min_size, pixels=strategy.domain == "pixels")


def inputs_of(law: Law, examples: int) -> int:
    """Return how many inputs a law is tested with where most laws are with `examples`."""
    return -(-examples // FEWER.get(law, 1))


def is_testable(law: Law, instance: Strategy, declaration: Declaration) -> bool:
    """Return whether an instance has to keep the law, and can be tested in reasonable time."""
    if declaration in ("yes", "for some") and law not in instance.laws:
        return False
    if instance.support is None:
        return law not in (Law.SUPPORT, Law.TILES, Law.MASKED_TILES)
    return law not in LARGE_IMAGES or instance.support <= MAX_SUPPORT


def _test(
    law: Law,
    tested: StrategyUnderTest,
    x: Tensor,
    draw: Draw,
    outcome: Outcome,
) -> None:
    """Test a law on features and count them; put the input into the message if it breaks."""
    tested.refusal = ""
    try:
        TESTS[law](tested, x, draw)
    except BrokenLawError as broken:
        outcome.inputs += 1
        given_input = f"{_describe(tested.strategy)}, {_describe_features(x)}"
        raise BrokenLawError(f"{given_input}: {broken}{_hint(tested.strategy)}") from broken
    finally:
        outcome.refusal = tested.refusal or outcome.refusal
    outcome.inputs += 1


def _no_draw(_: st.SearchStrategy[object]) -> object:
    raise AssertionError("a law that draws must be listed in OWN_DRAWS")


def hypothesis_settings(examples: int, *phases: Phase) -> settings:
    """Return settings that draw the same inputs in every run, in these phases."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def _same_inputs_everywhere() -> Iterator[None]:
    """Keep Hypothesis from drawing constants that it reads in the source of loaded modules.

    Otherwise the inputs, and with them verdicts, depend on what a program has imported. Hypothesis
    has no setting for that; versions that do not read constants need none.
    """
    from hypothesis.internal.conjecture import providers

    if not hasattr(providers, "_get_local_constants"):
        yield
        return
    read = providers._get_local_constants  # noqa: SLF001
    nothing = type(read())()
    providers._get_local_constants = lambda: nothing  # noqa: SLF001
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        providers._get_local_constants = read  # noqa: SLF001
        providers.CONSTANTS_CACHE.cache.clear()


def _describe(strategy: Strategy) -> str:
    return f"{type(strategy).__name__}({parameters.describe(strategy).replace(',', ', ')})"


def _hint(strategy: Strategy) -> str:
    """Return which bound a huge parameter lacks; an empty text if all have bounds or are small."""
    for param in parameters.params_of(type(strategy)):
        value = getattr(strategy, param.name)
        for number in value if param.many else (value,):
            if param.kind not in (int, float) or number is None or abs(number) <= HUGE:
                continue
            upper = number > 0
            if (param.le is param.lt is None) if upper else (param.ge is param.gt is None):
                side, bound = ("an upper", "Le") if upper else ("a lower", "Ge")
                return (
                    f"; {param.name} = {number:g} is allowed: give {param.name} {side} bound, "
                    f"Annotated[{param.kind.__name__}, {bound}(...)]"
                )
    return ""


def _describe_features(x: Tensor) -> str:
    """Describe features by their shape and range, or by their values if there are few."""
    k, n, channels, height, width = x.shape
    shape = f"k={k} N={n} C={channels} {height}x{width}"
    flat = x.flatten(1).tolist()
    if len(flat[0]) > 8:
        return f"{shape}, from {x.min():g} to {x.max():g}"
    sources = " | ".join(" ".join(f"{value:g}" for value in source) for source in flat)
    return f"{shape}, features {sources}"
