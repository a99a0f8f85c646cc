"""The code of others fails in every way there is; each is one sentence that says who and what."""

import errno
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from refusals import refused

from fusionlab import Fusion, FusionlabError
from fusionlab.errors import MAX_TEXT, Terminated, in_one_line
from fusionlab.plugins.failures import failures_of, is_out_of_memory, memory_errors, translated
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.mean import Mean


class MuteError(Exception):
    def __str__(self):
        raise SystemExit(0)


RAISED = [
    SystemExit(0),
    SystemExit(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    MuteError(),
    BaseException("odd"),
    KeyError("lost"),
    FloatingPointError("a\nb"),
    RecursionError("maximum depth"),
    AssertionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ExceptionGroup("several", [ValueError("one")]),
]

NO_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("no room"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 800 bytes."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_becomes_a_sentence(error):
    with (
        pytest.raises(FusionlabError, check=refused("odd-failed")) as caught,
        translated("the strategy Odd", "odd-failed", advice="tell its authors"),
    ):
        raise error
    said = str(caught.value)
    assert said.startswith(f"the strategy Odd failed: {type(error).__name__}")
    assert said.endswith("; tell its authors")
    assert "\n" not in said
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_every_spelling_of_a_lack_of_memory_has_one_code(error):
    assert is_out_of_memory(error)
    for block in (translated("a reader", "odd"), memory_errors("to fuse")):
        with pytest.raises(FusionlabError, check=refused("out-of-memory")), block:
            raise error


def test_what_really_happens_on_this_cpu_is_a_lack_of_memory():
    with (
        pytest.raises(FusionlabError, match="for a strategy, which asked for") as caught,
        translated("a strategy", "odd"),
    ):
        torch.empty(1 << 60, dtype=torch.uint8)
    assert caught.value.code == "out-of-memory"


@pytest.mark.parametrize("error", [RuntimeError("a memory format"), OSError(2, "no"), ValueError()])
def test_other_errors_are_none(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), memory_errors("to fuse"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated, FusionlabError("mine")])
def test_signals_and_the_words_of_the_plugin_pass(error):
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind) as caught, failures_of("strategy", Mean()):
        raise error
    assert caught.value is error or isinstance(error, type)


def test_long_messages_are_cut():
    assert len(in_one_line(ValueError("name " * 10**6))) < MAX_TEXT + 30


def test_registered_parts_are_named_with_their_plugin():
    said = "^the strategy Mean of fusionlab-imaging failed: KeyError: 'lost'$"
    with pytest.raises(FusionlabError, match=said), failures_of("strategy", Mean()):
        raise KeyError("lost")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), RuntimeError("odd")])
def test_a_backbone_that_raises_anything_is_named(error):
    class Odd(Identity):
        def encode(self, images):
            raise error

    with pytest.raises(FusionlabError, match="the backbone Odd on the engine Eager"):
        Fusion(Odd(), Mean())([np.zeros((8, 8), np.float32)] * 2)


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_a_fusion_retries_with_smaller_tiles_whatever_the_spelling(error, monkeypatch):
    monkeypatch.setattr("fusionlab.fusion.SMALLEST_EDGE", 4)

    @dataclass(frozen=True)
    class Greedy(Mean):
        def weights(self, features, scene):
            if features[0, 0, 0].numel() > 100:
                raise error
            return super().weights(features, scene)

    sources = list(np.random.default_rng(0).random((2, 20, 30), dtype=np.float32))
    assert Fusion(Identity(), Greedy()).fuse(sources).tile is not None
