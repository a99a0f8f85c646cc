"""Files with pixels that are no data: what says so in each format, and what results say."""

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image, ImageOps

from fusionlab import Fusion, FusionlabError, read_image, score, write_image
from fusionlab.cli import main
from fusionlab.imaging.formats import tiff
from fusionlab.imaging.resizing import resize_to_one_size, resized, resized_mask
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.training.data.samples import load_samples

RNG = np.random.default_rng(3)
GRAY, OTHER = RNG.integers(1, 256, (2, 20, 30), dtype=np.uint8)
RGB = RNG.integers(1, 256, (20, 30, 3), dtype=np.uint8)
VALID = np.ones((20, 30), bool)
VALID[:6, :9] = False
ALPHA = np.where(VALID, 255, 0).astype(np.uint8)
COUNT = int(np.sum(~VALID))
HOLES = f"it is transparent at {COUNT} of 600 pixels, which are no data"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fuse(*args):
    result = CliRunner().invoke(main, ["fuse", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def pillow(image, name, **options):
    image.save(name, **options)
    return name


def tiff_file(pixels, **options):
    tifffile.imwrite("a.tif", pixels, **options)
    return "a.tif"


def written(name, pixels):
    write_image(name, pixels, VALID)
    return name


def with_key(pixels, key):
    """A PNG whose pixels of one value are transparent."""
    framed = pixels.copy()
    framed[~VALID] = key
    key = int(key) if pixels.ndim == 2 else (int(key),) * 3
    return pillow(Image.fromarray(framed), "a.png", transparency=key)


def nodata(value):
    return {"extratags": [(tiff.GDAL_NODATA, "s", 0, str(value), True)], "metadata": None}


def framed(pixels, value):
    return np.where(VALID if pixels.ndim == 2 else VALID[..., None], pixels, value)


DEEP = GRAY.astype(np.uint16) * 257
CASES = {
    "PNG, gray with alpha": lambda: pillow(Image.fromarray(np.dstack([GRAY, ALPHA])), "a.png"),
    "PNG, RGB with alpha": lambda: pillow(Image.fromarray(np.dstack([RGB, ALPHA])), "a.png"),
    "PNG, transparent gray": lambda: with_key(GRAY, 0),
    "PNG, transparent color": lambda: with_key(RGB, 0),
    "PNG, transparent entry": lambda: pillow(
        Image.fromarray(np.where(VALID, GRAY % 3 + 1, 0).astype(np.uint8)).convert("P"),
        "a.png",
        transparency=0,
    ),
    "PNG, 16 bits": lambda: written("a.png", np.dstack([DEEP] * 3)),
    "WebP": lambda: pillow(
        Image.fromarray(np.dstack([RGB, ALPHA])), "a.webp", lossless=True, exact=True
    ),
    "GIF": lambda: pillow(
        Image.fromarray(np.where(VALID, GRAY % 3 + 1, 0).astype(np.uint8)).convert("P"),
        "a.gif",
        transparency=0,
    ),
    "TIFF with alpha": lambda: tiff_file(
        np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]
    ),
    "TIFF, value": lambda: tiff_file(framed(DEEP, 0).astype(np.uint16), **nodata(0)),
    "TIFF, value of color": lambda: tiff_file(
        framed(RGB, 0).astype(np.uint8), photometric="rgb", **nodata("0\0")
    ),
    "TIFF, value of floats": lambda: tiff_file(
        framed(GRAY / 255, -3.4028234663852886e38).astype(np.float32),
        **nodata("-3.4028234663852886e+38"),
    ),
    "TIFF, white is zero": lambda: tiff_file(
        framed(GRAY, 0).astype(np.uint8), photometric="miniswhite", **nodata(0)
    ),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_what_a_file_calls_no_data_is_taken_from_the_other_source(make):
    image = read_image(make())
    assert np.array_equal(image.valid, VALID)
    second = OTHER if image.pixels.dtype.kind != "f" else OTHER / np.float32(255)
    fused = Fusion("identity", "max", color="gray").fuse([image, second], depth=8)
    assert np.array_equal(fused.image[~VALID], OTHER[~VALID])
    assert fused.no_data.tolist() == [[COUNT], [0]]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_mask_is_turned_with_the_image(orientation):
    """By exif_transpose of Pillow, which turns alpha like color."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pillow(Image.fromarray(np.dstack([RGB, ALPHA])), "a.png", exif=exif)
    with Image.open("a.png") as file:
        upright = np.asarray(ImageOps.exif_transpose(file))
    image = read_image("a.png")
    assert np.array_equal(image.valid, upright[..., 3] > 0)
    assert np.array_equal(image.pixels, upright[..., :3])


@pytest.mark.parametrize(
    ("alpha", "lacking", "note"),
    [
        (np.full_like(GRAY, 255), 0, "its alpha channel is ignored"),
        (np.maximum(GRAY, 1), 0, "its alpha channel is ignored"),
        (ALPHA, COUNT, HOLES),
        (ALPHA // 2, COUNT, f"{HOLES}; the rest of its alpha channel is ignored"),
    ],
    ids=["opaque", "soft", "hard", "both"],
)
def test_only_what_is_wholly_transparent_is_no_data(alpha, lacking, note):
    image = read_image(pillow(Image.fromarray(np.dstack([RGB, alpha])), "a.png"))
    assert image.notes == (f"a.png: {note}",)
    assert (image.valid is None) == (lacking == 0)
    assert np.array_equal(image.pixels, RGB)


def test_a_pillow_image_brings_its_transparency():
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    with pytest.warns(UserWarning, match="transparent at 54 of 600 pixels"):
        fused = Fusion("identity", "max").fuse([image, RGB // 2])
    assert np.array_equal(fused.image, framed(RGB, RGB // 2))


def test_a_tag_that_is_no_number_says_nothing():
    assert read_image(tiff_file(GRAY, **nodata("none"))).valid is None
    assert read_image(tiff_file(GRAY, **nodata(-9999))).valid is None


def test_a_large_file_is_read_by_rows_with_its_mask(monkeypatch):
    monkeypatch.setattr(tiff, "LARGE_PIXELS", 10)
    tiff_file(framed(DEEP, 0).astype(np.uint16), rowsperstrip=4, **nodata(0))
    deep = framed(OTHER * np.uint16(257), 0).astype(np.uint16)
    tifffile.imwrite("b.tif", deep, **nodata(0))
    image, other = read_image("a.tif"), read_image("b.tif")
    assert not isinstance(image.pixels, np.ndarray)
    assert np.array_equal(np.asarray(image.valid), VALID)
    fuse("a.tif", "b.tif", "--backbone", "identity", "--strategy", "max", "-o", "rows.tif")
    whole = Fusion("identity", "max").fuse(
        [np.asarray(x.pixels) for x in (image, other)], valid=[VALID, VALID]
    )
    stored = tifffile.imread("rows.tif")
    assert np.array_equal(stored[..., 0], whole.image)
    assert np.array_equal(stored[..., 1], np.where(VALID, 65535, 0))


# ---------------------------------------------------------------- results


def write_pair(name="a.png", second="b.png"):
    write_image(name, GRAY, VALID)
    write_image(second, OTHER, VALID)
    return name, second


METHOD = ("--backbone", "identity", "--strategy", "l1norm", "--r", "0")


@pytest.mark.parametrize(
    ("output", "depth"), [("f.png", 8), ("f.png", 16), ("f.tif", 8), ("f.tif", 16), ("f.tif", 32)]
)
@pytest.mark.parametrize("sources", ["gray", "color"])
@pytest.mark.filterwarnings("ignore::fusionlab.FusionlabWarning")
def test_where_no_source_is_data_the_file_says_so(output, depth, sources):
    write_pair()
    if sources == "color":
        write_image("b.png", RGB, VALID)
    result = fuse("a.png", "b.png", *METHOD, "--depth", str(depth), "-o", output, "--json")
    facts = json.loads(result.stdout)
    assert facts["no_data"] == [COUNT, COUNT]
    again = read_image(output)
    if depth == 32:
        stored = tifffile.imread(output)
        assert np.array_equal(
            np.isnan(stored), ~(VALID if stored.ndim == 2 else np.dstack([VALID] * 3))
        )
    else:
        assert np.array_equal(again.valid, VALID)
        assert (again.pixels[~VALID] == 0).all()
    expected = Fusion("identity", "l1norm,r=0").fuse(["a.png", "b.png"], depth=depth)
    assert np.array_equal(again.pixels, expected.image, equal_nan=depth == 32)


@pytest.mark.parametrize("output", ["f.jpg", "f.bmp"])
def test_a_format_without_transparency_is_black_there_and_says_so(output):
    result = fuse(*write_pair(), *METHOD, "-o", output)
    assert f"{output} is black where no source is data: .{output[2:]} cannot say so" in (
        " ".join(result.stderr.split())
    )
    # JPEG spreads light by a few gray levels around an edge, over a block of 8x8
    assert iio.imread(output)[:1, :1].max() <= 32


def test_where_some_source_is_data_the_file_is_as_ever():
    write_image("a.png", GRAY, VALID)
    write_image("b.png", OTHER)
    fuse("a.png", "b.png", *METHOD, "-o", "f.png")
    assert iio.imread("f.png").shape == (20, 30)


def test_the_command_takes_a_value_of_no_data():
    iio.imwrite("a.png", framed(GRAY, 0).astype(np.uint8))
    iio.imwrite("b.png", OTHER)
    fuse("a.png", "b.png", *METHOD, "--nodata", "0", "-o", "f.png", "--record")
    assert np.array_equal(iio.imread("f.png")[~VALID], OTHER[~VALID])
    record = json.loads(Path("f.png.json").read_text(encoding="utf-8"))
    assert record["nodata"] == ["0"]
    assert [source.get("no_data") for source in record["sources"]] == [COUNT, None]
    explained = CliRunner().invoke(main, ["explain", "f.png"]).output
    assert "--nodata 0" in explained
    assert "has been changed" not in explained


def test_weight_maps_and_the_index_show_the_masks():
    write_pair()
    write_image("b.png", OTHER)
    fuse("a.png", "b.png", *METHOD, "--save-weights", "w.npz", "--save-index", "i.png")
    with np.load("w.npz") as stored:
        weights = stored["weights"]
    assert (weights[0][~VALID] == 0).all()
    assert (weights[1][~VALID] == 1).all()
    assert (iio.imread("i.png")[~VALID] == 1).all()
    write_pair()
    fuse("a.png", "b.png", *METHOD, "--save-index", "j.png", "--overwrite")
    assert np.array_equal(iio.imread("j.png")[..., 1] > 0, VALID)


def test_images_with_and_without_masks_in_one_folder():
    """Each as if it were fused alone, though small ones are fused together."""
    for folder in "ab":
        Path(f"set/{folder}").mkdir(parents=True)
        for number in range(4):
            pixels = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
            valid = (VALID, None, VALID[::-1], None)[number] if folder == "a" else None
            write_image(f"set/{folder}/{number}.png", pixels, valid)
    fuse("set", "-o", "out", *METHOD[:4], "--nodata", "7")
    for number in range(4):
        fuse(
            f"set/a/{number}.png",
            f"set/b/{number}.png",
            *METHOD[:4],
            "--nodata",
            "7",
            "--overwrite",
        )
        assert np.array_equal(iio.imread("fused.png"), iio.imread(f"out/{number}.png"))


def test_a_task_is_detected_without_what_is_no_data():
    """Of exposures of one scene, whose frames differ."""
    scene = np.kron(RNG.random((12, 16)), np.ones((8, 8)))
    bright, dark = (np.clip(scene * gain * 255, 0, 255).astype(np.uint8) for gain in (1.6, 0.4))
    valid = np.ones_like(bright, bool)
    valid[:30] = False
    tasks = []
    for value in (0, 255):
        framed_ = np.where(valid, bright, value).astype(np.uint8)
        write_image("a.png", framed_, valid)
        iio.imwrite("b.png", dark)
        result = fuse("a.png", "b.png", "--json", "--overwrite")
        tasks.append((json.loads(result.stdout)["task"], iio.imread("fused.png").tobytes()))
    assert tasks[0] == tasks[1]


# ---------------------------------------------------------------- resizing


@pytest.mark.parametrize("size", [(10, 15), (20, 15), (7, 11), (40, 60), (20, 30)])
def test_a_resized_pixel_is_data_if_it_is_made_of_data(size):
    """Pixels whose value changes with what is masked are left out, and not many others."""
    valid = resized_mask(VALID, *size)
    images = [resized(np.where(VALID, 0.5, value), *size) for value in (0.0, 1.0)]
    changed = np.abs(images[0] - images[1]) > 1e-12
    assert not (changed & valid).any()
    assert (~valid).sum() <= (changed.sum() + 4 * sum(size) if size != (20, 30) else changed.sum())


@pytest.mark.parametrize("value", [0, 255, np.nan])
def test_what_is_no_data_does_not_bleed_into_a_resized_source(value):
    dtype = np.float32 if np.isnan(value) else np.uint8
    if np.isnan(value):
        tifffile.imwrite("a.tif", framed(GRAY / 255, value).astype(dtype))
        image = read_image("a.tif")
    else:
        write_image("a.png", framed(GRAY, value).astype(dtype), VALID)
        image = read_image("a.png")
    iio.imwrite("b.png", OTHER[::2, ::2])
    small = resize_to_one_size([image, read_image("b.png")], "smallest")[0]
    assert small.pixels.shape == small.valid.shape == (10, 15)
    flat = np.full((20, 30), 0.5) if np.isnan(value) else np.full((20, 30), 99)
    masked = framed(flat, value).astype(dtype)
    flat_small = resize_to_one_size(
        [replace(image, pixels=masked), read_image("b.png")], "smallest"
    )[0]
    assert np.ptp(flat_small.pixels[flat_small.valid]) <= 1e-6  # rounding of the kernel's sum


# ---------------------------------------------------------------- metrics and training


def test_an_evaluation_fails_the_sample_with_the_way_out():
    for folder in "ab":
        Path(f"set/{folder}").mkdir(parents=True)
        for number in range(2):
            valid = VALID if (folder, number) == ("a", 1) else None
            write_image(
                f"set/{folder}/{number}.png", RNG.integers(0, 256, (20, 30), np.uint8), valid
            )
    result = CliRunner().invoke(
        main, ["evaluate", "set", "--method", "identity/mean", "--metrics", "EN", "-o", "out"]
    )
    assert result.exit_code == 1, result.output
    text = " ".join(result.output.split())
    assert f"1.png holds no data at {COUNT} pixels, which metrics cannot leave out; crop" in text


def test_scores_and_training_refuse_what_is_no_data():
    with pytest.raises(FusionlabError, match="holds no data at 54 pixels"):
        score(GRAY, [np.ma.masked_array(GRAY, ~VALID), OTHER], "EN")
    paths = tuple(map(Path, write_pair()))
    with pytest.raises(FusionlabError, match="x holds pixels that are no data, which a training"):
        load_samples([ImageSetItem("x", paths)])
