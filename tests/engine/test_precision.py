"""The switches of cuDNN belong to the process: threads with other settings do not see each other's.

No GPU is needed: the switches can be set without one.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from time import sleep

import pytest
import torch
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.engine.precision import convolutions, products

CUDA = torch.device("cuda")


def switches():
    """Return what a convolution would be computed with: whether in TF32, and how."""
    cudnn = torch.backends.cudnn
    new = getattr(cudnn, "conv", None)
    tf32 = cudnn.allow_tf32 if new is None else new.fp32_precision == "tf32"
    return tf32, cudnn.benchmark, cudnn.deterministic


def test_threads_never_compute_with_the_settings_of_others():
    before, seen = switches(), []
    together = Barrier(8)

    def work(number):
        wanted = number % 2 == 0
        together.wait()
        for _ in range(20):
            with convolutions(CUDA, allow_tf32=wanted):
                sleep(1e-4)  # lets others run
                seen.append(switches() == (wanted, False, True))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(seen) == 160
    assert all(seen)
    assert switches() == before


def test_blocks_of_one_setting_run_together_and_the_last_one_restores():
    before = switches()
    inside, go = Event(), Event()

    def hold():
        with convolutions(CUDA, allow_tf32=False):
            inside.set()
            go.wait(10)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        inside.wait(10)
        with convolutions(CUDA, allow_tf32=False):
            go.set()
            held.result(10)
            assert switches() == (False, False, True)
    assert switches() == before


def test_a_block_inside_one_with_other_settings_is_refused_and_all_is_restored():
    before = switches()
    with (
        pytest.raises(FusionlabError, check=refused("precision-conflict")),
        convolutions(CUDA, allow_tf32=True),
        convolutions(CUDA, allow_tf32=False),
    ):
        pass
    assert switches() == before
    with convolutions(CUDA, allow_tf32=True), convolutions(CUDA, allow_tf32=True):
        assert switches()[0]
    assert switches() == before


def test_products_have_switches_of_their_own():
    with products(CUDA, allow_tf32=True), convolutions(CUDA, allow_tf32=False):
        assert not switches()[0]


def test_a_cpu_has_no_switches():
    before = switches()
    with convolutions(torch.device("cpu"), allow_tf32=True):
        assert switches() == before
