"""Image sets to train strategies on: read once, cropped at random, the same way every time."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.training.data.samples import Sample, crop_batch, load_samples, sha256_of_samples


def samples(count):
    generator = torch.Generator().manual_seed(0)
    return [Sample(str(n), torch.rand(2, 1, 20, 24, generator=generator)) for n in range(count)]


def test_crops_are_a_function_of_seed_and_iteration():
    images = samples(7)
    kind = {"batch": 3, "size": 8, "seed": 4, "flips": True}
    first = [crop_batch(images, n, **kind) for n in range(6)]
    assert all(torch.equal(crop_batch(images, n, **kind), first[n]) for n in reversed(range(6)))
    assert first[0].shape == (2, 3, 1, 8, 8)
    assert not torch.equal(first[0], crop_batch(images, 0, **{**kind, "seed": 5}))


def test_an_epoch_shows_every_image_once_and_a_crop_shows_one_place_of_all_sources():
    """Each source holds its image's number, and the place as row and column."""
    place = torch.arange(20)[:, None] * 100.0 + torch.arange(24)
    images = [
        Sample(str(n), torch.stack([place + 1e4 * n, -(place + 1e4 * n)])[:, None])
        for n in range(6)
    ]
    seen = []
    for iteration in range(3):
        crops = crop_batch(images, iteration, batch=2, size=8, seed=0, flips=False)
        assert torch.equal(crops[0], -crops[1])
        assert torch.equal(crops.diff(dim=-1)[0], torch.ones(2, 1, 8, 7))
        assert torch.equal(crops.diff(dim=-2)[0], torch.full((2, 1, 7, 8), 100.0))
        seen += (crops[0, :, 0, 0, 0] // 1e4).tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]


def test_an_image_that_cannot_be_paired_is_named():
    with pytest.raises(FusionlabError, match="missing in b"):
        load_samples([ImageSetItem("x", (Path("a/x.png"),), "x is missing in b")])


def test_an_image_that_cannot_be_read_is_left_out_with_a_warning(tmp_path):
    paths = tuple(tmp_path / f"{letter}.png" for letter in "ab")
    for path in paths:
        iio.imwrite(path, np.full((3, 4), 51, np.uint8))
    (tmp_path / "c.png").write_bytes(b"nothing")
    bad = ImageSetItem("y", (paths[0], tmp_path / "c.png"), "")
    with pytest.warns(UserWarning, match="left out: cannot read .*c.png"):
        (sample,) = load_samples([ImageSetItem("x", paths, ""), bad])
    assert sample.stem == "x"


def test_sets_are_read_as_luminance(tmp_path):
    gray = np.full((3, 4), 51, np.uint8)
    iio.imwrite(tmp_path / "a.png", gray)
    iio.imwrite(tmp_path / "b.png", np.stack([gray] * 3, axis=2))
    (sample,) = load_samples([ImageSetItem("x", (tmp_path / "a.png", tmp_path / "b.png"), "")])
    torch.testing.assert_close(sample.sources, torch.full((2, 1, 3, 4), 0.2))


def test_the_digest_changes_with_names_and_pixels():
    first = samples(3)
    renamed = [Sample("x", sample.sources) for sample in first]
    changed = [Sample(sample.stem, sample.sources + 1) for sample in first]
    assert sha256_of_samples(first) == sha256_of_samples(samples(3))
    assert len({sha256_of_samples(version) for version in (first, renamed, changed)}) == 3
