"""Reading ahead: in order, never too far, and nothing left over."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fusionlab.runs.read_ahead import read_ahead


def test_results_come_in_order_and_failures_where_they_belong():
    def work(number):
        if number == 3:
            raise ValueError(number)
        return number**2

    with ThreadPoolExecutor(4) as pool:
        found = list(read_ahead(range(7), lambda number: pool.submit(work, number), 3))
    assert [item for item, _ in found] == list(range(7))
    assert isinstance(found[3][1].exception(), ValueError)
    assert [future.result() for item, future in found if item != 3] == [0, 1, 4, 16, 25, 36]


@pytest.mark.parametrize("depth", [1, 2, 5, 100])
def test_no_more_items_are_started_than_asked_for(depth):
    started = []

    def submit(number):
        started.append(number)
        return Future()

    for number, _ in read_ahead(range(20), submit, depth):
        assert len(started) <= number + depth
    assert started == list(range(20))


def test_the_depth_may_grow_and_shrink_as_it_goes():
    started, depth = [], [1]

    def submit(number):
        started.append(number)
        return Future()

    reads = read_ahead(range(20), submit, lambda: depth[0])
    counts = []
    for wanted in (1, 4, 4, 1, 1, 1):
        next(reads)
        depth[0] = wanted
        counts.append(len(started))
    assert counts == [1, 2, 6, 7, 8, 9]


def test_what_was_not_asked_for_is_canceled():
    futures = []

    def submit(_):
        futures.append(Future())
        return futures[-1]

    reads = read_ahead(range(9), submit, 4)
    next(reads)
    reads.close()
    assert [future.cancelled() for future in futures] == [False, True, True, True]


def test_nothing_starts_before_the_first_item_is_asked_for():
    read_ahead(range(3), lambda _: pytest.fail("started"), 3)
