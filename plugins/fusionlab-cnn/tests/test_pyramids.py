"""The pyramids as matrices, and their fusion against the images of the authors' program."""

import numpy as np
import pytest
import torch

from fusionlab_cnn import pyramids
from fusionlab_cnn.pyramids import (
    expand,
    fuse_pyramids,
    gaussian_pyramid,
    laplacian_pyramid,
    level_count,
    reduce,
    window_sums,
    with_border,
)

KERNEL = np.array([1, 4, 6, 4, 1]) / 16


def reduced(rows):
    padded = np.pad(rows, ((0, 0), (2, 2)), "symmetric")
    return np.array([np.convolve(row, KERNEL, "valid") for row in padded])[:, ::2]


def expanded(rows, length):
    padded = np.pad(rows, ((0, 0), (1, 1)), "edge")
    spread = np.zeros((len(rows), 2 * padded.shape[1]))
    spread[:, ::2] = 2 * padded
    return np.array([np.convolve(row, KERNEL, "same") for row in spread])[:, 2 : 2 + length]


@pytest.mark.parametrize(("height", "width"), [(1, 2), (4, 7), (9, 8)])
def test_levels_are_smoothed_halved_and_doubled(height, width):
    image = np.random.default_rng(0).random((height, width))
    halved = reduced(reduced(image).T).T
    np.testing.assert_allclose(reduce(torch.from_numpy(image)), halved, atol=1e-15)
    doubled = expanded(expanded(halved, width).T, height).T
    found = expand(torch.from_numpy(halved), (height, width))
    np.testing.assert_allclose(found, doubled, atol=1e-15)


@pytest.mark.parametrize(
    ("height", "width", "count"), [(1, 9, 1), (3, 3, 1), (53, 61, 5), (64, 64, 6)]
)
def test_an_image_is_the_sum_of_its_levels(height, width, count):
    assert level_count(height, width) == count
    image = torch.rand(height, width, dtype=torch.float64)
    levels = laplacian_pyramid(image, count)
    assert [level.shape for level in levels] == [g.shape for g in gaussian_pyramid(image, count)]
    total = levels[-1]
    for level in levels[-2::-1]:
        total = level + expand(total, level.shape)
    torch.testing.assert_close(total, image, rtol=0, atol=1e-15)


def test_the_border_is_mirrored_and_the_authors_leave_out_its_corners():
    image = np.random.default_rng(0).random((5, 6))
    padded = np.pad(image, 1, "reflect")
    maps = torch.from_numpy(image)
    np.testing.assert_array_equal(with_border(maps, "corrected"), padded)
    padded[::6, ::7] = 0
    extended = with_border(maps, "authors")
    np.testing.assert_array_equal(extended, padded)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    np.testing.assert_allclose(window_sums(extended), windows.sum(axis=(-2, -1)), atol=1e-14)


def test_strips_do_not_show(monkeypatch):
    images = torch.rand(2, 3, 37, 29, dtype=torch.float64)
    weight = torch.rand(37, 29, dtype=torch.float64)
    whole = fuse_pyramids(*images, weight, 0.6, "authors")
    monkeypatch.setattr(pyramids, "STRIP_PIXELS", 100)
    assert torch.equal(fuse_pyramids(*images, weight, 0.6, "authors"), whole)


def test_details_that_match_are_averaged_and_the_stronger_are_chosen_elsewhere():
    image = torch.rand(16, 16, dtype=torch.float64)
    weight = torch.full_like(image, 0.25)
    similar = fuse_pyramids(image, 1.1 * image, weight, 0.6, "corrected")
    torch.testing.assert_close(similar, 1.075 * image, rtol=0, atol=1e-14)
    opposite = fuse_pyramids(image, -2 * image, weight, 0.6, "corrected")
    torch.testing.assert_close(opposite, -2 * image, rtol=0, atol=1e-14)


@pytest.mark.parametrize("pair", ["s64", "s61", pytest.param("08", marks=pytest.mark.slow)])
def test_given_the_authors_weights_the_image_is_theirs(pair, sources, published, authors_weights):
    first, second = (torch.from_numpy(image / 255) for image in sources(pair))
    weight = torch.from_numpy(authors_weights(pair))
    fused = 255 * fuse_pyramids(first, second, weight, 0.6, "authors").numpy()
    saved = np.floor(fused.clip(0, 255) + 0.5)
    np.testing.assert_array_equal(saved, published(pair))
