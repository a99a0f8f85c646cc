"""The rows of a table: methods that are run here, each with the row of its baseline."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from fusionlab.backbone import Backbone
from fusionlab.engine.checks import accepted_sources, takes
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError, PluginError
from fusionlab.evaluation.recipes import (
    Backbones,
    Recipe,
    TablePolicy,
    shared_backbone,
    strategy_text,
)
from fusionlab.evaluation.result_folder import FolderMethod, parse_result_folder
from fusionlab.evaluation.sample import Result, Sample
from fusionlab.fusion import Fusion
from fusionlab.imaging.color import Color
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.scale import Scale
from fusionlab.plugins.factory import build_strategy, default_backbone
from fusionlab.plugins.method_names import method_id, split_method
from fusionlab.plugins.presets import preset_parameters, preset_settings
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.code_hash import code_of
from fusionlab.runs.record import describe_method
from fusionlab.storage.hashing import sha256_of_parts
from fusionlab.strategy import LearnedStrategy, Strategy

MethodLike = str | Strategy | Fusion | Path
"""What `evaluate` takes for one row: a name, a strategy, a fusion, or a folder of results."""


class Method(Protocol):
    """Anything that has one image for every sample."""

    @property
    def label(self) -> str:
        """The name of the row."""

    @property
    def baseline(self) -> str | None:
        """The label of the same strategy on the baseline backbone, if there is such a row."""

    @property
    def range_policy(self) -> RangePolicy | None:
        """How its images become displayable; None for files, which are scored as they are."""

    def needs(self, k: int) -> str:
        """Return what it needs instead of k sources, `exactly 2 sources`; empty if k will do."""

    def describe(self) -> dict[str, Any]:
        """Return everything that its images depend on, as plain JSON."""

    def fingerprint(self, sample: str) -> str:
        """Return what distinguishes two states of its result besides `describe`."""

    def result(self, sample: Sample, feature_cache: FeatureCache) -> Result:
        """Return the image as it is or would be written.

        Raises:
            FusionlabError: it cannot be made or read.
        """


@dataclass(frozen=True)
class FusionMethod:
    """A backbone and a strategy that are run here."""

    label: str
    fusion: Fusion
    plugins: Plugins
    baseline: str | None = None
    recipe: Recipe | None = None
    """How another process builds the same; None for objects of a script, which cannot be sent."""

    @property
    def range_policy(self) -> RangePolicy | None:
        """The range policy of the fusion."""
        return self.fusion.range_policy

    def needs(self, k: int) -> str:
        """Return how many sources the strategy takes, unless it takes k.

        A strategy whose sources have roles takes one for each role.
        """
        strategy = self.fusion.strategy
        roles = strategy.roles
        if roles and len(roles) != k:
            return f"{len(roles)} sources ({', '.join(roles)})"
        return "" if takes(strategy, k) else f"{accepted_sources(strategy)} sources"

    def describe(self) -> dict[str, Any]:
        """Return what a record says about the fusion, and the hashes of its code.

        Weights that have no card, as in a network that a script has just trained, are hashed.
        """
        fusion = self.fusion
        without_card = [
            *([fusion.backbone] if fusion.backbone.card is None else []),
            *([fusion.networks] if fusion.card is None else []),
        ]
        states = [_state_sha256(module) for module in without_card if module.state_dict()]
        return {
            **describe_method(fusion, self.plugins),
            **({"states": states} if states else {}),
            "code": code_of(fusion.backbone, fusion.strategy),
        }

    def fingerprint(self, sample: str) -> str:  # noqa: ARG002  # `describe` says it all
        """Return an empty text: settings and sources determine the result."""
        return ""

    def result(self, sample: Sample, feature_cache: FeatureCache) -> Result:
        """Fuse the sources in the color mode of the table, at the depth of the deepest."""
        with torch.no_grad():
            fused = self.fusion.fuse(
                sample.images, names=sample.source_names, feature_cache=feature_cache
            )
        return Result(fused.image, float(fused.outside[0]))


@dataclass(frozen=True)
class MethodBuilder:
    """Build the rows of a table, with the settings that they share.

    Args:
        plugins: the plugins that offer strategies and backbones.
        preset: replaces the defaults of the strategies' parameters.
        range_policy: one for all rows; or for each row the one that `Fusion` chooses: `auto` what
            suits the strategy, `own` what the method declares. A baseline has that of the row it is
            compared with.
        scale: which values of the sources are black and white, as for a `Fusion`.
        color: which planes of color images are fused, as for a `Fusion`.
        device: where to compute.
        baselines: add a row for the same strategy on the baseline backbone to every strategy on a
            learned backbone. The difference is the gain of the network over the strategy alone.

    Raises:
        FusionlabError: there is no such range policy (code `range-policy`).
    """

    plugins: Plugins
    preset: str | None = None
    range_policy: TablePolicy = "auto"
    scale: Sequence[str | Scale] = ("auto",)
    color: Color | Literal["auto"] = "gray"
    device: str | torch.device = "cpu"
    baselines: bool = True
    backbones: Backbones = field(default_factory=dict, repr=False)
    """By name: all rows share them, and with them the feature cache."""
    shown: frozenset[str] = frozenset()
    """Parameters of the strategies that labels name also where they have their defaults."""

    def __post_init__(self) -> None:
        policies = ("auto", *get_args(RangePolicy), "own")
        if self.range_policy not in policies:
            raise FusionlabError(
                f"the range policy of a table must be one of {', '.join(policies)}, got "
                f"{self.range_policy!r}",
                code="range-policy",
                option="range_policy",
            )

    @property
    def _shared_weights(self) -> bool:
        """Whether color channels share their weights: yes, unless the preset says otherwise."""
        settings = preset_settings(self.preset, self.plugins) if self.preset else {}
        return bool(settings.get("shared_weights", True))

    def build(
        self,
        methods: MethodLike | Mapping[str, MethodLike] | Sequence[Any],
        samples: Sequence[str] = (),
        broken: MutableMapping[str, str] | None = None,
    ) -> list[Method]:
        """Build rows, in their order; rows of baselines come last, and equal rows count once.

        Args:
            methods: one method, several, or label -> method; a sequence may contain mappings.
            samples: names of the samples, to find the results in folders.
            broken: gets the methods whose plugins fail, label -> why; None: such a failure is
                raised.

        Raises:
            FusionlabError: a method is unknown or cannot be built, a folder has no results, or two
                different rows have one label (code `duplicate-label`).
        """
        rows: list[tuple[FusionMethod | FolderMethod, FusionMethod | None]] = []
        for given_label, method in _labeled(methods):
            if isinstance(method, Path):
                folder = FolderMethod.find(given_label or method.name, method, samples)
                rows.append((folder, None))
                continue
            try:
                rows.append(self._row(given_label, method))
            except PluginError as error:  # costs this row, not the others
                if broken is None:
                    raise
                broken[given_label or str(method)] = str(error)
        return _unique(_with_baselines(rows))

    def _row(
        self, given_label: str, method: str | Strategy | Fusion
    ) -> tuple[FusionMethod, FusionMethod | None]:
        """Build a row, and the row of its baseline if it has one."""
        fusion, recipe = self._fusion(method)
        label = given_label or self._label(fusion)
        row = FusionMethod(label, fusion, self.plugins, recipe=recipe)
        return row, self._baseline(fusion)

    def _label(self, fusion: Fusion) -> str:
        return method_id(
            fusion.backbone,
            fusion.strategy,
            self.plugins,
            omit_defaults=True,
            shown=self.shown,
        )

    def _fusion(self, method: str | Strategy | Fusion) -> tuple[Fusion, Recipe | None]:
        """Build the fusion of one row with the settings of the table."""
        if isinstance(method, str):
            backbone_name, text = split_method(method, self.plugins)
            strategy = self._strategy(text)
            recipe = self._recipe(backbone_name, strategy)
            return recipe.build(self.plugins, self.backbones, strategy), recipe
        overrides: dict[str, Any] = {}
        backbone: str | Backbone
        if isinstance(method, Fusion):
            backbone, strategy = method.backbone, method.strategy
            overrides = {
                "tile": method.tile,
                "engine": method.engine,
                "precision": method.precision,
                "shared_weights": method.shared_weights,
            }
            if isinstance(strategy, LearnedStrategy):
                overrides["networks"] = method.networks
        else:
            backbone, strategy = default_backbone(method, self.plugins), method
        if isinstance(backbone, str):
            backbone = shared_backbone(backbone, self.plugins, self.backbones)
        fusion = Fusion(
            backbone,
            strategy,
            range_policy=self.range_policy,
            scale=self.scale,
            color=self.color,
            device=self.device,
            **{"shared_weights": self._shared_weights, **overrides},
        )
        return fusion, None

    def _recipe(self, backbone: str, strategy: Strategy) -> Recipe:
        """Return the recipe of a strategy on a backbone with the settings of the table."""
        return Recipe(
            backbone,
            strategy_text(strategy, self.plugins),
            self.range_policy,
            tuple(self.scale),
            self.color,
            self._shared_weights,
            str(self.device),
        )

    def _strategy(self, text: str) -> Strategy:
        """Build a strategy, with the parameters of the preset where `text` does not give them."""
        if self.preset is None:
            return build_strategy(text, self.plugins)
        registration = self.plugins.strategies.find(text.partition(",")[0])
        defaults = preset_parameters(self.preset, registration, self.plugins)
        return build_strategy(text, self.plugins, defaults)

    def _baseline(self, fusion: Fusion) -> FusionMethod | None:
        """Build the row of the same strategy on the baseline backbone, if it has a meaning.

        It has none if the backbone has learned nothing, for pixel strategies, and for learned
        strategies, whose networks know only the features that they were trained on.
        """
        strategy = fusion.strategy
        learned = isinstance(strategy, LearnedStrategy)
        if not self.baselines or fusion.backbone.card is None or learned:
            return None
        recipe = replace(
            self._recipe(self.plugins.default("baseline"), strategy),
            range_policy=cast("RangePolicy", fusion.range_policy),  # not None: a table has one
            shared_weights=fusion.shared_weights,
        )
        baseline = recipe.build(self.plugins, self.backbones, strategy)
        label = self._label(baseline)
        registered = self.plugins.strategies.registration_of(type(strategy)) is not None
        return FusionMethod(label, baseline, self.plugins, recipe=recipe if registered else None)


def _labeled(
    methods: MethodLike | Mapping[str, MethodLike] | Sequence[Any],
) -> list[tuple[str, MethodLike]]:
    """Return (label, method) pairs; the label is empty where none is given."""
    if isinstance(methods, Mapping):
        return list(methods.items())
    if isinstance(methods, str):
        before_equals = methods.partition("=")[0]
        if "=" in methods and "," not in before_equals and "/" not in before_equals:
            return [parse_result_folder(methods)]  # a parameter would stand behind a comma
        return [("", methods)]
    if isinstance(methods, Path | Strategy | Fusion):
        return [("", methods)]
    if isinstance(methods, Sequence):
        return [pair for method in methods for pair in _labeled(method)]
    raise FusionlabError(
        "a method must be a name, a Strategy, a Fusion, or the Path of a folder of results, got "
        f"{methods!r}",
        code="not-a-method",
    )


def _with_baselines(
    rows: Sequence[tuple[FusionMethod | FolderMethod, FusionMethod | None]],
) -> list[Method]:
    """Return rows that name their baselines, and the baselines after them.

    A baseline has the range policy of its row. Its label says so if there is a row of the same
    method with another policy.
    """
    policies = {row.label: row.range_policy for row, _ in rows}
    named_rows: list[Method] = []
    baselines: list[Method] = []
    for row, baseline in rows:
        if baseline is None:
            named_rows.append(row)
            continue
        label, policy = baseline.label, baseline.range_policy
        if policies.setdefault(label, policy) != policy:
            label = f"{label} ({policy})"
        baselines.append(replace(baseline, label=label))
        named_rows.append(replace(row, baseline=label))
    return [*named_rows, *baselines]


def _unique(rows: Sequence[Method]) -> list[Method]:
    """Return rows, each method once; refuse two different methods of one label."""
    by_label: dict[str, Method] = {}
    for row in rows:
        first = by_label.setdefault(row.label, row)
        if first is not row and not _same_method(first, row):
            raise FusionlabError(
                f"two rows are called {row.label!r}; choose another name", code="duplicate-label"
            )
    return list(by_label.values())


def _same_method(first: Method, second: Method) -> bool:
    """Return whether two rows of one label are the same backbone and strategy."""
    if not (isinstance(first, FusionMethod) and isinstance(second, FusionMethod)):
        return False
    return first.describe() == second.describe()


def _tensor_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor of any dtype."""
    return tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()


def _state_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of the names and values of all parameters and buffers."""
    state = module.state_dict()
    parts = (
        part for name, tensor in state.items() for part in (name.encode(), _tensor_bytes(tensor))
    )
    return sha256_of_parts(parts)
