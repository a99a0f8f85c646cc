"""A fusion as an object: how it is shown, copied, and sent to other processes."""

import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import PIL.Image
import pytest
import torch

from fusionlab import Fused, Fusion
from fusionlab.engine.eager import Eager
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.mean import Mean


def images(k=2, height=20, width=30, channels=None, dtype=np.uint8):
    shape = (height, width) if channels is None else (height, width, channels)
    rng = np.random.default_rng(0)
    return [rng.integers(0, np.iinfo(dtype).max, shape, dtype, True) for _ in range(k)]


# ---------------------------------------------------------------- repr


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside')"),
        (
            {"range_policy": "minmax", "color": "luma", "tile": 64, "precision": "bf16"},
            "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside', range_policy='minmax', "
            "color='luma', tile=64, precision='bf16')",
        ),
        ({"range_policy": "clip"}, "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside')"),
        (
            {"color": "per-channel", "shared_weights": False},
            "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside', color='per-channel', "
            "shared_weights=False)",
        ),
        (
            {"range_policy": None, "scale": "minmax"},
            "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside', range_policy=None, "
            "scale='minmax')",
        ),
        (
            {"scale": ["full", "minmax"]},
            "Fusion('densefuse@1e2', 'l1norm,r=0,border=inside', scale=['full', 'minmax'])",
        ),
    ],
)
def test_repr_shows_the_method_and_what_differs_from_the_defaults(settings, shown):
    fusion = Fusion("densefuse@1e2", "l1norm,r=0", **settings)
    assert repr(fusion) == shown
    again = eval(shown, {"Fusion": Fusion})
    assert np.array_equal(again(images()), fusion(images()))


def test_repr_of_instances_names_them():
    class Mine(Mean):
        pass

    assert "Mine" in repr(Fusion(Identity(), Mine()))


# ---------------------------------------------------------------- notebooks


def shown(image):
    limits = torch.zeros(2, 1, 2)
    png = Fused(image, [], limits, limits, ("luma",), torch.zeros(1))._repr_png_()
    return None if png is None else np.asarray(PIL.Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("channels", [None, 3])
def test_notebooks_show_the_fused_image(channels):
    fused = Fusion(Identity(), Mean()).fuse(images(channels=channels))
    assert np.array_equal(shown(fused.image), fused.image)


def test_other_depths_are_shown_in_8_bits():
    (deep,) = images(1, dtype=np.uint16)
    assert np.array_equal(shown(deep), np.floor(deep / 257 + 0.5))
    floats = np.array([[-0.5, 0, 0.5, 1, 1.5]])
    assert shown(floats).tolist() == [[0, 0, 128, 255, 255]]


def test_tensors_are_shown_unless_they_are_several_images():
    image = torch.rand(3, 20, 30, requires_grad=True)
    expected = np.floor(image.detach().movedim(0, -1).double().numpy() * 255 + 0.5)
    assert np.array_equal(shown(image), expected)
    assert np.array_equal(shown(image[None]), expected)
    assert np.array_equal(shown(image[:1])[..., None], expected[..., :1])
    assert shown(torch.rand(2, 1, 8, 8)) is None
    half = torch.tensor([[0, 0.5, 1]], dtype=torch.bfloat16)
    assert shown(half).tolist() == [[0, 128, 255]]


def test_large_images_are_subsampled():
    assert shown(np.zeros((10, 5000), np.uint8)).shape == (4, 1667)


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"tile": 16, "color": "luma"}])
def test_a_pickled_fusion_gives_the_same(settings):
    fusion = Fusion("densefuse@1e2", "l1norm,r=0", **settings)
    copied = pickle.loads(pickle.dumps(fusion))
    assert repr(copied) == repr(fusion)
    assert np.array_equal(copied(images(3)), fusion(images(3)))
    assert not any(p.requires_grad for p in copied.backbone.parameters())


def test_the_engine_is_not_pickled(monkeypatch):
    """It may hold compiled code."""
    fusion = Fusion(Identity(), Mean())

    def refuse(self):
        raise TypeError("cannot be pickled")

    monkeypatch.setattr(Eager, "__reduce__", refuse, raising=False)
    assert isinstance(pickle.loads(pickle.dumps(fusion))._engine, Eager)


def test_spawned_processes_take_fusions():
    fusion = Fusion("densefuse@1e2", "l1norm,r=0")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        fused = pool.submit(fusion, images()).result(timeout=100)
    assert np.array_equal(fused, fusion(images()))
