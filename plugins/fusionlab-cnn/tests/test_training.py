"""Training patches, a run and its resumption, and the command."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import fusionlab
from fusionlab_cnn import patches
from fusionlab_cnn.network import PATCH
from fusionlab_cnn.patches import CONTEXT, MIN_VARIANCE, blur, patch_pairs
from fusionlab_cnn.train import main
from fusionlab_cnn.trainer import PatchSettings, PatchTrainer


def photographs(count=4, edge=96):
    """Rectangles in random gray levels with a little noise; the first image is flat on its left."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, edge, edge), np.uint8)
    for image in images:
        for _ in range(100):
            (top, left), (height, width) = rng.integers(0, edge, 2), rng.integers(4, 40, 2)
            image[top : top + height, left : left + width] = rng.integers(0, 240)
    images[0, :, : edge // 2] = 90
    images += rng.integers(0, 10, images.shape, dtype=np.uint8)
    return images


def test_blurs_are_7x7_gaussians_of_2_pixels():
    point = torch.zeros(1, 1, 13, 13, dtype=torch.float64)
    point[..., 6, 6] = 1
    spread = blur(point)[0, 0].numpy()
    squares = np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2)
    expected = np.exp(-squares / 8)
    np.testing.assert_allclose(spread, expected / expected.sum(), atol=1e-12)


def test_patches_show_something_and_are_blurred_one_to_five_times(monkeypatch):
    monkeypatch.setattr(patches, "MAX_NOISE", 0)
    images = photographs()
    clear, blurred = patch_pairs(images, 60, (0, 1))
    assert clear.shape == blurred.shape == (60, 1, PATCH, PATCH)
    variances = (255 * clear).flatten(1).double().var(dim=1, correction=0)
    assert variances.min() > MIN_VARIANCE
    # each blurred patch is one of the five blurs of a place of an image
    whole = torch.from_numpy(images)[:, None].float() / 255
    found = set()
    for patch, soft in zip(clear, blurred, strict=True):
        windows = whole.unfold(2, PATCH, 1).unfold(3, PATCH, 1)[:, 0]
        places = (windows[..., 0, 0] == patch[0, 0, 0]).nonzero()
        image, top, left = next(
            place for place in places.tolist() if torch.equal(windows[tuple(place)], patch[0])
        )
        level = whole[image : image + 1, :, top - CONTEXT : top + PATCH + CONTEXT]
        level = level[..., left - CONTEXT : left + PATCH + CONTEXT]
        for number in range(1, 6):
            level = blur(level)
            margin = CONTEXT - 3 * number
            inside = level[..., margin : margin + PATCH, margin : margin + PATCH]
            if torch.allclose(inside[0], soft, atol=1e-6):
                found.add(number)
    assert found == {1, 2, 3, 4, 5}


def test_clear_patches_have_noise_of_0_to_5_gray_levels(monkeypatch):
    monkeypatch.setattr(patches, "MIN_VARIANCE", -1)
    clear, blurred = patch_pairs(np.full((1, 64, 64), 90, np.uint8), 200, (0,))
    deviations = (255 * clear).flatten(1).std(dim=1)
    assert 0 < deviations.min() < 0.5
    assert 4.5 < deviations.max() < 5.7  # of 256 values: 5 within three standard errors
    assert deviations.mean() == pytest.approx(2.5, abs=0.3)
    assert (blurred.flatten(1).std(dim=1) < clear.flatten(1).std(dim=1)).all()


def test_patches_are_a_function_of_the_seed():
    images = photographs()
    first, again, other = (patch_pairs(images, 8, (0, seed))[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_without_texture_are_refused(monkeypatch):
    monkeypatch.setattr(patches, "MAX_NOISE", 0)
    with pytest.raises(ValueError, match="variance"):
        patch_pairs(np.zeros((1, 64, 64), np.uint8), 1, (0,))


SETTINGS = PatchSettings(
    batch=4, iterations=4, lr_decay=2, validate_every=2, validation_patches=4, learning_rate=0.001
)


def test_a_run_that_goes_on_ends_as_one_that_was_not_disturbed(tmp_path):
    images = photographs()
    whole = PatchTrainer(images, images, SETTINGS, tmp_path / "whole")
    figures = whole.run()
    assert figures.keys() == {"pairs", "softmax", "accuracy"}
    assert figures["pairs"] == 40
    cut = PatchTrainer(images, images, SETTINGS, tmp_path / "cut")
    step = cut._step

    def until():
        cut.stop.requested = cut.iteration + 1 >= 3
        step()

    cut._step = until
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    again = PatchTrainer(images, images, SETTINGS, tmp_path / "cut")
    again.resume()
    assert again.iteration == 3
    again.run()
    assert all(torch.equal(again.best[name], weight) for name, weight in whole.best.items())


def test_the_command_writes_weights_that_the_strategy_takes(tmp_path):
    for number, image in enumerate(photographs()):
        iio.imwrite(tmp_path / f"{number}.png", image)
    options = ["--iterations", "1", "--batch", "2", "--lr-decay", "0", "--validation-patches", "2"]
    options += ["--license", "MIT", "--data-note", "boxes"]
    out = tmp_path / "runs" / "mine"
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(out), *options])
    assert result.exit_code == 0, result.output
    assert "1/1: softmax" in result.output
    card = json.loads((out / "mine.json").read_text())
    assert card["license"] == "MIT"
    assert (card["data"]["training_images"], card["data"]["held_out_images"]) == (3, 1)
    assert card["made_with"]["seconds"] >= 0
    fusion = fusionlab.Fusion(strategy=f"cnn,checkpoint={out / 'mine.safetensors'}")
    assert f"checkpoint=mine-{card['sha256'][:8]}" in fusion.method
    again = CliRunner().invoke(main, [str(tmp_path), "-o", str(out), *options])
    assert again.exit_code == 1
    assert "already holds a run" in again.output
