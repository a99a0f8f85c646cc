"""Stored values to what they mean: files made by pydicom, and those that it ships."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless

from fusionlab_dicom.images import NotAnImage, open_images

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4)


def frame(content, number=0):
    return open_images(content).frame(number)


def test_a_ct_is_in_hounsfield_units_and_has_its_first_window(made):
    found = frame(made.ct())
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels, made.hounsfield())
    assert found.unit == "HU"
    assert found.window == (-0.5, 79.5)  # 40 - 0.5 -+ (81 - 1) / 2, PS3.3, C.11.2.1.2.1


def test_an_mr_image_keeps_its_integers(made):
    found = frame(made.mr())
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, made.signal())
    assert (found.unit, found.bits, found.window) == ("", None, (0, 1600))
    assert frame(made.dicom(STORED, 12)).bits == 12  # without a window they are what is known


def test_signed_values_keep_their_sign(made):
    stored = (STORED.astype(np.int16) - 6) * 100
    found = frame(made.dicom(stored, 12))
    np.testing.assert_array_equal(found.pixels, stored)
    assert found.bits is None  # they have no black and white


def test_a_slope_is_applied_in_floats(made):
    found = frame(made.dicom(STORED, RescaleSlope=0.5, RescaleIntercept=-1, RescaleType="US"))
    np.testing.assert_array_equal(found.pixels, STORED / 2 - 1)
    assert (found.pixels.dtype, found.unit) == (np.float32, "")


def test_a_slope_of_one_leaves_integers(made):
    found = frame(made.dicom(STORED, RescaleSlope=1, RescaleIntercept=0))
    assert found.pixels.dtype == np.uint16


def test_a_table_of_the_modality_is_applied(made):
    table = Dataset()
    table.LUTDescriptor = [12, 0, 16]
    table.LUTData = (100 * np.arange(12)).astype("<u2").tobytes()
    table.ModalityLUTType = "HU"
    found = frame(made.dicom(STORED, ModalityLUTSequence=Sequence([table])))
    np.testing.assert_array_equal(found.pixels, 100 * STORED)
    assert found.unit == "HU"


@pytest.mark.parametrize("slope", [None, 2])
def test_monochrome1_is_inverted_and_so_is_its_window(made, slope):
    rescale = {"RescaleSlope": slope, "RescaleIntercept": 10} if slope else {}
    elements = {"WindowCenter": 100, "WindowWidth": 40, "VOILUTFunction": "LINEAR_EXACT", **rescale}
    usual = frame(made.dicom(STORED, 12, **elements))
    found = frame(made.dicom(STORED, 12, PhotometricInterpretation="MONOCHROME1", **elements))
    total = 2 * 10 + 2 * 4095 if slope else 4095  # of the values that lowest and highest become
    np.testing.assert_array_equal(found.pixels, total - usual.pixels.astype(float))
    assert found.window == (total - 120, total - 80)


def test_color_is_color(made):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(frame(made.dicom(rgb)).pixels, rgb)
    ybr = frame(made.dicom(np.full((5, 6, 3), 128, np.uint8), PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_array_equal(ybr.pixels, np.full((5, 6, 3), 128))


def test_frames_are_decoded_one_by_one(made):
    frames = np.stack([STORED, 2 * STORED, 3 * STORED])
    images = open_images(made.dicom(frames, NumberOfFrames=3))
    assert (images.width, images.height, images.count) == (4, 3, 3)
    for number in range(3):
        np.testing.assert_array_equal(images.frame(number).pixels, (number + 1) * STORED)


def test_what_differs_from_frame_to_frame_does(made):
    def groups(slope, center):
        rescale, window, group = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, 0, "HU"
        window.WindowCenter, window.WindowWidth, window.VOILUTFunction = center, 10, "LINEAR_EXACT"
        group.PixelValueTransformationSequence = Sequence([rescale])
        group.FrameVOILUTSequence = Sequence([window])
        return group

    images = open_images(
        made.dicom(
            np.stack([STORED, STORED]),
            NumberOfFrames=2,
            PerFrameFunctionalGroupsSequence=Sequence([groups(2, 50), groups(3, 70)]),
        )
    )
    for number, (slope, window) in enumerate([(2, (45, 55)), (3, (65, 75))]):
        found = images.frame(number)
        np.testing.assert_array_equal(found.pixels, slope * STORED)
        assert (found.unit, found.window) == ("HU", window)


def test_padding_is_no_data(made):
    assert frame(made.dicom(STORED)).valid is None
    assert frame(made.dicom(STORED, PixelPaddingValue=99)).valid is None
    one = frame(made.dicom(STORED, PixelPaddingValue=3))
    np.testing.assert_array_equal(one.valid, STORED != 3)
    several = frame(made.dicom(STORED, PixelPaddingValue=3, PixelPaddingRangeLimit=1))
    np.testing.assert_array_equal(several.valid, (STORED < 1) | (STORED > 3))


def test_a_window_that_has_no_black_and_white_is_not_used(made):
    for change in ({"VOILUTFunction": "SIGMOID"}, {"WindowWidth": 0}):
        assert frame(made.mr(**change)).window is None


def test_masks_of_one_bit_are_two_levels():
    path = get_testdata_file("liver_1frame.dcm")
    with Path(path).open("rb") as file:
        assert frame(file.read()).pixels.dtype == bool


def test_nothing_of_the_patient_is_read(made):
    """The elements are left out while the file is parsed: nothing later can pass them on."""
    images = open_images(made.ct())
    images.frame(0)
    assert made.PATIENT not in str(images._dataset)
    assert b"Nobody" in made.ct()


def test_a_warning_of_pydicom_cannot_quote_an_element(made):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame(made.ct().replace(b"Nobody^Nora ", b"No\xffody^Nora "))
    assert not caught


@pytest.mark.parametrize(
    "elements", [{"PhotometricInterpretation": "CMYK"}, {"PhotometricInterpretation": "HSV"}]
)
def test_other_colors_are_refused_by_name(made, elements):
    with pytest.raises(NotAnImage, match=elements["PhotometricInterpretation"]):
        frame(made.dicom(np.zeros((4, 4, 3), np.uint8), **elements))


def test_an_object_without_pixels_says_what_it_is():
    with (
        Path(get_testdata_file("rtplan.dcm")).open("rb") as file,
        pytest.raises(
            NotAnImage, match="no pixels, but a DICOM object of the class RT Plan Storage"
        ),
    ):
        open_images(file.read())


def test_a_compression_without_a_decoder_says_what_to_install(made, monkeypatch):
    from pydicom.pixels import get_decoder

    with Path(get_testdata_file("MR_small_jpeg_ls_lossless.dcm")).open("rb") as file:
        content = file.read()
    if get_decoder(JPEGLSLossless).is_available:
        assert frame(content).pixels.shape == (64, 64)
        monkeypatch.setattr(type(get_decoder(JPEGLSLossless)), "is_available", False)
    with pytest.raises(RuntimeError, match="JPEG-LS Lossless.*pip install python-gdcm"):
        frame(content)


SHIPPED = {
    # name: type, shape, lowest, highest, unit
    "CT_small.dcm": (np.float32, (128, 128), -896, 1167, "HU"),
    "MR_small.dcm": (np.int16, (64, 64), 127, 2145, ""),
    "MR_small_RLE.dcm": (np.int16, (64, 64), 127, 2145, ""),
    "MR_small_bigendian.dcm": (">i2", (64, 64), 127, 2145, ""),
    "MR_small_implicit.dcm": (np.int16, (64, 64), 127, 2145, ""),
    "SC_rgb_rle_16bit_2frame.dcm": (np.uint16, (100, 100, 3), 0, 65535, ""),
    "SC_rgb_jpeg_dcmtk.dcm": (np.uint8, (100, 100, 3), 0, 255, ""),
    "examples_palette.dcm": (np.uint16, (350, 800, 3), 0, 65280, ""),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_files_that_pydicom_ships_are_read(name):
    with Path(get_testdata_file(name)).open("rb") as file:
        content = file.read()
    found = frame(content)
    dtype, shape, lowest, highest, unit = SHIPPED[name]
    assert (found.pixels.dtype, found.pixels.shape) == (dtype, shape)
    assert (found.pixels.min(), found.pixels.max(), found.unit) == (lowest, highest, unit)


def test_the_hounsfield_units_are_those_of_pydicom():
    path = get_testdata_file("CT_small.dcm")
    dataset = pydicom.dcmread(path)
    with Path(path).open("rb") as file:
        ours = frame(file.read()).pixels
    expected = pydicom.pixels.apply_modality_lut(dataset.pixel_array, dataset)
    np.testing.assert_array_equal(ours, expected)


def test_files_that_are_cut_off_are_refused(made):
    content = made.ct()
    for length in range(140, len(content), len(content) // 10):
        with pytest.raises(Exception, match=r"."):
            frame(content[:length])


def test_a_file_without_preamble_is_read(made):
    bare = made.ct()[132:]
    np.testing.assert_array_equal(frame(bare).pixels, made.hounsfield())
