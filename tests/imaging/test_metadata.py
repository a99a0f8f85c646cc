"""Metadata: what other programs wrote is kept, and other programs find it again."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from fusionlab import Fusion, LoadedImage, Metadata, read_image
from fusionlab.imaging.metadata import kept, profile_name, upright_exif
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.writing import FORMATS, encode_image, format_of
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.storage.atomic import atomic_write_all

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
OTHER = SRGB.replace("sRGB built-in".encode("utf-16-be"), "Camera color ".encode("utf-16-be"))
GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32633), True),
    (34737, 2, 13, "WGS 84 / 33N", True),
]
"""A pixel of half a meter at 500 km east and 4600 km north in UTM zone 33 (EPSG:32633)."""

DOT = 0.0254 / 2 + 1e-4
"""PNG rounds to whole dots per meter, and Pillow calculates with four digits."""


def exif(**changes):
    data = Image.Exif()
    data[0x0110] = "a camera"
    data[0x0112] = changes.get("orientation", 1)
    return data


def photo(path, pixels=RGB, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_what_pillow_writes_is_read(tmp_path, suffix):
    path = photo(tmp_path / f"x{suffix}", icc_profile=SRGB, exif=exif(), dpi=(300, 150))
    found = read_image(path).metadata
    assert found.icc == SRGB
    assert found.exif == exif().tobytes().removeprefix(b"Exif\0\0")
    if suffix != ".webp":  # which has no resolution
        assert found.resolution == pytest.approx((300, 150), abs=DOT)


@pytest.mark.parametrize(("unit", "dpi"), [("inch", 300), ("centimeter", 762), ("none", None)])
def test_what_tifffile_writes_is_read(tmp_path, unit, dpi):
    path = tmp_path / "x.tif"
    options = {"resolution": (300, 300), "resolutionunit": unit, "iccprofile": SRGB}
    tifffile.imwrite(path, GRAY, extratags=GEO, **options)
    found = read_image(path).metadata
    assert found.icc == SRGB
    assert found.geo == tuple(tag[:4] for tag in GEO)
    assert found.resolution == (None if dpi is None else pytest.approx((dpi, dpi)))


@pytest.mark.parametrize("rows", [False, True])
def test_a_tiff_is_at_the_same_place_again(tmp_path, monkeypatch, rows):
    if rows:
        monkeypatch.setattr("fusionlab.imaging.formats.tiff.LARGE_PIXELS", 9)
    source, copy = tmp_path / "x.tif", tmp_path / "y.tif"
    tifffile.imwrite(source, GRAY, extratags=GEO, iccprofile=SRGB)
    image = read_image(source)
    content = encode_image(image.pixels, copy, FORMATS[".tif"], metadata=image.metadata)
    with atomic_write_all({copy: content}):
        pass
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(copy) as after:
        assert after.geotiff_metadata == before.geotiff_metadata
        assert after.geotiff_metadata["ProjectedCSTypeGeoKey"] == 32633
    assert read_image(copy).metadata == image.metadata


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_pillow_finds_what_is_written(suffix):
    meaning = Metadata(SRGB, exif(orientation=6).tobytes()[6:], (300.0, 150.0))
    content = encode_image(RGB, Path(f"x{suffix}"), FORMATS[suffix], metadata=meaning)
    with Image.open(io.BytesIO(content)) as found:
        assert found.info["icc_profile"] == SRGB
        assert found.info["dpi"] == pytest.approx((300, 150), abs=DOT)
        if suffix != ".tif":
            assert found.getexif()[0x0110] == "a camera"
            assert found.getexif()[0x0112] == 1  # the pixels are upright already
        found.load()


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_without_metadata_are_as_they_were(suffix):
    encode = FORMATS[suffix].encode
    assert encode(RGB, "", Metadata()) == encode_image(RGB, Path(f"x{suffix}"), FORMATS[suffix])
    assert b"ICC" not in encode(RGB, "", Metadata())


def test_a_thumbnail_of_a_source_is_not_kept():
    assert len(upright_exif(exif().tobytes()[6:])) < 100


def image(name, pixels=RGB, **meaning):
    return LoadedImage(name, pixels, name, metadata=Metadata(**meaning))


def test_each_part_is_that_of_the_first_source_that_has_it():
    near = image("near", resolution=(72, 72))
    text, place = exif().tobytes()[6:], ((33550, 12, 3, (1.0, 1.0, 0.0)),)
    far = image("far", icc=SRGB, resolution=(300, 300), exif=text, geo=place)
    found, notes = kept([near, far], color=True)
    assert found == Metadata(SRGB, text, (72, 72), place)
    assert notes == []  # without a profile, values count as sRGB


def test_sources_of_two_color_profiles_are_told():
    assert profile_name(OTHER).startswith("Camera color")
    _, (note,) = kept([image("a", icc=OTHER), image("b")], color=True)
    assert "a is in Camera color" in note
    assert "b in sRGB" in note
    assert kept([image("a", icc=OTHER), image("b", icc=OTHER)], color=True)[1] == []
    assert kept([image("a", icc=OTHER), image("b", GRAY)], color=True)[0].icc == OTHER


def test_a_profile_of_another_kind_than_the_result_is_left_out():
    assert kept([image("a", icc=SRGB), image("b", icc=SRGB)], color=False)[0].icc == b""
    assert kept([image("a", icc=LAB), image("b")], color=True)[0].icc == b""
    assert profile_name(b"damaged") == "a damaged color profile"


def test_sources_at_two_places_are_told():
    here, there = (image(name, geo=((34737, 2, 2, name),)) for name in "ab")
    found, (note,) = kept([here, there], color=True)
    assert found.geo == here.metadata.geo
    assert note.startswith("b lies elsewhere on the earth than a")


@pytest.fixture
def file_fusion():
    return FileFusion(Fusion("identity", "max"), installed())


def fused(file_fusion, sources, output):
    destination = file_fusion.plan(output, sources)
    product = file_fusion.fuse(file_fusion.load(sources), destination)
    with atomic_write_all(file_fusion.encode(product)):
        pass
    return product.notes


def test_a_fused_image_keeps_what_its_format_can_hold(tmp_path, file_fusion):
    first, second = tmp_path / "a.tif", tmp_path / "b.png"
    tifffile.imwrite(first, RGB, photometric="rgb", extratags=GEO)
    photo(second, RGB[::-1].copy(), icc_profile=SRGB, exif=exif())
    (note,) = fused(file_fusion, [first, second], tmp_path / "fused.tif")
    assert "cannot hold the EXIF data" in note
    found = read_image(tmp_path / "fused.tif").metadata
    assert found == Metadata(icc=SRGB, geo=tuple(tag[:4] for tag in GEO))
    (note,) = fused(file_fusion, [first, second], tmp_path / "fused.png")
    assert "cannot hold the georeference" in note
    assert read_image(tmp_path / "fused.png").metadata.exif


def test_an_image_that_is_turned_or_resized_loses_its_place(tmp_path, file_fusion):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, extratags=[*GEO, (274, 3, 1, 6, True)])
    assert read_image(tmp_path / "a.tif").metadata.geo == ()
    tifffile.imwrite(tmp_path / "b.tif", GRAY, extratags=GEO)
    photo(tmp_path / "c.png", GRAY[::2, ::2].copy())
    file_fusion.resize = "smallest"
    fused(file_fusion, [tmp_path / "b.tif", tmp_path / "c.png"], tmp_path / "fused.tif")
    assert read_image(tmp_path / "fused.tif").metadata.geo == ()


@pytest.mark.parametrize(
    "damaged",
    [
        Metadata(exif=b"garbage!" * 4),
        Metadata(resolution=(float("inf"), 1.0)),
        Metadata(resolution=(-5.0, 5.0)),
        Metadata(resolution=(1e308, 1e308)),
        Metadata(geo=((34737, 2, 5, "\u202e"),)),
        Metadata(geo=((34735, 3, 100, (1, 2)),)),
        Metadata(geo=((33550, 99, 3, (1, 2, 3)),)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_damaged_metadata_does_not_keep_a_result_from_being_written(damaged, suffix):
    class Source:
        name, is_color, metadata = "a", False, damaged

    metadata, _ = kept([Source()], color=False)
    path = Path(f"x{suffix}")
    content = encode_image(np.zeros((8, 9), np.uint8), path, format_of(path), "", None, metadata)
    if not isinstance(content, bytes):
        file = io.BytesIO()
        content(file)
        content = file.getvalue()
    assert decode_image(content, path.name).pixels.shape == (8, 9)
