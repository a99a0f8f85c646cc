"""The strategy: its weights, its gates against the authors' images, and its laws."""

import numpy as np
import pytest
import torch

import fusionlab
from fusionlab import Card, FusionlabError, Law, Scene
from fusionlab.strategy import DECLARABLE
from fusionlab.testing import PROFILES, StrategyLaws, examine
from fusionlab_cnn import WEIGHTS
from fusionlab_cnn.strategy import CNN

PROFILES["brief"] = 2  # inputs per law, in every run of the tests


class Given(torch.nn.Module):
    """A network that has decided already."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, images):
        return self.weight


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_strategy_fuses_as_the_authors_given_their_weights(
    pair, sources, published, authors_weights
):
    features = torch.from_numpy(np.stack(sources(pair)))[:, None, None].double()
    scene = Scene(
        features / 255, network=Given(torch.from_numpy(authors_weights(pair))[None, None])
    )
    fused = CNN(variant="authors").fuse(features, scene)[0, 0].numpy()
    np.testing.assert_array_equal(np.floor(fused.clip(0, 255) + 0.5), published(pair))


def test_the_shipped_weights_find_the_clearer_half_of_a_pair(sources):
    visible = sources("s64")[1] / 255
    blurred = torch.from_numpy(visible)[None, None]
    for _ in range(2):
        blurred = torch.nn.functional.avg_pool2d(blurred, 5, 1, 2, count_include_pad=False)
    blurred = blurred[0, 0].numpy()
    left = np.arange(64) < 32
    a, b = np.where(left, visible, blurred), np.where(left, blurred, visible)
    fusion = fusionlab.Fusion(strategy=CNN(), range_policy=None)
    assert fusion.method == "identity/cnn,checkpoint=coco,threshold=0.6,variant=corrected"
    images = torch.from_numpy(np.stack([a, b])).float()[:, None, None]
    (network,) = fusion.networks
    with torch.no_grad():
        weight = network(images)[0, 0].numpy()
    assert weight[8:-8, 8:24].mean() > 0.9
    assert weight[8:-8, 40:-8].mean() < 0.1
    error = np.abs(fusion([a, b]) - visible)
    assert error.mean() < 0.25 * np.abs((a + b) / 2 - visible).mean()
    assert error.max() < 0.2  # along the seam


def test_the_card_is_that_of_a_strategy_on_pixels():
    card = Card.read(WEIGHTS / "coco.safetensors")
    assert (card.backbone, card.strategy["name"]) == ("identity", "cnn")
    assert card.validation["accuracy"] > 0.99
    assert card.made_with["seconds"] > 0


def test_it_takes_an_infrared_and_a_visible_image(sources):
    assert CNN.roles == ("infrared", "visible")
    a, b = sources("s61")
    with pytest.raises(FusionlabError) as caught:
        fusionlab.Fusion(strategy="cnn")([a, b, b])
    assert caught.value.code == "number-of-sources"


def test_the_variants_share_their_weights_and_differ_in_bias_and_corners(sources):
    for variant in ("corrected", "authors"):
        fusion = fusionlab.Fusion(strategy=CNN(variant=variant))
        (network,) = fusion.networks
        assert network.output_bias == (variant == "corrected")


def test_it_is_not_trained_on_image_sets():
    with pytest.raises(FusionlabError) as caught:
        CNN().losses(*[torch.zeros(1)] * 4)
    assert caught.value.code == "not-trainable"


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_with_weights_trained_here_the_images_score_as_those_of_the_authors(
    pair, sources, published
):
    images = sources(pair)
    fused = fusionlab.Fusion(strategy=CNN(), range_policy="clip")(images)
    ours, theirs = (fusionlab.score(image, images, "EN,Qabf") for image in (fused, published(pair)))
    assert ours["EN"] == pytest.approx(theirs["EN"], abs=0.1)
    assert ours["Qabf"] == pytest.approx(theirs["Qabf"], abs=0.02)


def test_it_keeps_the_laws_that_are_required_or_declared():
    skipped = {Law.SUPPORT, Law.TILES, Law.PARTITION}  # the suite finds that they do not apply
    laws = [law for law in Law if law not in (DECLARABLE | skipped) or law in CNN().laws]
    broken = [verdict for verdict in examine(CNN, laws, "brief") if not verdict.passed]
    assert not broken


@pytest.mark.slow
class TestCNN(StrategyLaws):
    strategy = CNN
