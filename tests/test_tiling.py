"""The plan of tiles: every pixel once, no tile too large, the halo there."""

from hypothesis import given
from hypothesis import strategies as st

from fusionlab.tiling import PIXELS_AT_ONCE, default_edge, images_at_once, plan

MULTIPLES = st.sampled_from([1, 2, 8])


@given(
    units=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    multiple=MULTIPLES,
    edge=st.none() | st.integers(8, 64),
    halo=st.integers(0, 20),
)
def test_every_pixel_is_kept_once_and_sees_its_halo(units, multiple, edge, halo):
    height, width = (n * multiple for n in units)
    kept = [[0] * width for _ in range(height)]
    for tile in plan(height, width, edge, halo, multiple):
        top, left, bottom, right = tile.inner
        for row in kept[top:bottom]:
            row[left:right] = [n + 1 for n in row[left:right]]
        assert 0 < bottom - top <= (edge or height)
        assert 0 < right - left <= (edge or width)
        assert tile.outer.top <= max(0, top - halo)
        assert tile.outer.left <= max(0, left - halo)
        assert tile.outer.bottom >= min(height, bottom + halo)
        assert tile.outer.right >= min(width, right + halo)
        assert all(n % multiple == 0 for n in (*tile.inner, *tile.outer))
        assert tile.kept.slices[0].start == top - tile.outer.top
    assert {n for row in kept for n in row} == {1}


@given(k=st.integers(2, 400), size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_what_is_encoded_at_once_is_bounded(k, size):
    edge = default_edge(k)
    images = images_at_once(k, *size, edge)
    pixels = k * images * min(edge, size[0]) * min(edge, size[1])
    assert pixels <= max(PIXELS_AT_ONCE, k * 64**2)


def test_tiles_are_about_equal():
    """513 rows make two stretches of 256 and 257, never 512 and a sliver."""
    sizes = {tile.inner.bottom - tile.inner.top for tile in plan(513, 10, 512, 8)}
    assert sizes <= {256, 257}
