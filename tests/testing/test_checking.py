"""Verdicts of the law suite about a strategy, and counterexamples of a few numbers."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
import torch
from annotated_types import Ge, Interval, Le

from fusionlab import FusionlabError, Law, LearnedStrategy, Strategy, WeightedStrategy
from fusionlab.testing import PROFILES, StrategyLaws, examine
from fusionlab.testing.search import Outcome, search_together


@dataclass(frozen=True)
class Mean(WeightedStrategy):
    """Average."""

    support = 0
    laws = frozenset({Law.PERMUTATION, Law.IDEMPOTENCE, Law.CONVEXITY})

    def weights(self, features, scene):
        return torch.full_like(features[:, :, :1], 1 / len(features))


class Sum(Strategy):
    """Adds up, and declares that it is an average."""

    support = 0
    laws = frozenset({Law.IDEMPOTENCE})

    def fuse(self, features, scene):
        return features.sum(dim=0)


def verdict(cls, law):
    (result,) = examine(cls, [law])
    return result


def test_a_law_that_holds():
    result = verdict(Mean, Law.PERMUTATION)
    assert (result.declared, result.held, result.counterexample, result.passed) == (
        "yes",
        True,
        "",
        True,
    )


def test_a_counterexample_is_as_small_as_can_be():
    result = verdict(Sum, Law.IDEMPOTENCE)
    assert not result.passed
    assert re.fullmatch(
        r"Sum\(\), k=2 N=1 C=1 1x1, features 1 \| [01]: with 2 times the first source: "
        "expected 1, got 2",
        result.counterexample,
    )


def test_a_law_that_holds_without_being_claimed_and_one_that_does_not():
    assert (verdict(Mean, Law.FLIPS).declared, verdict(Mean, Law.FLIPS).held) == ("no", True)
    result = verdict(Mean, Law.DOMINANCE)
    assert (result.declared, result.held, result.passed) == ("no", False, True)


def test_laws_about_weights_do_not_apply_to_rules_without():
    assert verdict(Sum, Law.PARTITION).held is None


def test_laws_about_tiles_do_not_apply_to_what_cannot_be_cut():
    class Whole(Mean):
        support = None

    assert verdict(Whole, Law.TILES).held is None
    assert verdict(Whole, Law.SUPPORT).held is None


@dataclass(frozen=True)
class Slanted(Mean):
    """Claims depend on the parameter."""

    slant: Annotated[int, Interval(ge=0, le=2), "How much more the first source weighs."] = 0

    @property
    def laws(self):
        return frozenset({Law.PERMUTATION} if not self.slant else ())

    def weights(self, features, scene):
        more = torch.ones(len(features), 1, 1, 1, 1)
        more[0] += self.slant
        return (more / more.sum()).to(features).expand_as(features[:, :, :1])


def test_a_claim_is_tested_for_the_parameters_that_make_it():
    result = verdict(Slanted, Law.PERMUTATION)
    assert (result.declared, result.held) == ("for some", True)


def test_what_a_rule_refuses_in_a_sentence_it_need_not_fuse():
    class Picky(Mean):
        def weights(self, features, scene):
            if features.shape[-1] < 3:
                raise FusionlabError("needs 3 columns")
            return super().weights(features, scene)

    class Shy(Mean):
        def weights(self, features, scene):
            raise FusionlabError("not today")

    assert verdict(Picky, Law.FINITE).held
    result = verdict(Shy, Law.FINITE)
    assert not result.passed
    assert result.counterexample == "it refused every input, one of them with: not today"


@dataclass(frozen=True)
class Pair(Mean):
    """A pixel strategy of two sources in an order, with a smallest image."""

    max_k: ClassVar = 2
    domain: ClassVar = "pixels"
    roles: ClassVar = ("infrared", "visible")
    min_size: ClassVar = 9
    laws: ClassVar = frozenset({Law.IDEMPOTENCE, Law.CONVEXITY})
    shapes: ClassVar = set()

    def weights(self, features, scene):
        self.shapes.add(tuple(features.shape[2:]))
        if min(features.shape[-2:]) < self.min_size:
            raise FusionlabError("needs 9x9 pixels", code="too-small")
        return torch.tensor([0.75, 0.25]).to(features).view(2, 1, 1, 1, 1).expand_as(features)


def test_a_strategy_with_a_smallest_image_is_given_no_smaller_one():
    Pair.shapes.clear()
    laws = [law for law in Law if law is not Law.TILES]  # the last tile may be a narrow one
    verdicts = {v.law: v for v in examine(Pair, laws, simplify=False)}
    assert {law for law, v in verdicts.items() if not v.passed} == set()
    assert {law for law, v in verdicts.items() if v.held is None} == {Law.DUPLICATES}
    assert verdicts[Law.PERMUTATION].held is False
    edges = {edge for shape in Pair.shapes for edge in shape[1:]}
    assert min(edges) == 9
    assert {shape[0] for shape in Pair.shapes} == {1}


def test_a_strategy_that_refuses_small_images_without_saying_so_is_tested_with_the_others():
    class Unsaid(Pair):
        min_size = 5

        def weights(self, features, scene):
            if min(features.shape[-2:]) < 9:
                raise FusionlabError("needs 9x9 pixels", code="too-small")
            return super().weights(features, scene)

    assert verdict(Unsaid, Law.CONVEXITY).held


def test_laws_that_share_inputs_see_as_many_as_alone():
    """Each law sees 25 inputs, though half of them are refused."""

    class Even(Mean):
        def weights(self, features, scene):
            if features.shape[-1] % 2:
                raise FusionlabError("even widths only")
            return super().weights(features, scene)

    laws = (Law.FINITE, Law.CONVEXITY, Law.DOMINANCE)
    outcomes = search_together(Even, dict.fromkeys(laws, "required"), 25)
    assert [outcomes[law].inputs for law in laws[:2]] == [25, 25]
    assert outcomes[Law.DOMINANCE].counterexample.startswith("Even(), k=")


def test_laws_that_share_inputs_get_a_copy_each():
    class Spoiling(Mean):
        def fuse(self, features, scene):
            fused = super().fuse(features, scene)
            features.fill_(torch.nan)
            return fused

    laws = dict.fromkeys((Law.UNTOUCHED, Law.SHAPE, Law.AUTOCAST), "required")
    outcomes = search_together(Spoiling, laws, 25)
    assert "it changed the features" in outcomes[Law.UNTOUCHED].counterexample
    assert outcomes[Law.SHAPE] == Outcome(inputs=25)


class Coarse(Mean):
    """Fails on the second level of a backbone."""

    def fuse(self, features, scene):
        return features.mean(dim=0 if scene.level == 0 else 7)


class Unmerged(Mean):
    """Cannot put together what it gathered."""

    def statistics(self, features, scene):
        return {"sum": scene.valid_region(features).sum()}

    def merge(self, one, other):
        return one["total"]


class Ungathered(Mean):
    """Cannot gather what it never looks at."""

    def statistics(self, features, scene):
        return features[7]


class Overwriting(Mean):
    """Overwrites what its gradient needs."""

    def fuse(self, features, scene):
        gate = features.sigmoid()
        gate.mul_(2)
        return (gate * features).mean(dim=0)


@pytest.mark.parametrize(
    ("cls", "law", "said"),
    [
        (Coarse, Law.TILES, "Coarse failed: IndexError"),
        (Unmerged, Law.TILES, "Unmerged failed: KeyError"),
        (Ungathered, Law.SUPPORT, "it raised IndexError"),
        (Overwriting, Law.GRADIENTS, "it raised RuntimeError"),
    ],
)
def test_what_fails_beside_fuse_breaks_the_law_too(cls, law, said):
    result = verdict(cls, law)
    assert not result.passed
    assert said in result.counterexample


def test_rules_of_many_sources_are_given_as_many():
    class Crowd(Mean):
        min_k = 7

    assert verdict(Crowd, Law.FINITE).held


def test_a_rule_that_refuses_all_its_parameters_is_refused():
    class Never(Mean):
        def __post_init__(self):
            raise FusionlabError("no")

    with pytest.raises(FusionlabError, match="Never refused all parameters"):
        verdict(Never, Law.FINITE)


def test_what_a_network_remembers_breaks_determinism():
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, features):
            self.calls += 1
            return self.calls * features.mean(dim=0)

    class Remembering(LearnedStrategy):
        support = 0

        def network(self, level):
            return Counting()

        def losses(self, fused, sources, merged, features):
            return {}

    assert not verdict(Remembering, Law.DETERMINISM).passed


def test_a_class_that_names_no_strategy_is_told_so():
    class TestNothing(StrategyLaws):
        pass

    with pytest.raises(FusionlabError, match="TestNothing must name the class of a strategy"):
        TestNothing().test_finite()


def test_any_other_exception_breaks_the_law():
    class Clumsy(Mean):
        def weights(self, features, scene):
            return features[7]

    assert re.search(
        r"it raised IndexError \(test_checking.py, line \d+\): index 7",
        verdict(Clumsy, Law.FINITE).counterexample,
    )


@dataclass(frozen=True)
class Blend(LearnedStrategy):
    """A network for exactly two sources."""

    max_k = 2
    support = 1

    def network(self, level):
        return Both(level.channels)

    def losses(self, fused, sources, merged, features):
        return {"all": fused.mean()}


class Both(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = torch.nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, features):
        return self.layer(torch.cat([*features], dim=1))


def test_learned_rules_are_tested_with_random_networks():
    result = {v.law: v for v in examine(Blend, simplify=False)}
    assert {law for law, v in result.items() if not v.passed} == set()
    assert not result[Law.PERMUTATION].held
    assert result[Law.TILES].held


class Nearsighted(Sum):
    """Says that it looks at no other pixel, and looks at the one to the left."""

    laws = frozenset()

    def fuse(self, features, scene):
        return features[0].roll(1, -1)


def test_what_rests_on_a_broken_law_comes_after_it_and_names_it():
    laws = [Law.TILES, Law.TRANSLATION, Law.FLIPS, Law.SUPPORT]
    verdicts = list(examine(Nearsighted, laws))
    assert [v.law for v in verdicts] == [Law.SUPPORT, Law.TILES, Law.TRANSLATION, Law.FLIPS]
    causes = {v.law: v.cause for v in verdicts if v.held is False}
    assert causes == {Law.SUPPORT: None, Law.TILES: Law.SUPPORT, Law.FLIPS: None}
    assert verdict(Nearsighted, Law.TILES).cause is None  # the support was not asked for

    class TestNearsighted(StrategyLaws):
        strategy = Nearsighted

    with pytest.raises(AssertionError, match=r"TILES .*: first correct SUPPORT; Nearsighted\("):
        TestNearsighted().test_tiles()


@dataclass(frozen=True)
class Amplified(Sum):
    """Has a parameter without an upper bound, whose square overflows in float32."""

    gain: Annotated[float, Ge(0), "Square root of the amplification."] = 1.0

    def fuse(self, features, scene):
        return features.sum(dim=0) * self.gain**2


@dataclass(frozen=True)
class Counted(Sum):
    """Has a parameter without a lower bound, and fails for very negative numbers."""

    count: Annotated[int, Le(9), "How many."] = 1

    def fuse(self, features, scene):
        if self.count < -(10**7):
            raise ValueError("cannot count that far")
        return features.sum(dim=0)


@dataclass(frozen=True)
class Bounded(Sum):
    """Has a parameter with bounds that are too wide."""

    gain: Annotated[float, Interval(ge=0, le=1e38), "Amplification."] = 1.0

    def fuse(self, features, scene):
        return features.sum(dim=0) * self.gain


@pytest.mark.parametrize(
    ("cls", "hint"),
    [
        (Amplified, r"; gain = \S+ is allowed: give gain an upper bound, Annotated\[float, Le"),
        (Counted, r"; count = -\S+ is allowed: give count a lower bound, Annotated\[int, Ge"),
        (Bounded, r"(inf|nan)$"),
    ],
)
def test_a_failure_with_a_huge_parameter_says_which_bound_is_missing(cls, hint):
    result = verdict(cls, Law.FINITE)
    assert not result.passed
    assert re.search(hint, result.counterexample)


def test_a_parameter_with_several_numbers_gets_one_for_each_source():
    seen = set()

    @dataclass(frozen=True)
    class Weighted(Mean):
        """Refuses other numbers of weights."""

        theta: Annotated[tuple[float, ...], Interval(ge=1, le=2), "Weights."] = ()

        def weights(self, features, scene):
            seen.add((len(self.theta), len(features)))
            return super().weights(features, scene)

    assert verdict(Weighted, Law.FINITE).held
    assert all(count in (0, k) for count, k in seen)
    assert any(count for count, _ in seen)


def test_profiles_grow():
    assert PROFILES["quick"] < PROFILES["thorough"]


class TestMean(StrategyLaws):
    strategy = Mean


def test_the_class_has_a_test_for_every_law_and_says_what_came():
    names = {name for name in dir(StrategyLaws) if name.startswith("test_")}
    assert names == {f"test_{law.name.lower()}" for law in Law}

    class TestSum(StrategyLaws):
        strategy = Sum

    with pytest.raises(AssertionError, match=r"IDEMPOTENCE .*features 1 \| [01]"):
        TestSum().test_idempotence()
    with pytest.raises(Exception, match="DOMINANCE is not declared, and held for all inputs"):
        TestSum().test_dominance()
    TestSum().test_finite()
