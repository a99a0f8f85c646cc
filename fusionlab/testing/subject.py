"""A rule under test: called as the pipeline calls it, and held to account for what it raises."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hypothesis import reject
from hypothesis.errors import HypothesisException
from torch import Tensor, nn

from fusionlab.backbone import Backbone, Features, Level
from fusionlab.errors import FusionlabError
from fusionlab.strategy import LearnedStrategy, Scene, Statistics, Strategy, WeightedStrategy


class BrokenLawError(AssertionError):
    """A law does not hold; the message says where, what was expected and what came."""


class Subject:
    """A rule, with networks of random weights if it is a learned one."""

    def __init__(self, rule: Strategy) -> None:
        self.rule = rule
        self.weighted = isinstance(rule, WeightedStrategy)
        self.pixels = rule.domain == "pixels"
        self.refusal = ""
        """What the rule said when it refused to fuse; nothing if it did not."""
        self._networks: dict[object, nn.ModuleList] = {}

    def fuse(self, features: Tensor, **facts: Any) -> Tensor:
        """Fuse features in a scene of `facts`; see `scene`.

        A result of another shape, or that is not finite, breaks one law, not all of them: here
        it is left out.
        """
        fused = self.attempt(features, **facts)
        if fused.shape != features.shape[1:] or not fused.isfinite().all():
            reject()
        return fused

    def attempt(self, features: Tensor, **facts: Any) -> Tensor:
        """Fuse, whatever comes of it."""
        with self.held_to_account():
            return self.rule.fuse(features, self.scene(features, **facts))

    def opposite(self, features: Tensor) -> Tensor:
        """Return the negative of features, in both senses: pixels stay in 0..255."""
        return 255 - features if self.pixels else -features

    def in_range(self, features: Tensor) -> Tensor:
        """Return features as the strategy may be given them: pixels are cut off at 0 and 255."""
        return features.clamp(0, 255) if self.pixels else features

    def statistics(self, features: Tensor) -> Statistics:
        """Return what the rule gathers of features."""
        with self.held_to_account():
            return self.rule.statistics(features, self.scene(features))

    def weights(self, features: Tensor, **facts: Any) -> Tensor:
        """Return the weights, as large as the features."""
        assert isinstance(self.rule, WeightedStrategy)
        with self.held_to_account():
            return self.rule.weights(features, self.scene(features, **facts)).expand_as(features)

    def scene(self, features: Tensor, **facts: Any) -> Scene:
        """Return a scene whose sources are the means of the channels: some rules look at them."""
        sources = features.detach().mean(dim=2, keepdim=True, dtype=torch.float64)
        scene = {"sources": sources.div(255).clamp(0, 1).float(), **facts}
        if isinstance(self.rule, LearnedStrategy):
            level = Level(features.shape[2], stride=1)
            scene["network"] = self.networks((level,), features)[0]
        return Scene(**scene)

    def networks(self, levels: tuple[Level, ...], like: Tensor) -> nn.ModuleList:
        """Return a learned rule's networks, the same ones at every call; none for other rules.

        They are kept, as a pipeline keeps them: what they remember of one call shows in the next.
        """
        if not isinstance(self.rule, LearnedStrategy):
            return nn.ModuleList()
        key = levels, like.dtype, like.device
        if key not in self._networks:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                networks = nn.ModuleList(self.rule.network(level) for level in levels)
            self._networks[key] = networks.eval().to(like)
        return self._networks[key]

    @contextmanager
    def held_to_account(self) -> Iterator[None]:
        """Leave out what a rule refuses in a sentence; anything else it raises breaks a law."""
        try:
            yield
        except FusionlabError as error:
            self.refusal = str(error)
            reject()
        except (BrokenLawError, HypothesisException):
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            place = _place(error, self.rule)
            raise BrokenLawError(f"it raised {type(error).__name__}{place}: {text}") from error


class GrayLevels(Backbone):
    """A backbone for the laws of pixel strategies: the image in gray levels 0..255."""

    levels = (Level(channels=1, stride=1),)
    receptive_field = (0, 0)
    domain = "pixels"

    def encode(self, images: Tensor) -> Features:
        """Return the gray levels."""
        return (images * 255,)

    def decode(self, features: Features) -> Tensor:
        """Return the image."""
        return features[0] / 255


class TwoLevels(Backbone):
    """A backbone for the laws: pixels and their 2x2 averages, four channels each."""

    levels = (Level(channels=4, stride=1), Level(channels=4, stride=2))
    size_divisor = 2
    receptive_field = (0, 0)

    def encode(self, images: Tensor) -> Features:
        """Return the pixels, in four brightnesses, and their averages."""
        fine = torch.cat([images * (255 >> n) for n in range(4)], dim=1)
        return fine, nn.functional.avg_pool2d(fine, 2)

    def decode(self, features: Features) -> Tensor:
        """Return the mean of everything at a place."""
        fine, coarse = (level.mean(dim=1, keepdim=True) / 255 for level in features)
        return fine + coarse.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)


def _place(error: Exception, rule: Strategy) -> str:
    """Say in which line of the module of a rule an exception arose, if in any."""
    path = getattr(sys.modules.get(type(rule).__module__), "__file__", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f" ({Path(path).name}, line {lines[-1]})" if path and lines else ""
