"""Rows in a temporary file: what was appended, and nothing left on the disk."""

import gc
import os
import resource
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.imaging import rows as module
from fusionlab.imaging.rows import OnDiskRows, Rows, bands

SHAPES = [(37, 45), (37, 45, 3), (1, 1)]


def random_pixels(dtype=np.uint16, shape=(37, 45), seed=0):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def spooled(pixels, step=5):
    """Append an image a few rows at a time."""
    rows = OnDiskRows(pixels.shape, pixels.dtype)
    for top in range(0, len(pixels), step):
        rows.append(pixels[top : top + step])
    return rows


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder of our own for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", ">u2"])
def test_what_is_appended_is_read_back_by_slices_as_often_as_asked(dtype, shape):
    pixels = random_pixels(dtype, shape, seed=1)
    with spooled(pixels) as rows:
        assert (rows.shape, rows.ndim, len(rows)) == (pixels.shape, pixels.ndim, len(pixels))
        for part in (slice(0, 7), slice(3, 11), slice(30, 99), slice(-3, None), slice(9, 2)):
            found = rows[part]
            assert found.dtype == rows.dtype == pixels.dtype.newbyteorder("=")
            assert np.array_equal(found, pixels[part])
            assert found.shape == pixels[part].shape
        assert np.array_equal(np.asarray(rows), pixels)
        assert np.array_equal(rows[:], pixels)


def test_an_array_is_rows_too():
    def height(pixels: Rows) -> int:
        return len(pixels[2:5])

    assert height(random_pixels()) == height(spooled(random_pixels())) == 3


def test_rows_may_be_read_while_others_are_still_to_come():
    pixels = random_pixels(seed=2)
    rows = OnDiskRows(pixels.shape, pixels.dtype)
    rows.append(pixels[:10])
    assert np.array_equal(rows[4:10], pixels[4:10])
    with pytest.raises(ValueError, match="rows 4 to 11 requested, only 10 appended"):
        rows[4:11]
    rows.append(pixels[10:])
    assert np.array_equal(rows[4:11], pixels[4:11])


def test_views_are_kept_as_they_look_and_values_take_the_type_of_the_rows():
    pixels = random_pixels(np.uint8, (20, 30, 3), seed=3)
    rows = OnDiskRows((20, 15, 3), np.float32)
    rows.append(pixels[::-1, ::2])
    assert rows[:].dtype == np.float32
    assert np.array_equal(rows, pixels[::-1, ::2])


def test_what_was_read_may_be_changed_without_changing_the_rows():
    pixels = random_pixels(seed=4)
    rows = spooled(pixels)
    rows[:5][:] = 0
    assert np.array_equal(rows, pixels)


@pytest.mark.parametrize("wrong", [(3, 44), (38, 45), (3, 45, 3), (45,)])
def test_rows_that_do_not_fit_are_refused(wrong):
    rows = OnDiskRows((37, 45), np.uint8)
    with pytest.raises(ValueError, match="do not fit below 0 of"):
        rows.append(np.zeros(wrong, np.uint8))
    assert rows.filled == 0


def test_only_slices_of_neighboring_rows_are_given():
    with pytest.raises(ValueError, match="step of 1, got 2"):
        spooled(random_pixels())[::2]


def test_an_array_without_a_copy_is_refused_as_numpy_wants_it():
    rows = spooled(random_pixels(seed=5))
    with pytest.raises(ValueError, match="without a copy"):
        rows.__array__(copy=False)  # what `np.array(rows, copy=False)` calls from NumPy 2 on
    assert np.array(rows, dtype=np.float64).dtype == np.float64


def test_many_threads_read_at_once():
    pixels = random_pixels(np.uint32, (400, 50), seed=6)
    rows = spooled(pixels)
    start = threading.Barrier(8)

    def wrong(number):
        start.wait()
        tops = np.random.default_rng(number).integers(0, 390, 200)
        return sum(not np.array_equal(rows[t : t + 10], pixels[t : t + 10]) for t in tops)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(8))) == 0


# ---------------------------------------------------------------- going through once


@pytest.mark.parametrize("multiple", [1, 4])
def test_bands_cover_an_image_once_from_the_top(monkeypatch, multiple):
    pixels = random_pixels(np.uint16, (37, 45, 3), seed=7)
    monkeypatch.setattr(module, "BAND_BYTES", 10 * 45 * 3 * 2)
    for rows in (pixels, spooled(pixels)):
        found = list(bands(rows, multiple))
        assert np.array_equal(np.concatenate(found), pixels)
        assert {len(band) for band in found[:-1]} == {10 // multiple * multiple}


def test_a_band_is_never_less_than_what_belongs_together(monkeypatch):
    monkeypatch.setattr(module, "BAND_BYTES", 1)
    assert [len(band) for band in bands(random_pixels(), 16)] == [16, 16, 5]


# ---------------------------------------------------------------- the file


def test_the_file_has_no_name_and_is_closed_with_the_rows(temporary):
    rows = spooled(random_pixels(seed=8))
    assert list(temporary.iterdir()) == []
    file = rows._file
    assert not file.closed
    del rows
    gc.collect()
    assert file.closed
    with spooled(random_pixels(seed=8)) as rows:
        file = rows._file
    assert file.closed


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path, python):
    code = (
        "import numpy, os, signal\n"
        "from fusionlab.imaging.rows import OnDiskRows\n"
        "rows = OnDiskRows((1000, 1000), numpy.uint8)\n"
        "rows.append(numpy.ones((1000, 1000), numpy.uint8))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([python, "-c", code], env=environment, check=False)
    assert done.returncode == -9
    assert list(tmp_path.iterdir()) == []


def test_too_little_disk_space_is_noticed_before_the_work(temporary):
    with pytest.raises(FusionlabError) as caught:
        OnDiskRows((10**9, 10**9), np.float32)
    assert caught.value.code == "disk-full"
    assert str(caught.value).startswith(
        f"cannot store 4e+09 GB of intermediate results in {temporary}: "
    )
    assert "TMPDIR" in str(caught.value)


def test_a_disk_that_fills_up_later_gives_the_same_error(temporary):
    """The limit on the size of files stands for it: the system refuses to write on."""
    pixels = random_pixels(np.uint8, (100, 1000), seed=9)
    rows = OnDiskRows(pixels.shape, pixels.dtype)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_500, limits[1]))
    try:
        rows.append(pixels[:50])
        with pytest.raises(
            FusionlabError, match=rf"0.0001 GB .* in {temporary}: File too large; "
        ) as caught:
            rows.append(pixels[50:])
        assert caught.value.code == "disk-full"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert np.array_equal(rows[:50], pixels[:50])
    rows.append(pixels[50:])
    assert np.array_equal(rows, pixels)


def test_a_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FusionlabError, match="in .*/nowhere: No such file or directory; .* TMPDIR"):
        OnDiskRows((3, 4), np.uint8)
