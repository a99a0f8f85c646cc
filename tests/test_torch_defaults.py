"""What the host program has set for torch changes no result, and stays as it was."""

from contextlib import contextmanager
from threading import Barrier, Thread

import numpy as np
import pytest
import torch

import fusionlab
from fusionlab import Fusion
from fusionlab.torch_defaults import torch_defaults

RNG = np.random.default_rng(0)
IMAGES = list(RNG.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8))
METHODS = [
    ("densefuse", "l1norm"),
    ("densefuse", "multi_scale"),
    ("identity", "laplacian_pyramid"),
]


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
        assert torch.get_default_device().type == name
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=False)


@contextmanager
def autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")


@contextmanager
def inference():
    with torch.inference_mode():
        yield
        assert torch.is_inference_mode_enabled()


HOSTS = {
    "autocast": autocast,
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta": lambda: default_device("meta"),  # any operation on a tensor there would fail
    "inference mode": inference,
    "no gradients": torch.no_grad,
    "deterministic": deterministic,
}


def everything(backbone, strategy):
    """Return what the entrances of the library make of two images."""
    fusion = Fusion(backbone, strategy)
    tensors = [torch.from_numpy(image).movedim(-1, 0) for image in IMAGES]
    floats = [tensor.to("cpu", torch.float32) / 255 for tensor in tensors]
    return (
        fusion(IMAGES).tobytes(),
        fusion(tensors).numpy().tobytes(),
        fusion(floats).numpy().tobytes(),
        fusionlab.detect_task(IMAGES),
    )


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("backbone", "strategy"), METHODS)
def test_no_setting_of_the_host_changes_an_image(host, backbone, strategy):
    expected = everything(backbone, strategy)
    with HOSTS[host]():
        assert everything(backbone, strategy) == expected


@pytest.mark.parametrize("host", HOSTS)
def test_no_setting_of_the_host_changes_a_score(host):
    def scores():
        return fusionlab.score(IMAGES[0], IMAGES, "all")

    expected = scores()
    with HOSTS[host]():
        assert scores() == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_a_fusion_built_in_inference_mode_can_be_trained_through_later():
    with torch.inference_mode():
        fusion = Fusion("densefuse", "l1norm", range_policy=None)
        fusion(IMAGES)
    sources = [torch.rand(1, 24, 20, requires_grad=True) for _ in range(2)]
    fusion(sources).sum().backward()
    assert all(source.grad.isfinite().all() for source in sources)


def test_the_default_dtype_is_restored_by_the_last_of_several_threads():
    entered, left = Barrier(2), Barrier(2)
    seen = []

    def first():
        with torch_defaults():
            entered.wait()
        left.wait()

    with default_dtype(torch.float64):
        thread = Thread(target=first)
        thread.start()
        with torch_defaults():
            entered.wait()
            left.wait()  # the other thread is out
            seen.append(torch.get_default_dtype())
        thread.join()
        seen.append(torch.get_default_dtype())
    assert seen == [torch.float32, torch.float64]
