"""Batches: drawn by (seed, iteration) alone, and shared among processes."""

import numpy as np
import pytest
import torch

from fusionlab.training.data.batches import Batches

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (6, 256, 256), dtype=np.uint8)


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order():
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 256, 256), np.uint8)
    batches = Batches(images, 2, 7)

    def shown(iterations):
        return [round(255 * x.item()) for i in iterations for x in batches(i, 64)[:, 0, 0, 0]]

    first, second = shown(range(5)), shown(range(5, 10))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_depends_on_seed_and_iteration_alone():
    batch = Batches(NOISE, 2, 1)(12, 100)
    assert batch.shape == (2, 1, 100, 100)
    assert batch.equal(Batches(NOISE, 2, 1)(12, 100))
    assert not batch.equal(Batches(NOISE, 2, 2)(12, 100))
    assert not batch.equal(Batches(NOISE, 2, 1)(13, 100))


def test_a_crop_of_the_full_size_is_the_image():
    batch = (Batches(NOISE[:2], 2, 0)(0, 256) * 255).round().byte().numpy()[:, 0]
    assert {image.tobytes() for image in batch} == {image.tobytes() for image in NOISE[:2]}


def test_flips_mirror_the_same_crops_in_all_four_ways():
    plain, mirrored = Batches(NOISE, 6, 3), Batches(NOISE, 6, 3, flips=True)
    seen = set()
    for iteration in range(10):
        for a, b in zip(plain(iteration, 32), mirrored(iteration, 32), strict=True):
            ways = {dims: a.flip(dims) for dims in ((), (1,), (2,), (1, 2))}
            (way,) = (dims for dims, image in ways.items() if torch.equal(image, b))
            seen.add(way)
    assert len(seen) == 4


@pytest.mark.parametrize("world", [2, 3, 6])
def test_processes_share_a_batch(world):
    batches = Batches(NOISE, 6, 5, flips=True)
    whole = batches(4, 48)
    shares = [batches(4, 48, rank, world) for rank in range(world)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)
