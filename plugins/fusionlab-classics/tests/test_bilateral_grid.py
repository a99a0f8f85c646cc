"""The fast bilateral filter against a grid in numpy and scipy, and in tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from fusionlab_classics.common.bilateral_grid import fast_bilateral


def random_image(height, width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 0.9, (height, width)))


def reference(image, sigma, range_sigma, *, authors):
    """Return the filtered image, by loops over pixels and cells."""
    lowest = image.min() if authors else 0.0
    axes = [
        np.arange(image.shape[0])[:, None] / sigma + 0 * image,
        np.arange(image.shape[1]) / sigma + 0 * image,
        (image - lowest) / range_sigma,
    ]
    cells = 5 if authors else 9
    grids = np.zeros((2, *[int(axis.max()) + cells for axis in axes]))
    for place in np.ndindex(image.shape):
        cell = tuple(int(axis[place] + 0.5) + 2 for axis in axes)
        grids[(0, *cell)] += image[place]
        grids[(1, *cell)] += 1
    for axis in (1, 2, 3):
        for _ in range(2):
            grids = np.moveaxis(grids, axis, 0)
            blurred = np.zeros_like(grids)
            blurred[1:-1] = (grids[:-2] + 2 * grids[1:-1] + grids[2:]) / 4
            grids = np.moveaxis(blurred, 0, axis)
    gray, count = (map_coordinates(grid, [axis + 2 for axis in axes], order=1) for grid in grids)
    return gray / count


@pytest.mark.parametrize("authors", [False, True])
@pytest.mark.parametrize("shape", [(12, 15), (1, 1), (3, 8)])
@pytest.mark.parametrize("sigma", [2, 4])
def test_a_grid_in_numpy_agrees(sigma, shape, authors):
    image = random_image(*shape)
    filtered = fast_bilateral(image, sigma, 0.05, authors=authors)
    expected = reference(image.numpy(), sigma, 0.05, authors=authors)
    np.testing.assert_allclose(filtered, expected, rtol=0, atol=1e-12)


def test_an_edge_far_higher_than_a_cell_stays():
    image = torch.zeros(8, 20, dtype=torch.float64)
    image[:, 10:] = 1
    torch.testing.assert_close(fast_bilateral(image, 4, 0.05), image)


@given(st.integers(0, 99), st.integers(-3, 3), st.floats(-0.1, 0.1))
@settings(max_examples=10, deadline=None)
def test_brighter_images_give_brighter_results(seed, cells, offset):
    """By whole cells, or by anything where the grid starts at the darkest gray level."""
    image = random_image(9, 11, seed)
    step = 0.125 * cells
    torch.testing.assert_close(
        fast_bilateral(image + step, 2, 0.125), fast_bilateral(image, 2, 0.125) + step
    )
    torch.testing.assert_close(
        fast_bilateral(image + offset, 2, 0.125, authors=True),
        fast_bilateral(image, 2, 0.125, authors=True) + offset,
    )


@pytest.mark.parametrize("sigma", [2, 4, 8])
def test_a_pixel_depends_on_no_other_more_than_three_and_a_half_cells_away(sigma):
    image, halo = random_image(40, 90), 7 * sigma // 2
    whole = fast_bilateral(image, sigma, 0.05)
    for top, left in ((0, 0), (3, 32), (17, 41)):
        first, start = max(0, top - halo), max(0, left - halo)
        tile = image[first : top + 5 + halo, start : left + 6 + halo]
        filtered = fast_bilateral(tile, sigma, 0.05, start=(first, start))
        inner = filtered[top - first :, left - start :][:5, :6]
        torch.testing.assert_close(inner, whole[top : top + 5, left : left + 6])
