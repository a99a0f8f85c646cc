"""The residual network: its layers by hand, its weights on real features, and its required laws."""

import numpy as np
import pytest
import torch

import fusionlab
from fusionlab import Card, FusionlabError, Level, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_rfn import WEIGHTS
from fusionlab_rfn.network import Residual
from fusionlab_rfn.strategy import RFN


def picture(seed, height=40, width=50):
    rng = np.random.default_rng(seed)
    smooth = np.clip(np.cumsum(rng.normal(0, 0.05, (height, width)), 1) + 0.5, 0, 1)
    return (255 * smooth).astype(np.uint8)


def reference(network, a, b):
    """The formula in numpy, float64, layer by layer: features (C, h, w)."""

    def layer(module, x):
        weight, bias = (t.detach().double().numpy() for t in (module[0].weight, module[0].bias))
        r = weight.shape[-1] // 2
        padded = np.pad(x, ((0, 0), (r, r), (r, r)), mode="edge")
        rows, columns = x.shape[1:]
        found = np.zeros((len(weight), rows, columns))
        for y in range(2 * r + 1):
            for z in range(2 * r + 1):
                shifted = padded[:, y : y + rows, z : z + columns]
                found += np.einsum("oc,chw->ohw", weight[:, :, y, z], shifted)
        return np.maximum(0, found + bias[:, None, None])

    rest = np.concatenate([layer(network.first, a), layer(network.second, b)])
    for module in network.rest:
        rest = layer(module, rest)
    return layer(network.direct, np.concatenate([a, b])) + rest


def test_the_network_is_the_formula():
    torch.manual_seed(0)
    network = Residual(3)
    features = torch.rand(2, 2, 3, 5, 4)
    found = network(features).detach().numpy()
    for n in range(2):
        expected = reference(network, *features[:, n].double().numpy())
        np.testing.assert_allclose(found[n], expected, rtol=1e-5, atol=1e-6)  # float32


def test_the_losses_are_nothing_where_the_result_is_what_is_wanted():
    sources = torch.rand(2, 1, 1, 16, 16)
    features = [torch.rand(2, 1, 3, 16, 16)]
    merged = [2 / 3 * features[0][0] + 1 / 3 * features[0][1]]
    terms = RFN().losses(sources[1], sources, merged, features)
    assert set(terms) == {"detail", "feature"}
    assert float(terms["detail"]) == pytest.approx(0, abs=1e-4)  # float32: 30 x 1e-6
    assert float(terms["feature"]) == pytest.approx(0, abs=1e-12)
    worse = RFN().losses(sources[0], sources, [merged[0] + 1], features)
    assert float(worse["detail"]) > 20
    assert float(worse["feature"]) == pytest.approx(1, rel=1e-5)


def test_the_shipped_weights_fuse_pairs_and_say_so():
    fusion = fusionlab.Fusion("densefuse@1e3-long", RFN())
    assert fusion.method == "densefuse@1e3-long/rfn,checkpoint=roadscene"
    infrared, visible = picture(0), picture(1)
    fused = fusion([infrared, visible])
    assert fused.shape == infrared.shape
    assert fused.std() > 10
    # it was trained to keep the structure of the second source
    alike = [np.corrcoef(fused.ravel(), one.ravel())[0, 1] for one in (infrared, visible)]
    assert alike[1] > 0.5
    with pytest.raises(FusionlabError, match="takes exactly 2 sources, got 3"):
        fusion([infrared, visible, visible])


def test_the_weights_are_those_of_their_card_and_of_one_backbone():
    card = Card.read(WEIGHTS / "roadscene.safetensors")
    assert card.backbone == "densefuse@1e3-long"
    assert card.strategy["name"] == "rfn"
    with pytest.raises(FusionlabError, match="were trained on the features of densefuse@1e3-long"):
        fusionlab.Fusion("densefuse@1e2", RFN())


def test_tiles_do_not_show():
    sources = [picture(n, 90, 70) for n in range(2)]
    whole = fusionlab.Fusion("densefuse", RFN(), range_policy=None, tile=200)(sources)
    cut = fusionlab.Fusion("densefuse", RFN(), range_policy=None, tile=32)(sources)
    np.testing.assert_allclose(cut, whole, atol=1e-3 / 255)  # float32 in another order


def test_gradients_reach_the_sources():
    sources = [torch.rand(1, 16, 16, requires_grad=True) for _ in range(2)]
    fusionlab.Fusion("densefuse", RFN(), range_policy=None)(sources).sum().backward()
    assert all(source.grad.abs().sum() > 0 for source in sources)


def test_it_needs_the_pipeline():
    zeros = torch.zeros(2, 1, 4, 3, 3)
    with pytest.raises(FusionlabError, match="needs its trained networks"):
        RFN().fuse(zeros, Scene(zeros))
    assert RFN().network(Level(4, 1))(zeros).shape == (1, 4, 3, 3)


class TestRFN(StrategyLaws):
    strategy = RFN
