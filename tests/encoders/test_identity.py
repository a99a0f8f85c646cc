"""The backbone without a network."""

import torch

from fusionlab_encoders.identity import Identity


def test_pixels_come_back_bit_for_bit():
    """All 256 gray levels survive 0..1 -> 0..255 -> 0..1."""
    image = torch.arange(256, dtype=torch.float32).view(1, 1, 16, 16) / 255
    backbone = Identity().freeze()
    (features,) = backbone.encode(image)
    assert torch.equal(features.flatten(), torch.arange(256.0))
    assert torch.equal(backbone(image), image)


def test_sums_of_four_8_bit_sources_come_back_as_integers():
    """0..1020 are exact, so that `addition` equals its formula bit for bit."""
    sums = torch.arange(1021.0).view(1, 1, 1, -1)
    assert torch.equal(Identity().decode((sums,)) * 255, sums)


def test_it_needs_no_halo_of_its_own():
    assert [Identity().halos(support) for support in (0, 3)] == [(0, 0, 0), (0, 3, 0)]
