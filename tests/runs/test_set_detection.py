"""Which items of an image set are looked at to detect its task."""

from pathlib import Path

import numpy as np
import pytest

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage
from fusionlab.plugins.host import installed
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.runs.set_detection import detect_task_of_set

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("count", "looked_at"),
    [
        (1, [0]),
        (9, list(range(9))),
        (10, [0, 1, 2, 3, 4, 6, 7, 8, 9]),
        (101, [0, 12, 25, 38, 50, 62, 75, 88, 100]),
    ],
)
def test_up_to_nine_items_spread_over_the_set_are_looked_at(count, looked_at):
    items = [ImageSetItem(str(number), (Path(str(number)),) * 2) for number in range(count)]
    numbers = []

    def load(paths):
        numbers.append(int(paths[0].name))
        return [LoadedImage(path.name, PIXELS, "") for path in paths]

    detection = detect_task_of_set(items, load, ["full"], installed())
    assert numbers == looked_at
    assert (detection.votes, detection.images) == (len(looked_at), len(looked_at))


def test_if_all_nine_fail_another_item_that_does_not_tells_the_task():
    items = [ImageSetItem(str(number), (Path(str(number)),) * 2) for number in range(101)]
    numbers = []

    def load(paths):
        numbers.append(int(paths[0].name))
        if numbers[-1] not in (3, 4):
            raise FusionlabError("unreadable")
        return [LoadedImage(path.name, PIXELS, "") for path in paths]

    assert detect_task_of_set(items, load, ["full"], installed()).images == 1
    assert numbers[9:] == [1, 2, 3]


def test_items_with_a_problem_are_left_out_and_none_is_no_task():
    def load(_):
        raise FusionlabError("unreadable")

    items = [ImageSetItem("a", (), "a is missing"), ImageSetItem("b", (Path("b"),) * 2)]
    assert detect_task_of_set(items[:1], load, ["full"], installed()) is None
    assert detect_task_of_set(items, load, ["full"], installed()) is None
