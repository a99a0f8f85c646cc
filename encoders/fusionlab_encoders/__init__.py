"""The backbones that ship with fusionlab: one file each, and their weights.

They are an ordinary plugin: `fusionlab` never imports this package, but finds it through the same
entry point as third-party packages.
"""

from __future__ import annotations

from pathlib import Path

from fusionlab import BackboneRef, Preset, hookimpl
from fusionlab_encoders.table_ii import METHODS, NOTES, PACKAGES, TABLE_II

WEIGHTS = Path(__file__).parent / "weights"
TAGS = ("1e3-long", "1e0", "1e1", "1e2", "1e3")
"""Weights of DenseFuse, named by lambda; the first, trained for longer, is the default."""


@hookimpl
def fusionlab_defaults() -> dict[str, str]:
    return {"backbone": "densefuse@1e3-long", "baseline": "identity"}


@hookimpl
def fusionlab_presets() -> list[Preset]:
    return [
        Preset(
            name="paper",
            summary="Table II, each image saved as the program of its authors saves it",
            settings={"range_policy": "own", "color": "per-channel", "shared_weights": False},
            backbones=[f"densefuse@{tag}" for tag in ("1e0", "1e1", "1e2", "1e3")],
            methods=list(METHODS.values()),
            packages=PACKAGES,
            published=TABLE_II,
            published_images=20,
            published_methods=METHODS,
            notes=NOTES,
            # Section III-A; the user chooses one of its four lambdas
            trainings={
                "densefuse": {
                    "epochs": (4,),
                    "size": (256,),
                    "batch": 2,
                    "learning_rate": 1e-4,
                    "precision": ("fp32",),
                    "pixel_loss": "mse",
                    "structure_loss": "ssim",
                    "flips": False,
                    "lr_decay": 0,
                    "ema_decay": 0.0,
                }
            },
        )
    ]


@hookimpl
def fusionlab_backbones() -> list[BackboneRef]:
    here = __name__
    return [
        BackboneRef(
            name="densefuse",
            target=f"{here}.densefuse:DenseFuse",
            summary="The dense-block autoencoder of DenseFuse (Table I).",
            checkpoints={tag: WEIGHTS / f"densefuse-{tag}.safetensors" for tag in TAGS},
        ),
        BackboneRef(
            name="deepfuse",
            target=f"{here}.deepfuse:DeepFuse",
            summary="The five-layer autoencoder of DeepFuse.",
            checkpoints={"1e3": WEIGHTS / "deepfuse-1e3.safetensors"},
        ),
        BackboneRef(
            name="identity",
            target=f"{here}.identity:Identity",
            summary="Pixels as one feature channel, in gray levels.",
        ),
        BackboneRef(
            name="nestfuse",
            target=f"{here}.nestfuse:NestFuse",
            summary="The autoencoder of NestFuse, with four scales and a nested decoder.",
            checkpoints={"1e2": WEIGHTS / "nestfuse-1e2.safetensors"},
        ),
    ]
