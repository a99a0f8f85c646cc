"""Thumbnails: size, channels, scale, and how much of a large source is looked at."""

import numpy as np
import pytest
import torch

from fusionlab.imaging.rows import OnDiskRows
from fusionlab.imaging.scale import parse_scales
from fusionlab.imaging.thumbnails import EDGE, thumbnails

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 1), (1, 1)), ((20, 31), (20, 31)), ((300, 512), (150, 256)), ((1, 3000), (1, 256))],
)
def test_the_longest_edge_is_at_most_256_pixels(shape, size):
    source = RNG.integers(0, 256, shape, dtype=np.uint8)
    (image,) = thumbnails([source, source])
    assert image.images.shape == (2, 3, *size)
    assert image.images.dtype == torch.float32
    assert max(size) <= EDGE


def test_gray_sources_have_three_equal_channels():
    gray = RNG.integers(0, 2**16, (40, 30), dtype=np.uint16)
    color = RNG.integers(0, 2**16, (40, 30, 3), dtype=np.uint16)
    (image,) = thumbnails([gray, color, np.stack([gray] * 3, axis=-1)])
    assert image.gray == (True, False, True)
    assert torch.equal(image.images[0], image.images[2])
    assert torch.equal(image.images[0, 0], image.images[0, 2])
    assert np.allclose(image.images[1], color.transpose(2, 0, 1) / 65535)


def test_tensors_and_arrays_give_the_same():
    arrays = [RNG.integers(0, 256, (600, 500, 3), dtype=np.uint8) for _ in "ab"]
    tensors = [torch.from_numpy(array).movedim(-1, 0) for array in arrays]
    assert torch.equal(thumbnails(arrays)[0].images, thumbnails(tensors)[0].images)


def test_a_batch_gives_an_item_for_each_image():
    batch = torch.rand(3, 3, 16, 12)
    items = thumbnails([batch, batch.mean(1, keepdim=True)])
    assert [item.gray for item in items] == [(False, True)] * 3
    assert torch.equal(items[2].images[0], batch[2])


def test_the_scale_is_applied():
    counts = np.array([[1000, 1100], [1200, 1300]], np.uint16)
    (image,) = thumbnails([counts, counts], parse_scales(["minmax", "1000,2000"]))
    assert image.images[:, 0, 1].tolist() == [
        pytest.approx([2 / 3, 1]),
        pytest.approx([0.2, 0.3]),
    ]


def test_of_large_sources_every_part_counts_the_same():
    ramp = np.tile(np.linspace(0, 255, 1500).astype(np.uint8), (3000, 1))
    (image,) = thumbnails([ramp, ramp.T[:, ::-1].T])
    assert image.images.shape[2:] == (256, 128)
    assert np.allclose(image.images[0, 0, 0], (np.arange(128) + 0.5) / 128, atol=0.01)


def test_rows_of_a_file_give_the_same_as_an_array():
    array = RNG.integers(0, 2**16, (1100, 1200), dtype=np.uint16)
    with OnDiskRows(array.shape, array.dtype) as rows:
        rows.append(array)
        (from_rows,) = thumbnails([rows, rows])
    (from_array,) = thumbnails([array, array])
    assert torch.equal(from_rows.images, from_array.images)
    assert from_rows.gray == (True, True)
