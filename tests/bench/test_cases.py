"""A case: its fusion, its sources."""

from itertools import combinations

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.bench.cases import Case
from fusionlab.plugins.host import installed


def test_its_fusion_is_the_method_on_the_engine_in_the_precision():
    case = Case("densefuse@1e2/l1norm,r=2", engine="eager", precision="bf16")
    fusion = case.fusion("cpu", installed())
    assert fusion.method == "densefuse@1e2/l1norm,r=2,border=inside"
    assert (fusion.engine, fusion.precision) == ("eager", "bf16")


@pytest.mark.parametrize(("channels", "shape"), [(1, (30, 50)), (3, (30, 50, 3))])
def test_its_images_are_arrays_of_its_size_and_number(channels, shape):
    images = Case("any/strategy", width=50, height=30, sources=3, channels=channels).images()
    assert [(image.shape, image.dtype) for image in images] == [(shape, np.uint8)] * 3


def test_no_two_channels_are_equal():
    """Equal ones would be encoded once."""
    images = Case("any/strategy", width=50, height=30, sources=5, channels=3).images()
    planes = [image[..., channel] for image in images for channel in range(3)]
    assert not any(np.array_equal(a, b) for a, b in combinations(planes, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_its_tensors_fuse_to_what_its_arrays_fuse_to(channels):
    case = Case("identity/max", width=20, height=12, channels=channels)
    fusion = case.fusion("cpu", installed())
    fused = fusion(case.tensors(torch.device("cpu"))).numpy().transpose(1, 2, 0)
    assert np.array_equal(np.squeeze(fused), fusion(case.images()))


def test_a_name_that_is_not_a_method_is_refused():
    with pytest.raises(FusionlabError, match=r"a method is written BACKBONE\[@TAG\].*/STRATEGY"):
        Case("densefuse").fusion("cpu", installed())
