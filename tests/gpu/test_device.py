"""What a GPU computes: the values of the CPU, also where the host does not wait for them."""

import numpy as np
import pytest
import torch

from fusionlab import (
    Fusion,
    FusionlabError,
    TemporalConsistency,
    WeightedStrategy,
    histograms,
)
from fusionlab.engine.transfers import in_main_memory, to_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")


def images(*shape, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (2, shape[0] // 8 + 1, shape[1] // 8 + 1, *shape[2:]))
    large = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[0], : shape[1]]
    return list((large + rng.integers(-9, 10, (2, *shape))).clip(0, 255).astype(np.uint8))


class Wrong(WeightedStrategy):
    support = 0

    def weights(self, features, scene):
        return torch.full_like(features, 1.0 if scene.left == 0 else 0.5)


def test_histograms_are_those_of_the_cpu():
    numbers = torch.randint(0, 256, (3, 10_000), generator=torch.Generator().manual_seed(0))
    assert torch.equal(histograms(numbers.cuda(), 256).cpu(), histograms(numbers, 256))


def test_tensors_arrive_whole_on_both_sides():
    """Page-locked memory is used again only after the copy from it."""
    sources = [torch.full((1, 1, 500, 700), float(number)) for number in range(40)]
    there = [to_device(source, CUDA) for source in sources]
    for source, found in zip(sources, in_main_memory(band * 1 for band in there), strict=True):
        assert torch.equal(found, source)


@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3)])
@pytest.mark.parametrize("policy", ["clip", "minmax"])
def test_arrays_that_are_moved_give_what_they_give_on_the_cpu(shape, policy):
    """Float32 in another order: at most a gray level where a value lies between two."""
    sources = images(*shape)
    one, other = (
        Fusion("densefuse@1e2", "l1norm", range_policy=policy, device=device)(sources)
        for device in ("cpu", "cuda")
    )
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize("tile", [64, None])
def test_deep_arrays_are_converted_band_by_band(tile):
    sources = [image.astype(np.uint16) * 257 for image in images(300, 400)]
    one, other = (
        Fusion("densefuse@1e2", "l1norm", range_policy=None, device=device, tile=tile)(sources)
        for device in ("cpu", "cuda")
    )
    assert np.abs(one - other).max() <= 1e-4


def test_a_sequence_is_smoothed_as_on_the_cpu_also_from_a_state_of_the_cpu():
    frames = [images(96, 128, seed=seed) for seed in range(4)]
    here = Fusion("identity", "majority", range_policy=None)
    there = Fusion("identity", "majority", range_policy=None, device="cuda")
    one, other = (TemporalConsistency(smoothing=0.8, motion=100) for _ in range(2))
    for number, frame in enumerate(frames):
        if number == 2:
            other.restore(one.state())
        expected = here.fuse(frame, temporal=one).image
        fused = there.fuse(frame, temporal=other).image
        assert np.abs(expected - fused).max() <= 1e-4  # rounding of sums in another order


def test_wrong_weights_cost_the_sentence_of_the_cpu():
    sources, sentences = images(64, 300), []
    for device in ("cpu", "cuda"):
        with pytest.raises(FusionlabError) as caught:
            Fusion("identity", Wrong(), device=device, tile=64)(sources)
        sentences.append((caught.value.code, str(caught.value)))
    assert sentences[0] == sentences[1]


def test_where_memory_does_not_suffice_the_tiles_are_smaller():
    sources = [torch.from_numpy(image).cuda() for image in images(1200, 1600)]
    fusion = Fusion("densefuse@1e2", "l1norm", range_policy=None, device="cuda")
    expected = fusion(sources)
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved(CUDA) + 400 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / total, CUDA)
    try:
        fused = fusion.fuse(sources)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, CUDA)
    assert fused.tile is not None
    assert (fused.image - expected).abs().max() <= 1e-4
