"""Image sets as frames."""

import imageio.v3 as iio
import numpy as np
from frames import numbers_of

from fusionlab.runs.image_sets import pair_images
from fusionlab.sequences.items import Items


def test_the_stems_of_an_image_set_in_natural_order_are_the_frames(tmp_path):
    for number in range(11):
        for source in "ab":
            if (source, number) != ("b", 4):
                (tmp_path / source).mkdir(exist_ok=True)
                iio.imwrite(tmp_path / source / f"{number}.png", np.full((4, 5), number, np.uint8))
    (tmp_path / "a" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    frames = Items(pair_images(tmp_path), rate=25)
    sets = list(frames.sets())
    assert [each.name for each in sets] == [str(number) for number in range(11)]
    assert {each.number: each.problem.code for each in sets if each.problem} == {
        4: "incomplete-item",
        7: "unreadable",
    }
    assert [numbers_of(each) for each in frames.sets(8)] == [[n, n] for n in (8, 9, 10)]
    assert float(sets[10].time) == 0.4
    assert (frames.count, frames.rate) == (11, 25)
    before = frames.identity
    iio.imwrite(tmp_path / "b" / "4.png", np.full((4, 5), 9, np.uint8))
    assert Items(pair_images(tmp_path), rate=25).identity != before
