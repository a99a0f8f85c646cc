"""What every backbone inherits: parameters, halos, and tiles of the general kind."""

import copy
import pickle
from typing import Annotated

import pytest
import torch
from annotated_types import Ge

from fusionlab import Backbone, FusionlabError, Level, parameters
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity


class Gain(Backbone):
    """Pixels times a factor."""

    levels = (Level(channels=1, stride=1),)
    receptive_field = (0, 0)

    def __init__(
        self, gain: Annotated[int, Ge(1), "factor"] = 2, *, name: str = "plain", unlisted=None
    ):
        super().__init__()
        self.unlisted = unlisted

    def encode(self, images):
        return (images * self.gain,)

    def decode(self, features):
        return features[0] / self.gain


def test_annotated_arguments_are_parameters():
    assert [(p.name, p.kind, p.default) for p in parameters.params_of(Gain)] == [
        ("gain", int, 2),
        ("name", str, "plain"),
    ]
    assert parameters.params_of(DenseFuse) == ()


def test_parameters_are_kept_and_shown():
    backbone = Gain(3, name="mine")
    assert (backbone.gain, backbone.name) == (3, "mine")
    assert parameters.describe(backbone) == "gain=3,name=mine"
    assert repr(backbone) == "Gain(gain=3, name=mine)"
    assert Gain().gain == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_keep_the_parameters(copied):
    assert copied(Gain(5)).gain == 5


def test_a_parameter_out_of_its_bounds_is_refused():
    with pytest.raises(FusionlabError, match="'gain' must be at least 1, got 0"):
        Gain(0)


def test_arguments_that_do_not_fit_raise_the_error_of_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'width'"):
        Gain(width=3)


def test_an_argument_of_another_type_is_left_to_python():
    class Wrapped(Identity):
        def __init__(self, inner: Backbone):
            super().__init__()
            self.inner = inner

    assert isinstance(Wrapped(Identity()).inner, Identity)


def test_halos_are_multiples_of_the_size_divisor():
    class Coarse(Identity):
        levels = (Level(channels=1, stride=1), Level(channels=1, stride=4))
        receptive_field = (3, 9)
        size_divisor = 8

    assert Coarse().halos(support=3) == (8, 16, 16)
    assert Coarse().halos(support=0) == (8, 0, 16)


def test_gradients_do_not_reach_frozen_parameters():
    network = DenseFuse().freeze()
    image = torch.rand(1, 1, 8, 8, requires_grad=True)
    network(image).sum().backward()
    assert image.grad is not None
    assert all(p.grad is None for p in network.parameters())
