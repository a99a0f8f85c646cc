"""Box averages: compared with a direct computation, and in tiles."""

import pytest
import torch

from fusionlab import FusionlabError, box_average

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
