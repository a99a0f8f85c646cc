"""A fusionlab plugin with a learned strategy: the residual fusion network, and its weights."""

from __future__ import annotations

from pathlib import Path

from fusionlab import StrategyRef, hookimpl

WEIGHTS = Path(__file__).parent / "weights"


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [
        StrategyRef(
            "rfn",
            f"{__name__}.strategy:RFN",
            "Merge two sources with a trained residual network.",
            checkpoints={"roadscene": WEIGHTS / "roadscene.safetensors"},
        )
    ]
