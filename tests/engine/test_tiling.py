"""The tile plan: every pixel once, no tile too large, halos complete."""

from hypothesis import given
from hypothesis import strategies as st

from fusionlab.engine.tiling import (
    SMALL_HALO,
    SMALLEST_EDGE,
    Tile,
    images_at_once,
    plan,
    tile_edge,
)

DIVISORS = st.sampled_from([1, 2, 8])


@given(
    units=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    divisor=DIVISORS,
    edge=st.none() | st.integers(8, 64),
    halos=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_every_pixel_is_yielded_once_and_has_its_halos(units, divisor, edge, halos):
    """The output of each stage contains what the next one needs; borders are not cropped."""
    height, width = (n * divisor for n in units)
    halos = tuple(halo * divisor for halo in halos)
    counts = [[0] * width for _ in range(height)]
    for tile in (tile for row in plan(height, width, edge, halos, divisor) for tile in row):
        top, left, bottom, right = tile.inner
        for row in counts[top:bottom]:
            row[left:right] = [n + 1 for n in row[left:right]]
        assert 0 < bottom - top <= (edge or height)
        assert 0 < right - left <= (edge or width)
        assert tile.borders == tuple(
            a == b for a, b in zip(tile.outer, (0, 0, height, width), strict=True)
        )
        stages = (tile.outer, tile.encoded, tile.merged, tile.decoded)
        for box, smaller, halo in zip(stages[:-1], stages[1:], halos, strict=True):
            for before, after, border in zip(box, smaller, tile.borders, strict=True):
                assert abs(before - after) == (0 if border or edge is None else halo)
        inside = tile.inner.within(tile.decoded)
        assert min(inside) >= 0
        assert inside.bottom <= tile.decoded.bottom - tile.decoded.top
        assert all(n % divisor == 0 for box in (*stages, tile.inner) for n in box)
    assert {n for row in counts for n in row} == {1}


@given(
    k=st.integers(1, 400),
    pixels=st.integers(2**15, 2**24),
    strategy_halo=st.integers(0, 64),
    backbone_halo=st.integers(0, 128),
)
def test_tiles_have_as_many_pixels_as_suit_the_engine_and_are_mostly_not_halo(
    k, pixels, strategy_halo, backbone_halo
):
    edge = tile_edge(k, pixels, strategy_halo, backbone_halo)
    needed = 4 * strategy_halo + (6 * backbone_halo if backbone_halo > SMALL_HALO else 0)
    assert edge >= max(SMALLEST_EDGE, needed)
    assert k * edge**2 <= max(pixels, k * SMALLEST_EDGE**2, k * needed**2)
    assert images_at_once(k, edge, edge, pixels) * k * edge**2 <= max(pixels, k * edge**2)
    encoded = (edge + 2 * (strategy_halo + backbone_halo)) ** 2 / edge**2
    # small backbone halos come on top of what the strategy's halos enlarge the tile to
    small = (1.5 + 2 * SMALL_HALO / SMALLEST_EDGE) ** 2
    assert encoded <= (1.5**2 if backbone_halo > SMALL_HALO else small)


def test_a_box_is_expressed_in_the_coordinates_of_another():
    tile = plan(100, 100, 50, (4, 2, 4))[1][1]
    assert tile.outer == (40, 40, 100, 100)
    assert tile.inner.within(tile.encoded) == (6, 6, 56, 56)
    assert tile.inner.divided(2) == (25, 25, 50, 50)
    assert Tile.whole(3, 4).decoded == (0, 0, 3, 4)


def test_tiles_are_about_equal():
    """513 rows make two intervals of 256 and 257, never 512 and 1."""
    sizes = {row[0].inner.bottom - row[0].inner.top for row in plan(513, 10, 512)}
    assert sizes <= {256, 257}
