"""The plan of tiles: every pixel once, no tile too large, the margins there."""

from hypothesis import given
from hypothesis import strategies as st

from fusionlab.engine.tiling import SMALLEST_EDGE, Tile, images_at_once, plan, tile_edge

MULTIPLES = st.sampled_from([1, 2, 8])


@given(
    units=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    multiple=MULTIPLES,
    edge=st.none() | st.integers(8, 64),
    margins=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_every_pixel_is_kept_once_and_sees_its_margins(units, multiple, edge, margins):
    """What each stage leaves contains what the next one needs; at borders nothing is cut off."""
    height, width = (n * multiple for n in units)
    margins = tuple(margin * multiple for margin in margins)
    kept = [[0] * width for _ in range(height)]
    for tile in (tile for row in plan(height, width, edge, margins, multiple) for tile in row):
        top, left, bottom, right = tile.inner
        for row in kept[top:bottom]:
            row[left:right] = [n + 1 for n in row[left:right]]
        assert 0 < bottom - top <= (edge or height)
        assert 0 < right - left <= (edge or width)
        assert tile.borders == tuple(
            a == b for a, b in zip(tile.outer, (0, 0, height, width), strict=True)
        )
        stages = (tile.outer, tile.encoded, tile.merged, tile.decoded)
        for box, smaller, margin in zip(stages[:-1], stages[1:], margins, strict=True):
            for before, after, border in zip(box, smaller, tile.borders, strict=True):
                assert abs(before - after) == (0 if border or edge is None else margin)
        inside = tile.inner.within(tile.decoded)
        assert min(inside) >= 0
        assert inside.bottom <= tile.decoded.bottom - tile.decoded.top
        assert all(n % multiple == 0 for box in (*stages, tile.inner) for n in box)
    assert {n for row in kept for n in row} == {1}


@given(k=st.integers(1, 400), pixels=st.integers(2**15, 2**24), support=st.integers(0, 64))
def test_tiles_have_as_many_pixels_as_suit_the_engine_but_are_never_tiny(k, pixels, support):
    edge = tile_edge(k, pixels, support)
    assert edge >= max(SMALLEST_EDGE, 4 * support)
    assert k * edge**2 <= max(pixels, k * SMALLEST_EDGE**2, k * (4 * support) ** 2)
    assert images_at_once(k, edge, edge, pixels) * k * edge**2 <= max(pixels, k * edge**2)


def test_a_box_is_told_in_the_coordinates_of_another():
    tile = plan(100, 100, 50, (4, 2, 4))[1][1]
    assert tile.outer == (40, 40, 100, 100)
    assert tile.inner.within(tile.encoded) == (6, 6, 56, 56)
    assert tile.inner.divided(2) == (25, 25, 50, 50)
    assert Tile.whole(3, 4).decoded == (0, 0, 3, 4)


def test_tiles_are_about_equal():
    """513 rows make two stretches of 256 and 257, never 512 and a sliver."""
    sizes = {row[0].inner.bottom - row[0].inner.top for row in plan(513, 10, 512)}
    assert sizes <= {256, 257}
