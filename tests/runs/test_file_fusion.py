"""From files to a file: sizes, depths, doubles, and what prevents writing."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
from refusals import refused

from fusionlab import Fusion
from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.resizing import resized
from fusionlab.plugins.host import installed
from fusionlab.runs.destination import Destination
from fusionlab.runs.file_fusion import FileFusion

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def image(tmp_path):
    """Write an image of noise and return its path."""

    def write(name, shape=(12, 16), dtype=np.uint8):
        pixels = RNG.random(shape)
        if np.dtype(dtype).kind == "u":
            pixels = np.floor(pixels * (np.iinfo(dtype).max + 1))
        if name.endswith(".tif"):
            tifffile.imwrite(name, pixels.astype(dtype))
        else:
            iio.imwrite(name, pixels.astype(dtype))
        return (tmp_path / name).relative_to(tmp_path)

    return write


def fusing(strategy="mean", **settings):
    return FileFusion(Fusion("identity", strategy), installed(), **settings)


def fuse(file_fusion, paths, output="fused.png"):
    """Return the product of fusing files."""
    return file_fusion.fuse(file_fusion.load(paths), file_fusion.plan(Path(output), paths))


def fused(paths, output="fused.png", **settings):
    """Return (pixels, notes) of fusing files."""
    product = fuse(fusing(**settings), paths, output)
    return product.fused.image, list(product.notes)


def test_the_files_of_a_product_are_those_that_were_announced(image, tmp_path):
    paths = [image("a.png"), image("b.png")]
    file_fusion = fusing("l1norm", record=True, weights=tmp_path / "maps")
    product = fuse(file_fusion, paths, tmp_path / "fused.png")
    files = file_fusion.encode(product)
    assert list(files) == product.destination.files
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [
        "fused.png",
        "fused.png.json",
        "maps/fused-weights-1-a.png",
        "maps/fused-weights-2-b.png",
    ]


def test_encoding_is_what_the_format_holds(image, tmp_path):
    paths = [image("a.png"), image("b.png")]
    (content,) = fusing().encode(fuse(fusing(), paths)).values()
    expected = Fusion("identity", "mean")([iio.imread(path) for path in paths])
    assert np.array_equal(iio.imread(content), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".PNG"])
def test_the_same_product_gives_the_same_bytes(image, tmp_path, suffix):
    paths = [image("a.png", (12, 16, 3)), image("b.png")]
    file_fusion = fusing(record=True)
    first, second = (
        file_fusion.encode(fuse(file_fusion, paths, f"fused{suffix}")) for _ in range(2)
    )
    assert first == second


# --- doubles


def test_the_same_path_twice_gives_a_note(image):
    a = image("a.png")
    assert fused([a, a])[1] == ["a.png is the same image as a.png"]


def test_a_copy_gives_a_note_with_the_first_image_of_its_content(image, tmp_path):
    a, b = image("a.png"), image("b.png")
    for name in ("copy.png", "again.tif"):  # the content decides, not the name
        (tmp_path / name).write_bytes(a.read_bytes())
    assert fused([b, a, Path("copy.png"), Path("again.tif")])[1] == [
        "copy.png is the same image as a.png",
        "again.tif is the same image as a.png",
    ]


def test_different_images_give_no_note(image):
    assert fused([image("a.png"), image("b.png")])[1] == []


# --- sizes


def test_sources_of_different_sizes_are_refused_unless_asked(image):
    with pytest.raises(FusionlabError, check=refused("size-mismatch")):
        fused([image("a.png"), image("b.png", (24, 32))])


@pytest.mark.parametrize(
    ("resize", "shape"), [("first", (12, 16)), ("smallest", (6, 8))], ids=["first", "smallest"]
)
def test_sources_are_brought_to_the_size_of_one_of_them(image, resize, shape):
    paths = [image("a.png"), image("b.png", (24, 32)), image("c.png", (6, 8))]
    pixels, notes = fused(paths, resize=resize)
    same = [resized(iio.imread(path), *shape) for path in paths]
    assert np.array_equal(pixels, Fusion("identity", "mean")(same))
    assert len(notes) == 2
    assert all("is resized from" in note and "aspect ratio" not in note for note in notes)


def test_a_note_tells_the_sizes_as_width_by_height(image):
    paths = [image("a.png", (12, 16)), image("b.png", (24, 32))]
    assert fused(paths, resize="first")[1] == ["b.png is resized from 32x24 to 16x12"]


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (200, ""),
        (201, ""),  # 0.5 %
        (203, "; its aspect ratio changes by 1.5%"),
        (197, "; its aspect ratio changes by 1.5%"),
        (100, "; its aspect ratio changes by 100.0%"),  # from 1:1 to 2:1
    ],
)
def test_a_change_of_the_aspect_ratio_is_noted_beyond_one_percent(image, width, told):
    paths = [image("a.png", (50, 100)), image("b.png", (100, width))]
    assert fused(paths, resize="first")[1] == [f"b.png is resized from {width}x100 to 100x50{told}"]


def test_the_smallest_is_that_of_the_fewest_pixels_and_the_first_of_several(image):
    paths = [image("a.png", (10, 30)), image("b.png", (15, 16)), image("c.png", (16, 15))]
    assert fused(paths, resize="smallest")[0].shape == (15, 16)


def test_sources_of_one_size_are_left_as_they_are(image):
    paths = [image("a.png"), image("b.png")]
    for resize in ("first", "smallest"):
        pixels, notes = fused(paths, resize=resize)
        assert np.array_equal(pixels, fused(paths)[0])
        assert notes == []


def test_a_resized_source_keeps_its_depth_and_the_hash_of_its_file(image):
    a, b = image("a.tif", (12, 16), np.uint16), image("b.tif", (24, 32), np.uint16)
    sources = fusing(resize="first").load([a, b])
    assert sources[1].pixels.dtype == np.uint16
    assert sources[1].sha256 == read_image(b).sha256


# --- depths


@pytest.mark.parametrize(
    ("dtypes", "dtype"),
    [
        ((np.uint8, np.uint8), np.uint8),
        ((np.uint8, np.uint16), np.uint16),
        ((np.uint16, np.uint8), np.uint16),
        ((np.uint8, np.float32), np.float32),
        ((np.float64, np.uint16), np.float32),
    ],
)
def test_the_result_is_as_deep_as_the_deepest_source(image, dtypes, dtype):
    paths = [image(f"{n}.tif", dtype=dtype) for n, dtype in enumerate(dtypes)]
    pixels, notes = fused(paths, "fused.tif")
    assert pixels.dtype == dtype
    assert notes == []


@pytest.mark.parametrize("depth", [8, 16, 32])
def test_a_requested_depth_wins(image, depth):
    pixels, _ = fused([image("a.png"), image("b.png")], "fused.tif", depth=depth)
    assert 8 * pixels.dtype.itemsize == depth


@pytest.mark.parametrize(
    ("suffix", "depth", "held", "told"),
    [
        (".png", 32, 16, "16 bits instead of 32-bit floats: .png can hold no more, .tif can"),
        (".jpg", 16, 8, "8 bits instead of 16 bits: .jpg can hold no more, .tif can"),
        (".bmp", 32, 8, "8 bits instead of 32-bit floats: .bmp can hold no more, .tif can"),
    ],
)
def test_a_format_that_cannot_hold_the_depth_warns(image, suffix, depth, held, told):
    for settings, dtype in (
        ({"depth": depth}, np.uint8),
        ({}, {16: np.uint16, 32: np.float32}[depth]),
    ):
        paths = [image("a.tif", dtype=dtype), image("b.tif", dtype=dtype)]
        pixels, notes = fused(paths, f"fused{suffix}", **settings)
        assert 8 * pixels.dtype.itemsize == held
        assert notes == [f"fused{suffix} is written with {told}"]


# --- scales that hide


def scaled(pixels, scale):
    """Return the notes about an image next to one of noise."""
    tifffile.imwrite("x.tif", pixels)
    tifffile.imwrite("noise.tif", RNG.integers(0, 65536, pixels.shape, dtype=np.uint16))
    fusion = Fusion("identity", "mean", scale=[scale, "full"])
    paths = [Path("x.tif"), Path("noise.tif")]
    return list(fuse(FileFusion(fusion, installed()), paths, "f.tif").notes)


RAMP = np.arange(100, 200, dtype=np.uint16).reshape(10, 10)
FLAT = np.full((10, 10), 77, np.uint8)
SPARSE = np.zeros((20, 20), np.uint8)
SPARSE[0, :2] = 200


@pytest.mark.parametrize(
    ("pixels", "scale", "told"),
    [
        (
            RAMP,
            "auto",
            "has values that fit 8 bits, in 16 bits; give it the scale 0,255 to see",
        ),
        (RAMP * 20, "auto", "has values that fit 12 bits, in 16 bits; give it the scale 0,4095 to"),
        (RAMP + 30000, "auto", "uses 0.2% of its 16 bits, 30100 to 30199; give it the scale"),
        (RAMP, "full", ""),  # explicitly
        (RAMP * 200, "auto", ""),
        (RAMP.astype(np.uint8), "auto", ""),
        (FLAT, "auto", ""),
        (FLAT.astype(np.uint16), "auto", ""),
        (RAMP, "minmax", ""),
        (FLAT, "minmax", "has only one value, 77, and will contribute nothing"),
        (FLAT, "percentile", "has only one value, 77, and will contribute nothing"),
        (SPARSE, "percentile", "becomes only black and white: both limits of its scale are 0"),
        (SPARSE, "percentile=0,100", ""),
        (FLAT, "0,255", ""),  # of one gray, which is seen
        (FLAT, "0,50", "is all white: its values, 77 to 77, lie outside its scale, 0 to 50"),
        (
            RAMP,
            "200,300",
            "is all black: its values, 100 to 199, lie outside its scale, 200 to 300",
        ),
        (RAMP, "0,100", "is all white: its values, 100 to 199, lie outside its scale, 0 to 100"),
        (RAMP, "198,300", ""),
        (RAMP, "0,101", ""),
    ],
)
def test_a_scale_that_hides_a_source_gives_a_note(pixels, scale, told):
    notes = scaled(pixels, scale)
    assert len(notes) == bool(told)
    assert not told or notes[0].startswith(f"x.tif {told}")


# --- what prevents writing


def test_an_output_that_is_a_source_is_refused_even_with_overwrite(image, tmp_path):
    a, b = image("a.png"), image("b.png")
    (tmp_path / "link.png").symlink_to("b.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    for name in ("a.png", "b.png", "./b.png", "link.png", "hard.png"):
        destination = Destination.plan(tmp_path / name, [a, b])
        with pytest.raises(FusionlabError, check=refused("output-is-source")):
            destination.check([a, b], overwrite=True)


def test_a_map_that_would_replace_a_source_is_refused(image, tmp_path):
    paths = [image("a.png"), image("fused-weights-1-a.png")]
    destination = Destination.plan(tmp_path / "fused.png", paths, weights=tmp_path)
    with pytest.raises(FusionlabError, match=r"weights-1-a\.png is the source .* itself") as caught:
        destination.check(paths, overwrite=True)
    assert caught.value.path == tmp_path / "fused-weights-1-a.png"


@pytest.mark.parametrize("there", ["fused.png", "fused.png.json", "maps/fused-weights-2-b.png"])
def test_any_existing_file_is_refused_before_the_work(image, tmp_path, there):
    paths = [image("a.png"), image("b.png")]
    (tmp_path / "maps").mkdir()
    (tmp_path / there).touch()
    destination = Destination.plan(
        tmp_path / "fused.png", paths, record=True, weights=tmp_path / "maps"
    )
    with pytest.raises(FusionlabError, check=refused("exists")) as caught:
        destination.check(paths, overwrite=False)
    assert (caught.value.option, caught.value.path) == ("overwrite", tmp_path / there)
    destination.check(paths, overwrite=True)


def test_an_image_too_large_for_its_format_is_one_sentence(image, tmp_path):
    paths = [image("a.png", (1, 65_536)), image("b.png", (1, 65_536))]
    product = fuse(fusing(), paths, "fused.jpg")
    with pytest.raises(
        FusionlabError, match=r"^cannot write fused\.jpg: .*; choose another"
    ) as caught:
        fusing().encode(product)
    assert caught.value.code == "encoding"


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_insufficient_memory_is_one_sentence(image, monkeypatch, error):
    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(Fusion, "fuse", full)
    with pytest.raises(FusionlabError, check=refused("out-of-memory")):
        fused([image("a.png"), image("b.png")])


def test_a_source_that_claims_too_many_pixels_is_refused(image):
    a, b = image("a.png"), image("b.png")
    fusing(max_pixels=12 * 16).load([a, b])
    with pytest.raises(FusionlabError, check=refused("too-many-pixels")):
        fusing(max_pixels=12 * 16 - 1).load([a, b])
    fusing(max_pixels=None).load([a, b])


def test_the_notes_of_the_sources_are_notes_of_the_product(image, tmp_path):
    a = image("a.png")
    pixels = RNG.integers(1, 256, (12, 16, 4), dtype=np.uint8)  # an alpha of 0 would be no data
    iio.imwrite("b.png", pixels)
    assert fused([a, tmp_path / "b.png"])[1] == [f"{tmp_path}/b.png: its alpha channel is ignored"]
