"""What is said about one folder that is not an image set: what it holds, and what was meant."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from fusionlab.errors import PairingError
from fusionlab.runs.image_sets import pair_images

PSD = b"8BPS\0\1"


def refusal(*sources, **options):
    with pytest.raises(PairingError) as caught:
        pair_images(sources, **options)
    assert caught.value.code == "not-an-image-set"
    return caught.value


@pytest.mark.parametrize("content", [b"", PSD])
def test_the_only_folder_with_images_is_suggested_at_any_depth(put, content):
    put("set/x/y/images/1.png", "set/x/y/images/2.psd", content=content)
    put("set/notes.txt")
    assert refusal("set").suggestions == (("set/x/y/images",),)
    assert refusal("set/x").suggestions == (("set/x/y/images",),)


def test_what_was_selected_is_kept_in_the_suggestion(put):
    put("set/images/1.png")
    refused = refusal("set", pages="all")
    assert refused.suggestions == (("set/images",),)
    assert refused.options == {"pages": "all"}


def test_no_folder_of_several_is_suggested(put):
    put("set/left/1.png", "set/right/2.png")
    assert refusal("set").suggestions == ()


def test_a_folder_of_images_that_are_not_read_is_said_to_be_one(put):
    put("set/1.psd", content=PSD)
    assert "set/1.psd is a Photoshop image" in str(refusal("set"))


def test_a_folder_is_said_to_hold_files_of_several_sources(put):
    put("set/1.png", content=imagecodecs.png_encode(np.zeros((4, 4), np.uint8)))
    assert "pages" not in str(refusal("set"))
    tifffile.imwrite("set/2.tif", np.zeros((2, 4, 4), np.uint8), photometric="minisblack")
    assert "set/2.tif: it holds 2 pages of 4x4" in str(refusal("set"))
