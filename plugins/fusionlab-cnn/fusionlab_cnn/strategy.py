"""Fusion with a convolutional neural network (CNN) that was trained to find the clearer image.

    W   = the mean of m over all patches that cover a pixel        m: probability that patch 1 is
                                                                      the clearer one (network)
    L_i = Laplacian pyramid of source i,  W^l = Gaussian pyramid of W
    S_i = sum of L_i^2 over 3x3,  M = 2 sum(L_1 L_2) / (S_1 + S_2)
    L   = W^l L_1 + (1 - W^l) L_2  where M > threshold, else the L_i of larger S_i

References: Liu, Chen, Cheng, Peng and Wang, Infrared and visible image fusion with convolutional
neural networks, doi:10.1142/S0219691318500182; the network is that of Liu, Chen, Peng and Wang,
Multi-focus image fusion with a deep convolutional neural network, doi:10.1016/j.inffus.2016.12.001.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from fusionlab import Law, LearnedStrategy
from fusionlab_cnn.pyramids import Variant, fuse_pyramids

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Level, Scene
    from fusionlab_cnn.network import Siamese


@dataclass(frozen=True)
class CNN(LearnedStrategy):
    """Merge image pyramids by the decisions of a siamese network.

    Give the infrared image first, the visible one second. The network has the layers of the
    reference and weights of its own: it was trained here (`python -m fusionlab_cnn.train`) to tell
    patches of photographs from the same patches blurred. Given the weight map of the authors'
    network, `variant=authors` gives their images to the last gray level.

    Their program has two flaws, which `variant=corrected` does not have: the corners of the border
    are zeros in the 3x3 sums, where it is mirrored elsewhere, and the biases of the last layer are
    not used. The pyramids have floor(log2(min(h, w))) levels and are computed in float64. The
    coarsest level is fused like all others. The result may leave the range of the sources.

    An image is never cut into tiles, because the coarsest level depends on all pixels. The network
    is run in strips; besides, fusing takes about 130 bytes per pixel.

    Raises:
        FusionlabError: there are not exactly two sources.
    """

    domain = "pixels"
    max_k: ClassVar[int] = 2
    roles: ClassVar[tuple[str, ...]] = ("infrared", "visible")

    threshold: Annotated[
        float, Interval(ge=-1, le=1), "How well details must match (M) to be averaged."
    ] = 0.6
    variant: Annotated[
        Variant, "Whether to keep the flaws of the authors' program, or to correct them."
    ] = "corrected"

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.IDEMPOTENCE})

    def network(self, level: Level) -> Siamese:
        from fusionlab_cnn.network import Siamese

        return Siamese(output_bias=self.variant == "corrected")

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        weight = super().fuse(features.to(precise) / 255, scene)
        first, second = (source.double() / 255 for source in features)
        fused = fuse_pyramids(first, second, weight.double(), self.threshold, self.variant)
        return (255 * fused).to(features.dtype)
