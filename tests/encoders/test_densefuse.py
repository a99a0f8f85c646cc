"""The DenseFuse network against Table I, and against the authors' program run elsewhere."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fusionlab import Card, Fusion, FusionlabError
from fusionlab_encoders.densefuse import DenseFuse

TABLE_1 = {  # layer: (channels in, channels out)
    "c1": (1, 16), "dense.0": (16, 16), "dense.1": (32, 16), "dense.2": (48, 16),
    "c2": (64, 64), "c3": (64, 32), "c4": (32, 16), "c5": (16, 1),
}  # fmt: skip


@pytest.fixture
def backbone():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DenseFuse().freeze()


def test_layers_are_those_of_table_1(backbone):
    shapes = {name: tuple(p.shape) for name, p in backbone.named_parameters()}
    expected = {f"{n}.weight": (o, i, 3, 3) for n, (i, o) in TABLE_1.items()}
    expected |= {f"{n}.bias": (o,) for n, (i, o) in TABLE_1.items()}
    assert shapes == expected
    assert sum(p.numel() for p in backbone.parameters()) == 74_193


def test_the_features_are_one_level_of_64_maps_and_not_negative(backbone):
    (features,) = backbone.encode(torch.rand(2, 1, 7, 9))
    assert features.shape == (2, 64, 7, 9)
    assert (features >= 0).all()
    assert [(level.channels, level.stride) for level in backbone.levels] == [(64, 1)]


def test_the_last_layer_has_no_relu(backbone):
    """Its sums may be negative."""
    backbone.c5.bias.fill_(-1e6)
    assert (backbone.decode((torch.rand(1, 64, 4, 4),)) < 0).all()


def test_every_parameter_gets_a_gradient_in_training():
    network = DenseFuse()
    network(torch.rand(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (2, 3), (17, 31)])
def test_every_size_from_one_pixel_is_encoded_and_decoded(backbone, size):
    """Padding must be numpy's `reflect`, which repeats an axis of one pixel."""
    image = torch.rand(1, 1, *size)
    padded = np.pad(image[0, 0].numpy(), 1, mode="reflect")
    first = torch.nn.functional.conv2d(
        torch.from_numpy(padded)[None, None] * 255, backbone.c1.weight, backbone.c1.bias
    )
    (features,) = backbone.encode(image)
    torch.testing.assert_close(features[:, :16], first.relu(), rtol=1e-5, atol=1e-4)
    assert backbone.decode((features,)).shape == image.shape


def load_reference(shared):
    """Put the authors' kernels into our network: their dense block concatenates [new, old]."""
    arrays = np.load(shared / "oracle/network/reference_weights.npz")
    network = DenseFuse()
    names = {"c1": "c1", "dc1": "dense.0", "dc2": "dense.1", "dc3": "dense.2"}
    names |= {f"c{n}": f"c{n}" for n in range(2, 6)}
    state = {}
    for theirs, ours in names.items():
        kernel = torch.from_numpy(arrays[f"{theirs}_w"])
        if theirs in ("dc2", "dc3", "c2"):
            kernel = torch.cat(kernel.split(16, dim=1)[::-1], dim=1)
        state |= {f"{ours}.weight": kernel, f"{ours}.bias": torch.from_numpy(arrays[f"{theirs}_b"])}
    network.load_state_dict(state)
    return network.freeze()


def test_the_authors_network_gives_the_authors_numbers(shared):
    """Features and reconstruction to float32 rounding, after 4 and 8 layers of up to 576 terms."""
    network = load_reference(shared)
    oracle = np.load(shared / "oracle/network/reference_forward.npz")

    def compare(found, name):
        expected = oracle[name]
        assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max(), name

    for source in ("ir", "vi"):
        image = torch.from_numpy(oracle[source])[None, None] / 255
        (features,) = network.encode(image)
        ordered = torch.cat(features[0].split(16)[::-1])
        compare(ordered.numpy(), f"feat_{source}")
        compare(features[0].abs().sum(0).numpy(), f"act_l1_{source}")
    image = torch.from_numpy(oracle["ir"])[None, None] / 255
    compare(network(image)[0, 0].numpy() * 255, "recon_ir")


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("addition", "out_sum"),
        ("mean", "out_mean"),
        ("l1norm,r=0", "out_l1"),
        ("l1norm,r=1,border=reflect", "out_l1r1"),
    ],
)
def test_the_authors_network_fuses_to_the_authors_images(shared, strategy, name):
    """The whole pipeline, raw decode; float32 rounding after 8 layers."""
    oracle = np.load(shared / "oracle/network/reference_forward.npz")
    fusion = Fusion(load_reference(shared), strategy, range_policy=None)
    fused = fusion([oracle[source] / np.float32(255) for source in ("ir", "vi")]) * 255
    assert np.abs(fused - oracle[name]).max() <= 4e-6 * np.abs(oracle[name]).max()


def card_for(path, sha256):
    card = Card(backbone="densefuse", tag="x", sha256=sha256, license="MIT")
    Card.path_of(path).write_text(card.to_json())


def test_weights_that_differ_from_their_card_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(DenseFuse().state_dict(), path)
    with pytest.raises(FusionlabError, match="has no card: expected x.json next to it"):
        DenseFuse().load_checkpoint(path)
    card_for(path, "0" * 64)
    with pytest.raises(FusionlabError, match="is not the file its card describes"):
        DenseFuse().load_checkpoint(path)


def test_a_missing_file_a_broken_card_and_foreign_weights_are_refused(tmp_path):
    import hashlib

    path = tmp_path / "x.safetensors"
    card_for(path, "0" * 64)
    with pytest.raises(FusionlabError, match="cannot read the weights"):
        DenseFuse().load_checkpoint(path)
    save_file({"other": torch.zeros(3)}, path)
    card_for(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(FusionlabError, match="does not hold the weights of DenseFuse"):
        DenseFuse().load_checkpoint(path)
    Card.path_of(path).write_text(json.dumps({"color": "red"}))
    with pytest.raises(FusionlabError, match="is not the card of a checkpoint"):
        DenseFuse().load_checkpoint(path)
