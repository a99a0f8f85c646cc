"""A strategy under test, called as the pipeline calls it, with its exceptions sorted."""

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
from fusionlab.errors import FusionlabError, PluginError, one_line
from fusionlab.strategy import LearnedStrategy, Scene, Statistics, Strategy, WeightedStrategy


class BrokenLawError(AssertionError):
    """A law does not hold; the message gives the input, the expected and the actual result."""


class StrategyUnderTest:
    """A strategy, with networks of random weights if it is a learned one."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.weighted = isinstance(strategy, WeightedStrategy)
        self.pixels = strategy.domain == "pixels"
        self.refusal = ""
        """The message with which the strategy last refused to fuse; empty if it did not."""
        self._networks: dict[object, nn.ModuleList] = {}

    def fuse(self, features: Tensor, **attributes: Any) -> Tensor:
        """Fuse features in a scene with these attributes; see `scene`.

        Discards the input if the result has another shape or is not finite: that breaks the laws
        SHAPE and FINITE, and is not reported by the others.
        """
        fused = self.fuse_unchecked(features, **attributes)
        if fused.shape != features.shape[1:] or not fused.isfinite().all():
            reject()
        return fused

    def fuse_unchecked(self, features: Tensor, **attributes: Any) -> Tensor:
        """Fuse, and return the result without looking at it."""
        with self.translated_errors():
            return self.strategy.fuse(features, self.scene(features, **attributes))

    def opposite(self, features: Tensor) -> Tensor:
        """Return -x, or for pixel strategies 255 - x."""
        return 255 - features if self.pixels else -features

    def in_range(self, features: Tensor) -> Tensor:
        """Return features clamped to 0..255 for pixel strategies, unchanged for all others."""
        return features.clamp(0, 255) if self.pixels else features

    def statistics(self, features: Tensor) -> Statistics:
        """Return the statistics that the strategy gathers from features."""
        with self.translated_errors():
            return self.strategy.statistics(features, self.scene(features))

    def weights(self, features: Tensor, **attributes: Any) -> Tensor:
        """Return the weights, expanded to the shape of the features."""
        assert isinstance(self.strategy, WeightedStrategy)
        with self.translated_errors():
            return self.strategy.weights(features, self.scene(features, **attributes)).expand_as(
                features
            )

    def scene(self, features: Tensor, **attributes: Any) -> Scene:
        """Return a scene whose sources are the channel means, for strategies that look at them."""
        sources = features.detach().mean(dim=2, keepdim=True, dtype=torch.float64)
        scene = {"sources": sources.div(255).clamp(0, 1).float(), **attributes}
        if isinstance(self.strategy, LearnedStrategy):
            level = Level(features.shape[2], stride=1)
            scene["network"] = self.networks((level,), features)[0]
        return Scene(**scene)

    def networks(self, levels: tuple[Level, ...], like: Tensor) -> nn.ModuleList:
        """Return the networks of a learned strategy, or none for other strategies.

        All calls return the same networks, as in a pipeline, so state that they keep between calls
        becomes visible.
        """
        if not isinstance(self.strategy, LearnedStrategy):
            return nn.ModuleList()
        key = levels, like.dtype, like.device
        if key not in self._networks:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                networks = nn.ModuleList(self.strategy.network(level) for level in levels)
            self._networks[key] = networks.eval().to(like)
        return self._networks[key]

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Discard inputs that the strategy refuses; report any other exception as a broken law.

        A refusal is a `FusionlabError`.
        """
        try:
            yield
        except PluginError as error:  # the pipeline says that it failed, or broke its contract
            raise BrokenLawError(str(error)) from error
        except FusionlabError as error:
            self.refusal = str(error)
            reject()
        except (BrokenLawError, HypothesisException, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit, too
            text = one_line(error)
            place = _place(error, self.strategy)
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
        """Return the pixels at four brightnesses, and their averages."""
        fine = torch.cat([images * (255 >> n) for n in range(4)], dim=1)
        return fine, nn.functional.avg_pool2d(fine, 2)

    def decode(self, features: Features) -> Tensor:
        """Return the mean over the channels and levels at each pixel."""
        fine, coarse = (level.mean(dim=1, keepdim=True) / 255 for level in features)
        return fine + coarse.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)


def _place(error: BaseException, strategy: Strategy) -> str:
    """Return the line of the strategy's module where an exception arose, or an empty text."""
    path = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f" ({Path(path).name}, line {lines[-1]})" if path and lines else ""
