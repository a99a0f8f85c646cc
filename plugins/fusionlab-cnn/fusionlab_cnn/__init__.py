"""Liu's convolutional neural network as a learned pixel strategy, with its weights.

Read `strategy.py` first; `network.py` decides and `pyramids.py` fuses. `train.py`, `trainer.py` and
`patches.py` make the weights.
"""

from __future__ import annotations

from pathlib import Path

from fusionlab import StrategyRef, hookimpl

WEIGHTS = Path(__file__).parent / "weights"


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [
        StrategyRef(
            "cnn",
            f"{__name__}.strategy:CNN",
            "Merge image pyramids by the decisions of a siamese network.",
            checkpoints={"coco": WEIGHTS / "coco.safetensors"},
            roles=("infrared", "visible"),
        )
    ]
