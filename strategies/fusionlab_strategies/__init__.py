"""The strategies that ship with fusionlab: one file each, listed here.

They are an ordinary plugin. `fusionlab` never imports this package; it finds it through the
same entry point as a stranger's.
"""

from __future__ import annotations

from fusionlab import Preset, StrategyRef, hookimpl


@hookimpl
def fusionlab_defaults() -> dict[str, str]:
    return {"strategy": "l1norm"}


@hookimpl
def fusionlab_presets() -> list[Preset]:
    return [
        Preset(
            name="paper",
            summary="l1norm without the window of Eq. 6, as the authors' program had it",
            strategies={"addition": {}, "l1norm": {"r": 0}},
        )
    ]


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    here = __name__
    return [
        StrategyRef("addition", f"{here}.addition:Addition", "Add up the features."),
        StrategyRef("l1norm", f"{here}.l1norm:L1Norm", "Weight each source by its activity."),
        StrategyRef("max", f"{here}.max:Max", "Keep the largest value of every feature."),
        StrategyRef("mean", f"{here}.mean:Mean", "Average the features."),
    ]
