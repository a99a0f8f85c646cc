"""DICOM files as fusionlab opens them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from fusionlab.imaging.decoding import UnsupportedImage
from fusionlab_dicom import fusionlab_readers
from fusionlab_dicom.reader import open_dicom

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)


def any_size(width, height):
    """Stand in for the limit on the number of pixels."""


def test_frames_are_pages(made):
    content = made.dicom(np.stack([STORED, 2 * STORED]), NumberOfFrames=2)
    contents = open_dicom(content, any_size)
    assert [(p.name, p.width, p.height, p.channels) for p in contents.pages] == [
        ("1", 4, 3, ("gray",)),
        ("2", 4, 3, ("gray",)),
    ]
    np.testing.assert_array_equal(contents.decode(1).pixels, 2 * STORED)


def test_a_ct_has_a_unit_and_a_window(made):
    decoded = open_dicom(made.ct(), any_size).decode(0)
    assert (decoded.unit, decoded.window) == ("HU", (-0.5, 79.5))


def test_padding_is_no_data(made):
    decoded = open_dicom(made.dicom(STORED, PixelPaddingValue=3), any_size).decode(0)
    np.testing.assert_array_equal(decoded.normalized().valid, STORED != 3)


def test_color_has_three_channels(made):
    (page,) = open_dicom(made.dicom(np.zeros((3, 4, 3), np.uint8)), any_size).pages
    assert page.channels == ("red", "green", "blue")


def test_too_many_pixels_are_refused_before_they_are_decoded(made):
    class TooManyError(Exception):
        pass

    def refuse(width, height):
        assert (width, height) == (4, 3)
        raise TooManyError

    with pytest.raises(TooManyError):
        open_dicom(made.dicom(STORED), refuse)


def test_objects_without_pixels_are_unsupported_rather_than_damaged():
    with Path(get_testdata_file("rtplan.dcm")).open("rb") as file, pytest.raises(UnsupportedImage):
        open_dicom(file.read(), any_size)


def test_files_are_recognized_by_their_letters_and_without_a_preamble_by_their_suffix(made):
    dicom, bare = fusionlab_readers()
    content = made.ct()
    assert dicom.recognizes(content, ".png")
    assert not dicom.recognizes(content[132:], ".dcm")
    assert bare.recognizes(content[132:], ".dcm")
    assert not bare.recognizes(content[132:], ".png")
    assert dicom.load() is bare.load() is open_dicom


def test_a_compressed_frame_that_lacks_a_part_is_refused(made):
    pixels = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    whole = file.getvalue()
    scan = whole.index(b"\xff\xda")
    half = whole[: scan + (len(whole) - scan) // 2] + b"\xff\xd9"

    def dicom(frame):
        dataset = dcmread(io.BytesIO(made.dicom(pixels, 8)))
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        file = io.BytesIO()
        dataset.save_as(file)
        return open_dicom(file.getvalue(), any_size)

    assert dicom(whole).decode(0).pixels.shape == pixels.shape
    with pytest.raises(ValueError, match="incomplete"):
        dicom(half).decode(0)
