"""The weights of DeepFuse and NestFuse: what their cards say, and how exactly they reproduce."""

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from golden_images import STREET

from fusionlab import Fusion, load_backbone

WEIGHTS = {  # SHA-256, and the mean absolute error of the images below in gray levels, rounded up
    "deepfuse@1e3": ("55250433ea2634fe", 0.2),
    "nestfuse@1e2": ("dfada20d52de5fc6", 0.9),
}


@pytest.fixture(scope="module", params=WEIGHTS)
def name(request):
    return request.param


def street(*letters):
    return [iio.imread(STREET / f"{letter}.png") for letter in letters]


def test_a_tag_never_changes_its_weights(name):
    assert load_backbone(name).card.sha256.startswith(WEIGHTS[name][0])


def test_the_card_describes_the_training(name):
    card = load_backbone(name).card
    assert card.license.startswith("MIT")
    assert "MS-COCO" in card.data["description"]
    assert card.data["training_images"] == 5815
    assert card.validation["images"] == card.data["held_out_images"]
    assert len(card.made_with["commit"]) == 40
    assert card.made_with["seconds"] > 0


def test_images_that_were_not_trained_on_are_reproduced(name):
    backbone, errors = load_backbone(name), []
    for image in street("a", "b", "c"):
        pixels = torch.from_numpy(image[:192, :192])[None, None] / 255
        errors.append(255 * (backbone(pixels) - pixels).abs().mean().item())
    assert np.mean(errors) < WEIGHTS[name][1]


def test_a_sum_of_features_is_a_brighter_mean(name):
    """decode(2 f) = 2 decode(f), apart from biases; so `addition` shows what `mean` shows."""
    image = torch.from_numpy(street("a")[0][:96, :96])[None, None] / 255
    backbone = load_backbone(name)
    features = backbone.encode(image)
    once, twice = backbone.decode(features), backbone.decode(tuple(2 * f for f in features))
    assert 255 * (twice - 2 * once).abs().mean() < 2


@pytest.mark.parametrize(
    "method", ["deepfuse/addition", "deepfuse/l1norm", "nestfuse/l1norm", "nestfuse/nestfuse"]
)
def test_a_fusion_in_tiles_is_that_of_the_whole_image(method):
    backbone, _, strategy = method.partition("/")
    sources = [image[:90, :107] for image in street("a", "b")]
    whole, tiled = (
        Fusion(backbone, strategy, range_policy=None, tile=tile)(sources) for tile in (999, 40)
    )
    # float32 in another order, through up to ten layers
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-5 * np.abs(whole).max())


@pytest.mark.parametrize("name", ["deepfuse", "nestfuse"])
def test_own_is_how_the_authors_programs_save(name):
    """From the minimum to the maximum, also for strategies that clip by default."""
    assert Fusion(name, "mean", range_policy="own").range_policy == "minmax"
