"""Weight maps, gradients, and what a fusion leaves unchanged."""

import hashlib

import numpy as np
import pytest
import torch
from fusion_doubles import TwoLevels, images, uniform
from torch import nn

from fusionlab import Fusion, FusionlabError, WeightedStrategy
from fusionlab.engine.precision import convolutions
from fusionlab.strategy import LearnedStrategy
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean


def test_weight_maps_look_like_the_image_and_sum_to_one():
    sources = images(3, 40, 60, channels=3)
    fused = Fusion(Identity(), L1Norm(r=1), tile=16).fuse(sources, weights=True)
    assert [w.shape for w in fused.weights] == [(40, 60, 3)] * 3
    np.testing.assert_allclose(sum(fused.weights), 1, rtol=1e-6)
    again = sum(w * s for w, s in zip(fused.weights, sources, strict=True))
    np.testing.assert_allclose(fused.image, again, atol=0.51)


def test_weight_maps_of_a_coarse_strategy_have_the_size_of_the_image():
    class PerChannel(WeightedStrategy):
        support = 0

        def weights(self, features, scene):
            return torch.tensor([0.25, 0.75]).view(2, 1, 1, 1, 1).expand(*features.shape[:3], 1, 1)

    fused = Fusion(TwoLevels(), PerChannel()).fuse(images(2, 21, 33), weights=True)
    assert [float(w.mean()) for w in fused.weights] == [0.25, 0.75]
    assert fused.weights[0].shape == (21, 33)


def test_a_weight_map_is_the_mean_over_the_channels(densefuse):
    class Ramp(WeightedStrategy):
        support = 0

        def weights(self, features, scene):
            ramp = torch.linspace(0, 1, features.shape[2]).view(1, 1, -1, 1, 1)
            return torch.cat([ramp, 1 - ramp])

    fused = Fusion(densefuse, Ramp()).fuse(images(2, 5, 6), weights=True)
    np.testing.assert_allclose(fused.weights[0], 0.5, rtol=1e-5)


def test_the_index_map_is_the_number_of_the_largest_weight():
    sources = images(3, 40, 60, channels=3)
    fused = Fusion(Identity(), L1Norm(r=1), shared_weights=False).fuse(sources, weights=True)
    assert (fused.index.shape, fused.index.dtype) == ((40, 60), np.uint8)
    largest = np.argmax([weights.mean(axis=2) for weights in fused.weights], axis=0)
    np.testing.assert_array_equal(fused.index, largest)
    tensors = [torch.from_numpy(source).movedim(-1, 0)[None] for source in sources]
    batch = Fusion(Identity(), L1Norm(r=1), shared_weights=False).fuse(tensors, weights=True).index
    assert batch.dtype == torch.uint8
    np.testing.assert_array_equal(batch[0, 0].numpy(), largest)


def test_without_weights_there_is_no_index_map():
    with pytest.raises(FusionlabError) as error:
        _ = Fusion(Identity(), L1Norm()).fuse(images()).index
    assert error.value.code == "no-weights"


def test_building_a_backbone_leaves_the_rng_state_alone():
    state = torch.random.get_rng_state()
    Fusion("densefuse@1e2", "mean")
    assert torch.equal(state, torch.random.get_rng_state())


def test_large_color_images_in_one_piece_are_fused_plane_by_plane(monkeypatch):
    """All three at once would take three times the allowed memory."""
    seen = []

    class Whole(Mean):
        support = None

        def fuse(self, features, scene):
            seen.append(features.shape[1])
            return super().fuse(features, scene)

    sources = images(2, 200, 200, channels=3)
    small = Fusion(Identity(), Whole())(sources)
    monkeypatch.setattr("fusionlab.engine.tiled_run.CACHE_BYTES", 1000)
    assert np.array_equal(Fusion(Identity(), Whole())(sources), small)
    assert seen == [3, 1, 1, 1]


