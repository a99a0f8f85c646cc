"""Weights of strangers: what is no checkpoint of the network is refused, in one sentence."""

import json
import struct

import pytest
import torch
from refusals import refused
from safetensors.torch import save

from fusionlab import Card, FusionlabError
from fusionlab.checkpoint import load_weights
from fusionlab.storage.hashing import sha256_of_bytes

NETWORK = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
STATE = {name: tensor.clone() for name, tensor in NETWORK.state_dict().items()}
ONE = "0.weight"


def header(**tensors):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def claims(shape, end):
    return header(**{ONE: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}})


CONTENTS = {
    "nothing": b"",
    "a header that is cut off": struct.pack("<Q", 1 << 60) + b"{}",
    "a header that is no JSON": struct.pack("<Q", 4) + b"nope",
    "a header that is a list": struct.pack("<Q", 2) + b"[]",
    "a header that is nested": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "entries that are numbers": header(**dict.fromkeys(STATE, 5)),
    "a tensor of a terabyte": claims([1 << 38], 1 << 40),
    "a tensor without its bytes": claims([2, 1, 3, 3], 4),
    "nothing in it": save({}),
    "one tensor too few": save({name: t for name, t in STATE.items() if name != ONE}),
    "one tensor too many": save({**STATE, "odd\x1b[2J\n" * 1000: torch.zeros(1)}),
    "another shape": save({**STATE, ONE: torch.zeros(2, 1, 5, 5)}),
    "integers": save({**STATE, ONE: STATE[ONE].int()}),
    "truth values": save({**STATE, ONE: STATE[ONE] > 0}),
    "complex numbers": save({**STATE, ONE: STATE[ONE].to(torch.complex64)}),
    "floats in the place of a counter": save({**STATE, "1.num_batches_tracked": torch.zeros(())}),
}


def written(folder, content):
    weights = folder / "odd.safetensors"
    weights.write_bytes(content)
    card = Card("odd", "odd", sha256_of_bytes(content), "none")
    Card.path_of(weights).write_text(card.to_json())
    return weights


@pytest.mark.parametrize("holds", CONTENTS)
def test_weights_that_are_not_those_of_the_network_are_refused(tmp_path, holds):
    weights = written(tmp_path, CONTENTS[holds])
    with pytest.raises(FusionlabError, check=refused("other-network", weights)) as caught:
        load_weights(NETWORK, weights)
    assert len(str(caught.value)) < 500 + len(str(weights))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    weights = written(tmp_path, save({**STATE, ONE: torch.full_like(STATE[ONE], value)}))
    with pytest.raises(FusionlabError, match="0.weight", check=refused("not-finite", weights)):
        load_weights(NETWORK, weights)
    assert NETWORK[0].weight.isfinite().all()


def test_the_names_of_any_number_of_tensors_are_counted_and_no_tensor_is_made(
    tmp_path, monkeypatch
):
    names = {
        f"layer.{n}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]}
        for n in range(20_000)
    }
    weights = written(tmp_path, header(**names) + bytes(80_000))
    monkeypatch.setattr("safetensors.torch.load", None)
    with pytest.raises(FusionlabError, match="it lacks 0.bias and 6 more$"):
        load_weights(NETWORK, weights)
    more = {**{name: {} for name in STATE}, **names}
    weights = written(tmp_path, header(**more))
    with pytest.raises(FusionlabError, match="it has, .* layer.0 and 19999 more$"):
        load_weights(NETWORK, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_another_precision_are_loaded(tmp_path, dtype):
    floats = {n: t.to(dtype) if t.is_floating_point() else t for n, t in STATE.items()}
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    load_weights(network, written(tmp_path, save(floats)))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, floats[name].to(tensor.dtype))
