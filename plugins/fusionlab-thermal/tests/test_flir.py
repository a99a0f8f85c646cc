"""FLIR: files modeled on the documented layout, and four real ones where these are."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest

from fusionlab_thermal.flir import radiometric
from fusionlab_thermal.planck import KELVIN, Radiometry

REAL = Path(__file__).parents[4] / "shared" / "data" / "eval" / "thermal16"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the radiometric JPEGs are not here")


@pytest.mark.parametrize("png", ["", "right", "swapped"])
@pytest.mark.parametrize(("order", "directory"), [("<", ">"), ("<", "<"), (">", ">")])
def test_counts_come_back_whatever_their_byte_order_and_packing(made, png, order, directory):
    data = made.container(made.scene(), png=png, order=order, directory=directory)
    for content in (data, made.flir_jpeg(data)):
        np.testing.assert_array_equal(radiometric(content).counts(), made.scene())


def test_data_in_several_segments_are_joined(made):
    counts = made.scene(300, 250)  # 150,000 bytes: three segments
    content = made.flir_jpeg(made.container(counts))
    assert content.count(b"FLIR\0\1") == 3
    np.testing.assert_array_equal(radiometric(content).counts(), counts)


def test_the_constants_of_the_camera_come_back(made):
    found = radiometric(made.flir_file()).radiometry
    expected = Radiometry(**made.CAMERA)
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6), name  # single precision


def test_humidity_in_percent_is_the_same(made):
    percent = radiometric(made.flir_file(camera=made.CAMERA | {"humidity": 50.0}))
    assert percent.radiometry == radiometric(made.flir_file()).radiometry


@pytest.mark.parametrize("camera", [None, {}, {"r1": 1.0}])
def test_a_file_without_constants_has_counts_alone(made, camera):
    found = radiometric(made.flir_jpeg(made.container(made.scene(), camera=camera)))
    assert found.radiometry is None
    np.testing.assert_array_equal(found.counts(), made.scene())


def test_the_part_of_the_photo_by_hand(made):
    """1/1.25 of 128x96 is 102.4x76.8; a pixel of the thermal image is 1.6 of the photo."""
    found = radiometric(made.flir_file())
    left, top = (128 - 102.4) / 2 + 2 * 1.6, (96 - 76.8) / 2 - 1.6
    box = tuple(map(round, (left, top, left + 102.4, top + 76.8)))
    assert found.view.box(found.photo_size, (found.width, found.height)) == box


def test_an_image_like_others_is_not_radiometric(made):
    assert radiometric(made.jpeg(made.photo())) is None
    no_counts = made.container(made.scene()).replace(
        struct.pack(">HHI", 1, 2, 100), struct.pack(">HHI", 9, 2, 100)
    )
    assert radiometric(made.flir_jpeg(no_counts)) is None


def test_damaged_data_are_refused_at_every_cut(made):
    content = made.flir_file()
    for length in range(0, content.index(b"\xff\xdb"), 97):
        with contextlib.suppress(ValueError, struct.error):
            found = radiometric(content[:length] + content[-2:])
            assert found is None or found.counts().shape == (48, 64)


def test_counts_that_are_missing_are_said_to_be(made):
    data = made.container(made.scene(), camera=None).replace(
        struct.pack("<HHH", 2, 64, 48), struct.pack("<HHH", 2, 64, 4800)
    )
    with pytest.raises(ValueError, match="6144 bytes of counts, and 64x4800 pixels need 614400"):
        radiometric(data).counts()


FILES = {
    # name: size, counts, temperatures of flyr 5.1.0 (lowest, highest, mean), photo
    "Thermimage_IR_2412": ((640, 480), (17917, 20218), (22.735896, 35.250460, 28.258999), (0, 0)),
    "national_flir_example": (
        (240, 320), (12501, 20042), (25.948281, 62.320298, 29.118545), (480, 640),
    ),
    "national_ax8": ((80, 60), (16711, 16876), (24.359720, 25.469215, 25.030829), (640, 480)),
    "national_zenmuse_xtr": ((640, 512), (3051, 4630), None, (0, 0)),
}  # fmt: skip
each_file = pytest.mark.parametrize("name", FILES)


def open_real(name):
    return radiometric((REAL / "rjpeg" / f"{name}.jpg").read_bytes())


@real
@each_file
def test_the_counts_of_real_files_are_those_that_others_took_out_of_them(name):
    from PIL import Image

    size, extremes, _, photo = FILES[name]
    found = open_real(name)
    counts = found.counts()
    assert (found.width, found.height) == size
    assert (counts.min(), counts.max()) == extremes
    assert found.photo_size == photo
    stored = np.asarray(Image.open(REAL / "a" / f"{name}.png")).astype(np.uint16)
    swapped = photo != (0, 0)  # stored as found, with their bytes swapped
    np.testing.assert_array_equal(counts, stored.byteswap() if swapped else stored)
    if swapped:
        assert found.photo == (REAL / "b" / f"{name}.jpg").read_bytes()


class TwoPaths(Radiometry):
    """flyr divides the air into two layers of half the distance each; FLIR's formula has one."""

    def transmission(self):
        half = Radiometry(**vars(self) | {"distance": self.distance / 2})
        return half.transmission() ** 2


@real
@pytest.mark.parametrize("name", [name for name in FILES if FILES[name][2]])
def test_the_temperatures_of_real_files_are_those_of_flyr(name):
    found = open_real(name)
    theirs = TwoPaths(**vars(found.radiometry)).celsius(found.counts())
    values = theirs.min(), theirs.max(), theirs.mean()
    # 5e-5: constants of single precision, such as 293.15 K
    assert values == pytest.approx(FILES[name][2], abs=5e-5)
    ours = found.radiometry.celsius(found.counts())
    assert abs(ours - theirs).max() < 0.1  # what the second layer makes, at 1 m


@real
def test_a_temperature_of_the_zenmuse_by_hand():
    """No other program at hand reads it. Emissivity 0.7, 20 m, air of 32, surroundings of 22."""
    found = open_real("national_zenmuse_xtr")
    r = found.radiometry
    assert (r.emissivity, r.distance) == (pytest.approx(0.7), 20)
    tau = 0.9623182  # see the next lines
    root = np.sqrt(0.5 * np.exp(1.5587 + 0.06939 * 32 - 2.7816e-4 * 32**2 + 6.8455e-7 * 32**3))
    layers = [
        np.exp(-np.sqrt(20) * (a + b * root))
        for a, b in ((0.006569, -0.002276), (0.01262, -0.00667))
    ]
    assert 1.9 * layers[0] - 0.9 * layers[1] == pytest.approx(tau, abs=1e-6)

    def planck(kelvin):
        return 17096.453125 / (0.0480848 * (np.exp(1428 / kelvin) - 1)) + 370

    emitted = (4630 - 0.3 * tau * planck(295.15) - (1 - tau) * planck(305.15)) / (0.7 * tau)
    celsius = 1428 / np.log(17096.453125 / (0.0480848 * (emitted - 370)) + 1) - KELVIN
    assert r.celsius(np.array([4630]))[0] == pytest.approx(celsius, abs=1e-3)


@real
def test_a_container_of_its_own_is_read_too():
    found = radiometric((REAL / "raw" / "flirpy_frame_000000_le.fff").read_bytes())
    assert (found.width, found.height) == (320, 240)
    assert (found.counts().min(), found.counts().max()) == (17899, 19192)
