"""The law of hues: no gray source turns the color of another one over.

Hue is the angle of (Cb, Cr). It counts where the chroma of the color source and of the result are
both larger than 1 gray level: rounding to 8 bits moves that of the result by up to 0.71.
"""

from functools import cache
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import Fusion, load_plugins
from fusionlab.imaging.color import chroma, recolored
from fusionlab.strategy import LearnedStrategy

NAMES = [registration.ref.name for registration in load_plugins().strategies.registrations]
EXAMPLES = Path(__file__).parents[1] / "examples" / "images" / "details"
MIN_CHROMA = 1.0
"""In gray levels."""


def chroma_of(image):
    """Return Cb and Cr `(2, H, W)` in gray levels."""
    return chroma(torch.from_numpy(image.astype(float)).permute(2, 0, 1)[None])[0].numpy()


def share_turned(color, fused):
    """Return the share of colored pixels whose hue turns by more than 90 degrees."""
    before, after = chroma_of(color), chroma_of(fused)
    counted = np.minimum(np.hypot(*before), np.hypot(*after)) > MIN_CHROMA
    assert counted.sum() > 100
    return float(((before * after).sum(0)[counted] < 0).mean())


def colored(gray, strength=0.25):
    """Return an image with the luminance `gray` and every hue, from left to right; 8 bits."""
    height, width = gray.shape
    angles = np.linspace(0, 2 * np.pi, width) + np.linspace(0, 1, height)[:, None]
    wanted = torch.from_numpy(strength * np.stack([np.cos(angles), np.sin(angles)]))[None]
    luma = torch.from_numpy(gray / 255)[None, None]
    image = recolored(luma, wanted).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return (image * 255 + 0.5).astype(np.uint8)


@cache
def synthetic_pair():
    """Return a gray image and one in color: ramps across each other, with a hot and a dark spot.

    The result meets black and white, where the range has little room for chroma.
    """
    row, column = np.mgrid[0:40, 0:48]
    gray = 5.0 * column
    gray[8:16, 10:20], gray[24:32, 28:40] = 255, 0
    visible = 6.4 * row
    return gray.astype(np.uint8), colored(visible)


@cache
def example_pair():
    """Return a thermal and a visible image of the examples, the latter given colors."""
    infrared, visible = (iio.imread(EXAMPLES / band / "pedestrian.png") for band in "ca")
    return infrared[16:64, 32:96], colored(visible[16:64, 32:96], 0.15)


@pytest.mark.parametrize("pair", [synthetic_pair, example_pair])
@pytest.mark.parametrize("name", NAMES)
def test_no_hue_turns_over_where_gray_meets_color(name, pair):
    if issubclass(load_plugins().strategies.find(name).ref.load(), LearnedStrategy):
        pytest.skip("it is trained for the features of another backbone")
    gray, color = pair()
    fused = Fusion("identity", name).fuse([gray, color])
    assert fused.colors == ("luma",)
    assert share_turned(color, fused.image) == 0


@pytest.mark.parametrize("name", ["max", "laplacian_pyramid"])
def test_hues_and_luminance_stay_where_the_chroma_does_not_fit(name):
    """Hues of more than 6 levels move by 8 degrees at most: rounding moves chroma by 0.7 of 5.3."""
    gray, color = synthetic_pair()
    fused = Fusion("identity", name)([gray, color])
    before, after = chroma_of(color), chroma_of(fused)
    counted = np.minimum(np.hypot(*before), np.hypot(*after)) > 6
    angles = np.angle((before[0] + 1j * before[1]) * (after[0] - 1j * after[1]), deg=True)
    assert np.abs(angles[counted]).max() < 8
    luma = Fusion("identity", name, color="gray")([gray, color])
    found = fused.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(found - luma).max() <= 1  # rounded twice


@pytest.mark.parametrize("pair", [synthetic_pair, example_pair])
@pytest.mark.parametrize("name", ["l1norm", "addition"])
def test_no_hue_turns_over_with_a_learned_backbone(name, pair):
    gray, color = pair()
    assert share_turned(color, Fusion("densefuse", name)([gray, color])) == 0


def test_without_it_hues_turn_over():
    """With weights for each channel, as in the paper: the test sees what it is for."""
    gray, color = synthetic_pair()
    paper = Fusion("identity", "l1norm", color="per-channel", shared_weights=False)
    assert share_turned(color, paper([gray, color])) > 0.05
    shared = Fusion("identity", "l1norm", color="per-channel")
    assert share_turned(color, shared([gray, color])) == 0  # of pixels: the chroma is scaled
