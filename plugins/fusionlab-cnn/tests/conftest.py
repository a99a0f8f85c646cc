"""Source pairs, what the program of the method's authors made of them, and networks."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab_cnn.network import Siamese

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[4] / "shared"
ORACLE = SHARED / "oracle" / "comparators" / "cnn"
PAIRS = SHARED / "data" / "eval" / "tno20"
SYNTHETIC = ("s64", "s61")


def _existing(path):
    if not path.exists():
        pytest.skip(f"{path.parent.name}/{path.name} is in ../shared, which is not at hand")
    return path


@pytest.fixture
def sources():
    """Return a function: name of a pair -> infrared and visible image, 8 bits."""

    def read(pair):
        if pair in SYNTHETIC:
            folder = GOLDEN / "synthetic"
            return [iio.imread(folder / f"{pair}_{kind}.png") for kind in ("ir", "vi")]
        return [iio.imread(_existing(PAIRS / place / f"{pair}.png")) for place in "ab"]

    return read


@pytest.fixture
def published():
    """Return a function: name of a pair -> the image that the authors' program saved."""

    def read(pair):
        folder = GOLDEN / "cnn" if pair in SYNTHETIC else ORACLE
        return iio.imread(_existing(folder / f"{pair}.png"))

    return read


@pytest.fixture
def authors_weights():
    """Return a function: name of a pair -> the weight map of the authors' network, in float64."""

    def read(pair):
        if pair in SYNTHETIC:
            return np.load(GOLDEN / "cnn" / "weights.npz")[pair].astype(float)
        return np.load(_existing(ORACLE / f"{pair}.npz"))["weight"].astype(float)

    return read


@pytest.fixture
def network():
    """Return a network with random weights and biases, in double precision."""
    torch.manual_seed(0)
    network = Siamese().double()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return network.requires_grad_(False)
