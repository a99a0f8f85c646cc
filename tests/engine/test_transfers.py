"""Copies between main memory and a GPU do not hold up the host. The GPU is a double."""

import pytest
import torch
from fake_cuda import fake_cuda

from fusionlab.engine import transfers
from fusionlab.engine.transfers import in_main_memory, to_device


@pytest.fixture
def log(monkeypatch):
    """Return a list of what is queued, and waited for, by number of the band."""
    calls = []

    class Event:
        def __init__(self):
            self.number = sum(call.startswith("copy") for call in calls) + 1

        def record(self, stream):
            calls.append(f"copy {self.number}")

        def synchronize(self):
            calls.append(f"wait {self.number}")

    monkeypatch.setattr(transfers.torch.cuda, "Event", Event)
    monkeypatch.setattr(transfers.torch.cuda, "current_stream", lambda device: None)
    return calls


def test_a_band_is_waited_for_after_the_next_one_is_queued(log):
    def bands(device):
        for number in range(1, 4):
            log.append(f"compute {number}")
            yield device.tensor(1, 1, number, 8)

    with fake_cuda() as device:
        heights = []
        for band in in_main_memory(bands(device)):
            assert band.device.type == "cpu"
            heights.append(band.shape[2])
        assert heights == [1, 2, 3]
        assert log == [
            *("compute 1", "copy 1", "compute 2", "copy 2", "wait 1"),
            *("compute 3", "copy 3", "wait 2", "wait 3"),
        ]
        assert not device.waits  # the copies themselves are asynchronous


def test_bands_with_gradients_keep_them(log):
    band = torch.ones(1, 1, 2, 2, requires_grad=True)
    (copied,) = in_main_memory([band * 2])
    copied.sum().backward()
    assert torch.equal(band.grad, torch.full_like(band, 2))
    assert log == []


def test_to_the_device_the_host_does_not_wait_unless_gradients_flow():
    with fake_cuda() as device:
        assert to_device(torch.ones(3), torch.device("cuda")).device.type == "cuda"
        assert not device.waits
        to_device(torch.ones(3, requires_grad=True), torch.device("cuda"))
        assert device.waits == {"cpu to cuda": 1}


def test_on_a_cpu_nothing_is_copied():
    tensor = torch.ones(3)
    assert to_device(tensor, torch.device("cpu")) is tensor
    assert next(in_main_memory([tensor])) is tensor
