"""What Python callers give as images: each counts as the array it stands for, or is refused."""

import warnings

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import fusionlab
from fusionlab import Fusion, FusionlabError, FusionlabWarning

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (12, 16), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (12, 16), dtype=np.uint8)
RGB = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)
MAXIMUM = Fusion("identity", "max")


class Labeled:
    """An image of another library, such as a data array of xarray."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def as_file(pixels, folder):
    iio.imwrite(folder / "given.png", pixels)
    return folder / "given.png"


@pytest.mark.parametrize(
    "form",
    [
        as_file,
        lambda pixels, folder: str(as_file(pixels, folder)),
        lambda pixels, folder: fusionlab.read_image(as_file(pixels, folder)),
        lambda pixels, _: Image.fromarray(pixels),
        lambda pixels, _: Labeled(pixels),
        lambda pixels, _: np.ma.masked_array(pixels),
    ],
    ids=["Path", "str", "LoadedImage", "Pillow", "__array__", "no value masked"],
)
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "color"])
def test_every_form_of_an_image_counts_as_its_array(form, pixels, tmp_path):
    given = form(pixels, tmp_path)
    assert np.array_equal(MAXIMUM([given, OTHER]), MAXIMUM([pixels, OTHER]))
    expected = fusionlab.score(pixels, [pixels, OTHER], "EN,MSE")
    assert fusionlab.score(given, [given, OTHER], "EN,MSE") == expected
    assert fusionlab.detect_task([given, OTHER]) == fusionlab.detect_task([pixels, OTHER])


def test_any_iterable_of_sources_is_a_list_of_them():
    expected = MAXIMUM([GRAY, OTHER])
    for sources in ((GRAY, OTHER), iter([GRAY, OTHER]), {1: GRAY, 2: OTHER}.values()):
        assert np.array_equal(MAXIMUM(sources), expected)


@pytest.mark.parametrize(
    ("sources", "got"),
    [
        (RGB, r"got one ndarray of the shape \(12, 16, 3\); give \[first, second\]"),
        (np.stack([GRAY, OTHER]), r"list\(stack\)"),
        (torch.zeros(2, 1, 12, 16), "got one Tensor"),
        (Image.fromarray(RGB), "got one Image"),
        ("a.png", "got one str, a.png"),
        (Labeled(RGB), "got one Labeled"),
        ({"a": GRAY, "b": OTHER}, "got dict"),
        (None, "got NoneType"),
    ],
)
def test_one_image_in_the_place_of_a_list_is_refused(sources, got):
    """An array (H, W, 3) was once taken for H sources (W, 3)."""
    for entrance in (
        MAXIMUM,
        fusionlab.detect_task,
        lambda given: fusionlab.score(GRAY, given, "EN"),
    ):
        with pytest.raises(FusionlabError, match=got) as refused:
            entrance(sources)
        assert refused.value.code == "no-list"


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        (np.moveaxis(RGB, -1, 0), r"np\.moveaxis\(array, 0, -1\)"),
        (np.dstack([RGB, GRAY]), r"leave out its alpha channel, array\[\.\.\., :-1\]"),
        (np.stack([GRAY] * 5), r"one by one, list\(stack\)"),
        (torch.zeros(12, 16, 3), r"tensor\.movedim\(-1, -3\)"),
        (torch.zeros(4, 12, 16), "leave out its alpha channel"),
        (torch.zeros(2, 12, 16, 3), r"tensor\.movedim\(-1, -3\)"),
        (torch.zeros(12, 16).to_sparse(), "a sparse tensor"),
        (torch.zeros(12, 16, device="meta"), "a meta tensor"),
        (torch.zeros(12, 16).to(torch.float8_e4m3fn), "the dtype float8_e4m3fn"),
        (torch.zeros(12, 16, dtype=torch.complex64), "take its magnitude"),
        (np.zeros((12, 16), np.complex64), "take its magnitude"),
        (np.zeros((12, 16), [("x", "f4")]), "convert it with astype"),
        (np.zeros((12, 16), object), "the dtype object"),
        (np.zeros((12, 16), "M8[s]"), "the dtype datetime64"),
        (np.zeros((0, 16), np.uint8), "no pixels"),
        (Image.fromarray(RGB).convert("CMYK"), r"convert\('RGB'\)"),
        (GRAY.tolist(), "the type list"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_way_out(image, remedy):
    for entrance in (
        lambda given: MAXIMUM([given, given]),
        lambda given: fusionlab.detect_task([given, given]),
        lambda given: fusionlab.score(GRAY, [given], "EN"),
        lambda given: fusionlab.score(given, [GRAY], "EN"),
    ):
        with pytest.raises(FusionlabError, match=remedy) as refused:
            entrance(image)
        assert refused.value.code == "not-an-image"


def test_pillow_images_are_read_as_their_files_are(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(RGB).quantize(16)
    samples = {
        "upright.png": (Image.fromarray(GRAY), {"exif": exif}, ""),
        "palette.png": (palette, {}, ""),
        "transparent.png": (palette, {"transparency": 3}, "it is transparent at"),
        "alpha.png": (
            Image.fromarray(np.dstack([RGB, GRAY | 1])),
            {},
            "its alpha channel is ignored",
        ),
        "bits.png": (Image.fromarray(GRAY > 100), {}, ""),
        "deep.png": (Image.fromarray(GRAY.astype(np.uint16) * 200), {}, ""),
        "float.tif": (Image.fromarray((GRAY / 255).astype(np.float32)), {}, ""),
    }
    for name, (image, options, note) in samples.items():
        image.save(tmp_path / name, **options)
        given = Image.open(tmp_path / name)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fused = MAXIMUM([given, given])
        expected = fusionlab.read_image(tmp_path / name)
        assert fused.dtype == expected.pixels.dtype
        valid = ... if expected.valid is None else expected.valid
        assert np.array_equal(fused[valid], expected.pixels[valid]), name
        ours = [str(w.message) for w in said if issubclass(w.category, FusionlabWarning)]
        assert len(ours) == (2 if note else 0), name
        assert all(text.startswith(f"source {n}: {note}") for n, text in enumerate(ours, 1)), name


def test_what_is_ignored_in_a_file_costs_a_warning(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.stack([GRAY, OTHER]), photometric="minisblack")
    with pytest.warns(
        FusionlabWarning, match="it holds 2 pages of 16x12, of which the first is used"
    ):
        MAXIMUM([tmp_path / "x.tif", OTHER])


INTEGERS = [f"{order}{kind}{size}" for order in "<>" for kind in "ui" for size in (1, 2, 4, 8)]
DTYPES = ["?", *INTEGERS, "<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "g", "q", "Q"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(12, 16), (12, 16, 3)], ids=["gray", "color"])
def test_every_dtype_is_fused_as_its_values(dtype, shape):
    """Min-max scaled, the maximum of two sources is the same in every type that holds them."""
    values = RNG.integers(0, 2 if dtype == "?" else 128, (2, *shape))
    values.reshape(2, -1)[:, :2] = 0, 1 if dtype == "?" else 127
    fusion = Fusion("identity", "max", scale="minmax")
    expected = fusion.fuse(list(values.astype(np.float64)), depth=16).image
    given = list(values.astype(dtype))
    assert np.array_equal(fusion.fuse(given, depth=16).image, expected)
    assert np.isfinite(fusionlab.score(expected, given, "EN,MSE", scale="minmax")["MSE"])
    assert fusionlab.detect_task(given, scale="minmax") in fusionlab.list_tasks()


@pytest.mark.parametrize("dtype", [np.uint64, np.longlong, np.ulonglong])
def test_64_bit_integers_have_no_white(dtype):
    with pytest.raises(FusionlabError) as refused:
        MAXIMUM([GRAY.astype(dtype)] * 2)
    assert refused.value.code == "no-white"


def test_truth_values_are_black_and_white():
    mask = GRAY > 100
    levels = np.where(mask, 255, 0).astype(np.uint8)
    assert np.array_equal(MAXIMUM([mask, GRAY]), MAXIMUM([levels, GRAY]))
    tensors = torch.from_numpy(mask), torch.from_numpy(GRAY)
    assert np.array_equal(MAXIMUM(tensors).numpy(), MAXIMUM([levels, GRAY]))


def test_long_doubles_become_doubles():
    image = GRAY / np.longdouble(255)
    assert image.dtype == np.longdouble
    fused = MAXIMUM([image, image])
    assert fused.dtype == np.float64
    assert np.array_equal(fused, MAXIMUM([image.astype(np.float64)] * 2))