def test_a_strategy_without_weights_has_no_weight_maps():
    with pytest.raises(FusionlabError, match="the strategy Max does not weight the sources"):
        Fusion(Identity(), Max()).fuse(images(), weights=True)


def test_gradients_reach_the_sources_and_the_strategy_but_not_the_backbone(densefuse):
    class Learned(WeightedStrategy):
        support = 0
        theta = nn.Parameter(torch.zeros(2))

        def weights(self, features, scene):
            return self.theta.softmax(0).view(2, 1, 1, 1, 1)

    sources = [torch.rand(1, 1, 24, 24, requires_grad=True) for _ in range(2)]
    fused = Fusion(densefuse, Learned(), range_policy=None, tile=16)(sources)
    fused.square().sum().backward()
    assert all(source.grad.abs().sum() > 0 for source in sources)
    assert Learned.theta.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in densefuse.parameters())


class Mixing(nn.Module):
    """A network that mixes the channels of the mean."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(64, 64, 1)

    def forward(self, features):
        return self.mix(features.mean(0))


class Mixed(LearnedStrategy):
    support = 0

    def network(self, level):  # the test gives one
        return Mixing()

    def losses(self, *_):
        return {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("from_sources", [True, False])
def test_gradients_reach_a_network_in_every_precision(densefuse, precision, from_sources):
    networks = nn.ModuleList([Mixing()])
    fusion = Fusion(densefuse, Mixed(), range_policy=None, networks=networks, precision=precision)
    sources = [uniform(seed, 24, 24).requires_grad_(from_sources) for seed in (0, 1)]
    fusion(sources).sum().backward()
    assert networks[0].mix.weight.grad.abs().sum() > 0
    assert all((source.grad is not None) is from_sources for source in sources)


def test_a_fusion_never_changes_the_backbone(densefuse):
    fusion = Fusion(densefuse, L1Norm())

    def digest():
        state = fusion.backbone.state_dict()
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in state.values())).hexdigest()

    before = digest()
    fusion(images(3))
    assert digest() == before
    assert not fusion.backbone.training


def test_the_same_call_gives_the_same_bytes(densefuse):
    fusion, sources = Fusion(densefuse, L1Norm()), images(3, 70, 90)
    assert fusion(sources).tobytes() == fusion(sources).tobytes()


def test_no_global_switch_is_left_changed(densefuse):
    """On CUDA they are set during a call; here it is tested that they are restored."""
    cudnn = torch.backends.cudnn
    before = [cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled]
    for allow in (True, False):
        with convolutions(torch.device("cuda"), allow_tf32=allow):
            tf32 = (
                cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32
            )
            assert tf32 is allow
            assert cudnn.deterministic
        assert [cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled] == before
    with torch.no_grad():
        Fusion(densefuse, Mean())(images())
        assert not torch.is_grad_enabled()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("strategy", ["addition", "mean", "max", "l1norm,r=1"])
def test_cuda_equals_cpu(strategy):
    """Without TF32 both are float32; 8 layers of up to 576 terms in another order."""
    sources = images(3, 300, 400)
    cpu = Fusion("densefuse@1e2", strategy, range_policy=None)(sources)
    cuda = Fusion("densefuse@1e2", strategy, range_policy=None, device="cuda")(sources)
    assert np.abs(cpu - cuda).max() <= 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("policy", [None, "clip", "minmax"])
@pytest.mark.parametrize("color", ["per-channel", "luma", "gray"])
@pytest.mark.parametrize("make", [lambda a: a, lambda a: torch.from_numpy(a).movedim(-1, 0)])
def test_images_come_back_from_cuda(policy, color, make):
    sources = [make(image / 255) for image in images(2, 100, 150, channels=3)]
    settings = {"range_policy": policy, "color": color}
    cpu = Fusion("densefuse@1e2", "addition", **settings)(sources)
    cuda = Fusion("densefuse@1e2", "addition", **settings, device="cuda")(sources)
    assert type(cuda) is type(cpu)
    assert abs(cpu - cuda).max() <= 1e-4
