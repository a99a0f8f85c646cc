"""The strategies that ship with fusionlab: one file each, listed here.

They are an ordinary plugin: `fusionlab` never imports this package, but finds it by its entry point
like any other.
"""

from __future__ import annotations

from fusionlab import Preset, StrategyRef, Task, hookimpl
from fusionlab_strategies.presets import PRESETS
from fusionlab_strategies.tasks import TASKS


@hookimpl
def fusionlab_defaults() -> dict[str, str]:
    return {"strategy": "l1norm"}


@hookimpl
def fusionlab_presets() -> list[Preset]:
    return PRESETS


@hookimpl
def fusionlab_tasks() -> list[Task]:
    return TASKS


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    here = __name__
    return [
        StrategyRef("addition", f"{here}.addition:Addition", "Add up the features."),
        StrategyRef(
            "channel_attention",
            f"{here}.channel_attention:ChannelAttention",
            "Weight each channel of each source by its activity over the whole image.",
        ),
        StrategyRef(
            "choose_max",
            f"{here}.choose_max:ChooseMax",
            "Keep the most active source in every pixel.",
        ),
        StrategyRef(
            "entropy_global",
            f"{here}.entropy_global:EntropyGlobal",
            "Weight each source by the entropy of its image.",
        ),
        StrategyRef(
            "gradient_global",
            f"{here}.gradient_global:GradientGlobal",
            "Weight each source by the gradients of its features over the whole image.",
        ),
        StrategyRef("l1norm", f"{here}.l1norm:L1Norm", "Weight each source by its activity."),
        StrategyRef(
            "l2norm",
            f"{here}.l2norm:L2Norm",
            "Weight each source by its activity, the l2-norm over the channels.",
        ),
        StrategyRef(
            "laplacian_pyramid",
            f"{here}.laplacian_pyramid:LaplacianPyramid",
            "Merge the Laplacian pyramids of the sources.",
        ),
        StrategyRef(
            "linf",
            f"{here}.linf:LInf",
            "Weight each source by its activity, the strongest channel.",
        ),
        StrategyRef(
            "majority",
            f"{here}.majority:Majority",
            "Keep the source that has the largest weight in most of the pixels around.",
        ),
        StrategyRef("max", f"{here}.max:Max", "Keep the largest value of every feature."),
        StrategyRef("mean", f"{here}.mean:Mean", "Average the features."),
        StrategyRef(
            "multi_scale",
            f"{here}.multi_scale:MultiScale",
            "Blend the features scale by scale, with the weights of any strategy.",
        ),
        StrategyRef(
            "nestfuse",
            f"{here}.nestfuse:NestFuse",
            "Weight each source by the mean of spatial and channel attention.",
        ),
        StrategyRef(
            "nuclear_patch",
            f"{here}.nuclear_patch:NuclearPatch",
            "Weight each source by the nuclear norm of its features around a pixel.",
        ),
        StrategyRef(
            "pca_global",
            f"{here}.pca_global:PCAGlobal",
            "Weight each source by its share in the first principal component.",
        ),
        StrategyRef(
            "saliency",
            f"{here}.saliency:Saliency",
            "Weight each source by how far its gray levels are from their mean.",
        ),
        StrategyRef(
            "sedrfuse",
            f"{here}.sedrfuse:SEDRFuse",
            "Weight each source by its channels, the strong ones first.",
        ),
        StrategyRef(
            "sml",
            f"{here}.sml:SML",
            "Weight each source by the sum-modified-Laplacian of its features.",
        ),
        StrategyRef(
            "spatial_frequency",
            f"{here}.spatial_frequency:SpatialFrequency",
            "Weight each source by the spatial frequency of its features.",
        ),
        StrategyRef(
            "spatial_softmax",
            f"{here}.spatial_softmax:SpatialSoftmax",
            "Weight each source by a softmax of its mean feature.",
        ),
        StrategyRef(
            "two_scale",
            f"{here}.two_scale:TwoScale",
            "Blend base and details of the features, with the weights of any strategy.",
        ),
        StrategyRef(
            "unfusion",
            f"{here}.unfusion:UNFusion",
            "Weight each source by spatial and channel attention, the larger result first.",
        ),
        StrategyRef(
            "weighted",
            f"{here}.weighted:Weighted",
            "Weight each source by a number of your own.",
        ),
        StrategyRef(
            "well_exposed",
            f"{here}.well_exposed:WellExposed",
            "Weight each source by contrast, saturation and good exposure.",
        ),
    ]
