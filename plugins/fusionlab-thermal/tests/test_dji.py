"""DJI: files modeled on the layout that is described; none of a camera was at hand."""

import numpy as np
import pytest

from fusionlab_thermal.dji import counts


def test_the_counts_come_back(made):
    scene = made.scene(640, 512)
    content = made.dji_jpeg(scene)
    assert content.count(b"\xff\xe3\xff\xfe") == 10  # ten segments of 65532 bytes, and one of 40
    found = counts(content, (640, 512))
    assert (found.width, found.height) == (640, 512)
    np.testing.assert_array_equal(found.decode(), scene)


def test_an_image_that_the_camera_enlarged_has_the_counts_of_the_sensor(made):
    scene = made.scene(640, 512)
    found = counts(made.dji_jpeg(scene, size=(1280, 1024)), (1280, 1024))
    np.testing.assert_array_equal(found.decode(), scene)


def test_an_image_without_such_segments_is_not_radiometric(made):
    assert counts(made.jpeg(made.photo()), (128, 96)) is None


def test_counts_of_another_number_are_refused(made):
    with pytest.raises(ValueError, match="6144 bytes of counts, which are neither those of 65x48"):
        counts(made.dji_jpeg(made.scene()), (65, 48))
