"""Hold out every tenth image."""

import pytest

from fusionlab import FusionlabError
from fusionlab.training.data.hold_out import hold_out


@pytest.mark.parametrize(
    ("count", "held_out"), [(2, 1), (10, 1), (11, 2), (50, 5), (5000, 500), (25_000, 1000)]
)
def test_every_tenth_image_is_held_out_and_a_thousand_at_most(count, held_out):
    items = list(range(count))
    training, validation = hold_out(items)
    assert len(validation) == held_out
    assert sorted(training + validation) == items


@pytest.mark.parametrize(("count", "held_out"), [(25, [9, 19]), (10, [9]), (3, [2]), (2, [1])])
def test_the_first_one_may_come_later_and_at_least_one_is_held_out(count, held_out):
    training, validation = hold_out(list(range(count)), first=9)
    assert validation == held_out
    assert sorted(training + validation) == list(range(count))


def test_one_image_cannot_be_split():
    with pytest.raises(FusionlabError) as caught:
        hold_out(["x.png"])
    assert caught.value.code == "too-few-images"
