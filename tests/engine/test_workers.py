"""Tiles are computed at the same time, each on one thread."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Event, get_ident

import numpy as np
import pytest
import torch

from fusionlab import Fusion, Strategy, WeightedStrategy
from fusionlab.engine.workers import AHEAD, ALONE, workers
from fusionlab.torch_defaults import one_thread_each, torch_threads

RNG = np.random.default_rng(5)
IMAGES = [RNG.integers(0, 256, (150, 190), np.uint8) for _ in range(2)]
COLORS = [RNG.integers(0, 256, (150, 190, 3), np.uint8) for _ in range(2)]


@pytest.fixture
def three_threads():
    with torch_threads(3):
        yield


def test_results_come_in_order(three_threads):
    first_may_end = Event()

    def compute(number):
        if number == 0:
            assert first_may_end.wait(10)
        if number == 1:
            first_may_end.set()
        return number * 10

    with workers(in_parallel=True) as three:
        assert list(three.map(compute, range(20))) == [*range(0, 200, 10)]


def test_few_results_wait(three_threads):
    taken = []

    def things():
        for number in range(100):
            taken.append(number)
            yield number

    with workers(in_parallel=True) as three:
        results = three.map(lambda number: number, things())
        assert next(results) == 0
        assert len(taken) <= AHEAD * 3
        results.close()


def test_an_error_comes_after_the_results_before_it(three_threads):
    def compute(number):
        if number == 2:
            raise KeyError(number)
        return number

    with workers(in_parallel=True) as three:
        results = three.map(compute, range(50))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(KeyError, match="2"):
            next(results)


def test_each_computes_on_one_thread_without_gradients(three_threads):
    def state(_):
        return torch.get_num_threads(), torch.is_grad_enabled(), get_ident()

    with workers(in_parallel=True) as three:
        states = list(three.map(state, range(9)))
        assert torch.get_num_threads() == 1
    assert {state[:2] for state in states} == {(1, False)}
    assert get_ident() not in {state[2] for state in states}
    assert torch.get_num_threads() == 3


def test_one_thread_needs_no_workers():
    with torch_threads(1), workers(in_parallel=True) as one:
        assert one is ALONE
        assert list(one.map(str, range(3))) == ["0", "1", "2"]


def test_the_host_keeps_its_threads_where_tiles_are_not_parallel(three_threads):
    with workers(in_parallel=False) as none:
        assert none is ALONE
        assert torch.get_num_threads() == 3


def test_blocks_of_several_threads_leave_the_number_of_the_host(three_threads):
    """A thread takes over the number that another has set, also in the middle of its block."""
    inside, leave = Barrier(4), Barrier(4)

    def block(_):
        with one_thread_each() as count:
            inside.wait(10)
            leave.wait(10)
            return count

    with ThreadPoolExecutor(3) as pool:
        counts = [pool.submit(block, number) for number in range(3)]
        inside.wait(10)
        leave.wait(10)
        assert [count.result() for count in counts] == [3, 3, 3]
        assert pool.submit(torch.get_num_threads).result() == 3
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 3


def test_a_block_in_a_block_has_one_thread(three_threads):
    with one_thread_each() as outer, one_thread_each() as inner:
        assert (outer, inner) == (3, 1)
    assert torch.get_num_threads() == 3


@dataclass(frozen=True)
class Together(WeightedStrategy):
    """Waits until two tiles are merged at the same time."""

    support = 0
    barrier = Barrier(2)

    def weights(self, features, scene):
        self.barrier.wait(30)  # would break if tiles came one after the other
        return torch.full_like(features[:, :, :1], 1 / len(features))


def test_tiles_are_computed_at_the_same_time():
    with torch_threads(2):
        fusion = Fusion("identity", Together(), tile=75)
        assert fusion(IMAGES).shape == IMAGES[0].shape  # 2 x 3 tiles, two at a time


@dataclass(frozen=True)
class Numbers(Strategy):
    """Notes on how many threads it computes."""

    support = 0
    seen = []  # noqa: RUF012  # shared by all

    def fuse(self, features, scene):
        self.seen.append((torch.get_num_threads(), get_ident()))
        return features.mean(0)


def test_operations_compute_on_one_thread(three_threads):
    Numbers.seen.clear()
    for _ in range(5):  # threads are new each time
        Fusion("identity", Numbers(), tile=64)(IMAGES)
    assert {threads for threads, _ in Numbers.seen} == {1}
    assert len({ident for _, ident in Numbers.seen}) > 1
    assert torch.get_num_threads() == 3


def test_gradients_are_computed_by_the_caller(three_threads):
    Numbers.seen.clear()
    sources = torch.rand(2, 1, 1, 150, 190, requires_grad=True)
    fused = Fusion("identity", Numbers(), tile=64, range_policy=None)([*sources])
    fused.sum().backward()
    assert sources.grad is not None
    assert {*Numbers.seen} == {(3, get_ident())}


@pytest.mark.parametrize(
    "method",
    [
        "densefuse/l1norm,r=1",
        "densefuse/entropy_global",  # two passes
        "densefuse/l1norm,r=20",  # keeps features
        "nestfuse/nestfuse",  # levels
        "identity/majority",  # may need the whole image
    ],
)
@pytest.mark.parametrize("images", [IMAGES, COLORS], ids=["gray", "color"])
def test_the_number_of_threads_changes_no_bit(method, images):
    backbone, _, strategy = method.partition("/")
    fusion = Fusion(backbone, strategy, range_policy=None, tile=64)
    results = []
    for count in (1, 2, 5):
        with torch_threads(count):
            results.append(fusion(images))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_the_number_of_threads_changes_no_bit_where_pixels_are_no_data():
    holes = [np.where(RNG.random((150, 190)) < 0.1, np.nan, image / 255) for image in IMAGES]
    fusion = Fusion("densefuse", "l1norm,r=1", range_policy=None, tile=64)
    with torch_threads(1):
        one = fusion(holes)
    with torch_threads(4):
        four = fusion(holes)
    np.testing.assert_array_equal(four, one)
