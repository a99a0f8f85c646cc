"""Small images of a folder are fused at the same time, each by one thread."""

from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fusionlab import Fusion, Strategy
from fusionlab.engine.eager import Eager
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.folder_run import FolderRun
from fusionlab.runs.image_sets import find_image_set
from fusionlab.torch_defaults import torch_threads

RNG = np.random.default_rng(0)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Five pairs of different sizes in `ir` and `vis`, one of them damaged."""
    monkeypatch.chdir(tmp_path)
    for folder in ("ir", "vis"):
        Path(folder).mkdir()
        for number in range(5):
            pixels = RNG.integers(0, 256, (40 + number, 60), dtype=np.uint8)
            iio.imwrite(f"{folder}/{number}.png", pixels)
    Path("ir/2.png").write_bytes(Path("ir/2.png").read_bytes()[:-40])
    return [Path("ir"), Path("vis")]


def fuse(folders, fusion, output):
    run = FolderRun(FileFusion(fusion, installed()), Path(output))
    return [(one.stem, one.status) for one in run.run(find_image_set(folders))]


EXPECTED = [(str(number), "failed" if number == 2 else "fused") for number in range(5)]


@pytest.mark.parametrize("strategy", ["l1norm", "entropy_global", "l1norm,r=8"])
def test_images_and_their_order_are_those_of_one_thread(folders, strategy):
    fusion = Fusion("densefuse", strategy)
    for threads in (1, 3):
        with torch_threads(threads):
            assert fuse(folders, fusion, f"out{threads}") == EXPECTED
    for number in (0, 1, 3, 4):
        one, three = (Path(f"out{threads}/{number}.png") for threads in (1, 3))
        assert one.read_bytes() == three.read_bytes()


@dataclass(frozen=True)
class Together(Strategy):
    """Needs the whole image, and waits for another one."""

    barrier = Barrier(2)

    def fuse(self, features, scene):
        assert torch.get_num_threads() == 1
        self.barrier.wait(30)  # would break if images came one after the other
        return features.mean(0)


def test_images_are_fused_at_the_same_time(folders):
    with torch_threads(2):
        assert fuse(folders, Fusion("identity", Together()), "out") == EXPECTED
        assert torch.get_num_threads() == 2


MEGAPIXELS_12 = (3000, 4000)


@pytest.mark.parametrize(
    ("method", "size", "threads", "together"),
    [
        ("densefuse/l1norm", (480, 640), 8, 8),  # in tiles
        ("densefuse/l1norm", (30_000, 40_000), 8, 1),
        ("densefuse/l1norm,r=8", (480, 640), 8, 8),  # whole images are kept
        ("densefuse/l1norm,r=8", MEGAPIXELS_12, 8, 1),
        ("identity/majority", (480, 640), 1, 1),
    ],
)
def test_as_many_as_there_are_threads_if_memory_allows_it(method, size, threads, together):
    backbone, _, strategy = method.partition("/")
    with torch_threads(threads):
        assert Fusion(backbone, strategy).together(2, *size) == together


def test_strategies_of_whole_images_take_as_many_as_fit_into_memory():
    with torch_threads(64):
        count = Fusion("identity", Together()).together(2, 480, 640)
    assert 1 < count < 64


def test_where_tiles_are_not_parallel_images_are_not_either(monkeypatch):
    monkeypatch.setattr(Eager, "tiles_in_parallel", False)
    fusion = Fusion("identity", "mean")
    with torch_threads(4):
        assert fusion.together(2, 64, 64) == 1
