"""Your own strategy without any packaging: write the class, pass it to `Fusion`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from fusionlab import Fusion, Scene, WeightedStrategy, read_image

STREET = Path(__file__).parent / "images" / "street"


@dataclass(frozen=True)
class Softmax(WeightedStrategy):
    """Weight each source by the softmax of its mean feature."""

    tau: Annotated[float, Ge(1), "Temperature, in gray levels."] = 10.0

    @property
    def support(self) -> int:
        """Each weight depends on its own pixel only."""
        return 0

    def weights(self, features: Tensor, scene: Scene) -> Tensor:  # noqa: ARG002
        """Return weights `(k, N, 1, h, w)`: a small tau takes the strongest source alone."""
        return (features.mean(dim=2, keepdim=True) / self.tau).softmax(dim=0)


def main() -> None:
    """Fuse the street, and print how much each source counts."""
    sources = [read_image(path) for path in sorted(STREET.glob("?.png"))]
    for tau in (1.0, 10.0, 100.0):
        fused = Fusion("densefuse", Softmax(tau)).fuse(sources, weights=True)
        shares = " ".join(f"{weights.mean():.2f}" for weights in fused.weights)
        print(f"tau {tau:5.0f}: mean weights {shares}, mean gray level {fused.image.mean():.1f}")


if __name__ == "__main__":
    main()
