"""Large TIFFs through the whole program: read, fused and written by rows, as if held whole."""

import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.imaging import arrays
from fusionlab.imaging.formats.tiff_rows import TiffRows
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.rows import BaseRows, OnDiskRows

HEIGHT, WIDTH = 301, 257


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a pair of tiled TIFFs in 16 bits, one of them in color."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 30_000, WIDTH).astype(np.uint16)
    gray = ramp + rng.integers(0, 9000, (HEIGHT, WIDTH), dtype=np.uint16)
    color = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    for name, pixels in (("gray", gray), ("other", gray[::-1].copy()), ("color", color)):
        tifffile.imwrite(
            f"{name}.tif",
            pixels,
            tile=(64, 64),
            compression="adobe_deflate",
            photometric="rgb" if pixels.ndim == 3 else "minisblack",
        )
    return tmp_path


@pytest.fixture
def by_rows(monkeypatch):
    """What counts as large, and what waits on the disk, is everything from now on."""

    def from_now_on():
        monkeypatch.setattr("fusionlab.imaging.formats.tiff.LARGE_PIXELS", 1000)
        monkeypatch.setattr(
            "fusionlab.imaging.formats.tiff_rows.GROUP_BYTES", 1000
        )  # a row of tiles
        monkeypatch.setattr(arrays, "SPOOL_BYTES", 1000)
        assert isinstance(read_image(Path("gray.tif")).pixels, BaseRows)

    return from_now_on


def fuse(*args):
    return CliRunner().invoke(main, ["fuse", "--backbone", "identity", *args])


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
@pytest.mark.parametrize(
    "options",
    [
        "gray.tif other.tif",
        "gray.tif color.tif --range minmax",
        "color.tif gray.tif --color luma --strategy addition",
        "gray.tif other.tif --scale minmax --scale percentile --strategy entropy_global",
        "gray.tif other.tif --tile 50 --save-weights maps --depth 8",
    ],
)
def test_files_are_what_they_are_when_images_are_held_whole(folder, by_rows, options, suffix):
    words = [*options.split(), "--record", "--overwrite", "-o", f"fused{suffix}"]
    outcomes = []
    for _ in range(2):
        result = fuse(*words)
        assert result.exit_code == 0, result.output
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        outcomes.append(({path: path.read_bytes() for path in found}, result.output))
        by_rows()
    assert outcomes[0] == outcomes[1]


def test_pixels_are_read_once_although_the_use_of_their_range_is_noted(
    folder, by_rows, monkeypatch
):
    by_rows()
    rows_read = Counter()
    read = TiffRows._read

    def counted(rows, top, bottom):
        rows_read[rows._name] += bottom - top
        return read(rows, top, bottom)

    dark = tifffile.imread("gray.tif") // 32
    tifffile.imwrite("dark.tif", dark, compression="adobe_deflate")
    monkeypatch.setattr(TiffRows, "_read", counted)
    result = fuse("gray.tif", "dark.tif", "-o", "fused.tif")
    assert (
        "dark.tif has values that fit 12 bits, in 16 bits; give it the scale 0,4095"
        in result.stderr
    )
    assert set(rows_read) == {"gray.tif", "dark.tif"}
    assert max(rows_read.values()) < 1.1 * HEIGHT  # a trial row, and tiles that overlap at the end


def test_a_result_of_rows_is_never_held_whole(folder, by_rows, monkeypatch):
    by_rows()
    monkeypatch.setattr(OnDiskRows, "__array__", lambda *_, **__: pytest.fail("held whole"))
    result = fuse("gray.tif", "other.tif", "--range", "minmax", "--record", "-o", "fused.tif")
    assert result.exit_code == 0, result.output


def test_a_folder_of_them_resumes(folder, by_rows):
    for place, name in (("a", "gray"), ("b", "other")):
        (folder / "set" / place).mkdir(parents=True)
        (folder / f"{name}.tif").rename(folder / "set" / place / "x.tif")
    (folder / "gray.tif").symlink_to("set/a/x.tif")
    by_rows()
    args = ("set", "-o", "out", "--format", "tif", "--json", "--resume")
    for status in ("fused", "skipped"):
        result = fuse(*args)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout.splitlines()[0])["status"] == status


def test_a_tile_that_is_damaged_is_met_halfway_and_nothing_is_written(folder, by_rows):
    with tifffile.TiffFile("other.tif") as file:
        offset = file.pages[0].dataoffsets[-1]
    content = bytearray(Path("other.tif").read_bytes())
    content[offset + 2 : offset + 40] = bytes(38)
    Path("other.tif").write_bytes(content)
    by_rows()
    result = fuse("gray.tif", "other.tif", "--tile", "50", "-o", "fused.tif")
    assert result.exit_code == 2
    first, last = re.search(r"other.tif: rows (\d+) to (\d+) cannot be", result.stderr).groups()
    assert 200 < int(first) < 256 < int(last) < HEIGHT  # the rows of a tile, not the whole
    assert sorted(path.name for path in folder.iterdir()) == ["color.tif", "gray.tif", "other.tif"]


def test_an_encoder_that_fails_while_rows_are_written_is_a_sentence(folder, by_rows, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no such strip")

    by_rows()
    monkeypatch.setattr("tifffile.TiffWriter.write", fail)
    result = fuse("gray.tif", "other.tif", "-o", "fused.tif")
    assert result.exit_code == 2
    assert re.match(r"Error: cannot write fused.tif: .*no such strip; choose", result.stderr)
    assert sorted(path.name for path in folder.iterdir()) == ["color.tif", "gray.tif", "other.tif"]


def test_a_folder_for_temporary_files_without_room_is_named(folder, by_rows, monkeypatch):
    by_rows()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    result = fuse("gray.tif", "other.tif", "-o", "fused.tif")
    assert result.exit_code == 2
    assert tempfile.gettempdir() in result.stderr
    assert "TMPDIR" in result.stderr
    assert not Path("fused.tif").exists()
