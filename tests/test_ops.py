"""Box averages and guided filters: compared with a direct computation, and in tiles."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, box_average, guided_filter, histograms

MAPS = 255 * torch.rand(2, 1, 1, 40, 30, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("r", [1, 2, 3, 7, 64])
def test_the_window_averages_the_pixels_inside_the_image(r):
    found = box_average(MAPS, r)
    for y, x in [(0, 0), (39, 29), (5, 0), (20, 15)]:
        window = MAPS[..., max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].double()
        torch.testing.assert_close(found[..., y, x], window.mean(dim=(-2, -1)).float())


@pytest.mark.parametrize("r", [1, 2, 3, 7, 29])
def test_beyond_the_border_the_window_may_see_the_image_mirrored(r):
    mirrored = torch.nn.functional.pad(MAPS.flatten(0, 1), (r, r, r, r), mode="reflect")
    inside = ..., slice(r, -r), slice(r, -r)
    expected = box_average(mirrored, r)[inside].view_as(MAPS)
    torch.testing.assert_close(box_average(MAPS, r, "reflect"), expected)


def test_a_mirrored_window_wider_than_the_image_is_refused():
    with pytest.raises(FusionlabError, match="larger than 30 pixels, got 30x40"):
        box_average(MAPS, 30, "reflect")


@pytest.mark.parametrize("r", [1, 4, 9])
def test_a_tile_gives_the_very_bits_of_the_whole_image(r):
    whole, tile = box_average(MAPS, r), box_average(MAPS[..., 3:37, 2:29], r)
    assert torch.equal(tile[..., r:-r, r:-r], whole[..., 3 + r : 37 - r, 2 + r : 29 - r])


def test_half_precision_is_averaged_in_single_precision():
    """2^16 and more, which float16 cannot hold, on the way to an average that it can."""
    found = box_average(torch.full((1, 9, 9), 60_000.0).half(), 4)
    assert torch.equal(found, torch.full((1, 9, 9), 60_000.0).half())


def test_a_guided_filter_without_edges_is_a_mean_and_keeps_its_guide():
    guide = MAPS.double() / 255
    kept = guided_filter(guide, guide, 4, 1e-12)
    torch.testing.assert_close(kept, guide, atol=1e-6, rtol=0)
    smoothed = guided_filter(guide, guide, 4, 1e12)
    torch.testing.assert_close(smoothed, box_average(box_average(guide, 4), 4))


def test_a_guided_filter_is_the_mean_of_the_lines_fitted_in_all_windows_of_a_pixel():
    guide, maps = MAPS[0, 0, 0, :9, :8].double() / 255, MAPS[1, 0, 0, :9, :8].double()
    total, count = torch.zeros(2, 9, 8, dtype=torch.float64)
    for y in range(9):
        for x in range(8):
            window = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
            g, m = guide[window], maps[window]
            slope = ((g - g.mean()) * (m - m.mean())).mean() / (g.var(correction=0) + 0.01)
            total[window] += m.mean() + slope * (g - g.mean())
            count[window] += 1
    torch.testing.assert_close(guided_filter(guide, maps, 2, 0.01), total / count)


def test_a_guided_filter_does_not_blur_across_an_edge_of_its_guide():
    guide = torch.zeros(20, 20)
    guide[:, 10:] = 1
    maps = 100 * guide
    torch.testing.assert_close(guided_filter(guide, maps, 5, 1e-4), maps, atol=0.05, rtol=0)
    assert (box_average(maps, 5) - maps).abs().max() > 40


def test_histograms_count_each_row():
    numbers = torch.from_numpy(np.random.default_rng(0).integers(0, 7, (3, 500)))
    found = histograms(numbers, 9)
    assert found.dtype == torch.int64
    for row, counts in zip(numbers, found, strict=True):
        assert counts.tolist() == np.bincount(row, minlength=9).tolist()
