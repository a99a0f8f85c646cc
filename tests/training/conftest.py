"""Small folders and shards of images to train on."""

import io
import tarfile

import imageio.v3 as iio
import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture
def write_folder():
    return _write_folder


@pytest.fixture
def write_shard():
    return _write_shard


def _write_folder(folder, count=3, size=(256, 256)):
    folder.mkdir()
    for n in range(count):
        iio.imwrite(folder / f"{n}.png", RNG.integers(0, 256, size, dtype=np.uint8))
    return folder


def _write_shard(path, names):
    with tarfile.open(path, "w") as shard:
        for level, name in enumerate(names):
            content = iio.imwrite("<bytes>", np.full((256, 256), level, np.uint8), extension=".png")
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path
