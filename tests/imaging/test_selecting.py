"""Several sources in one file: each is exactly the page or channel that was written."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fusionlab import FusionlabError, find_image_set, read_image, read_sources
from fusionlab.imaging.contents import Page
from fusionlab.imaging.reading import selected_paths
from fusionlab.imaging.selecting import Selection, channel_numbers, joined, selections, split

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 65536, (6, 20, 30), dtype=np.uint16)
RGBT = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)


def tiff(path, pixels=STACK, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.fixture
def rgbt(tmp_path):
    path = tmp_path / "rgbt.png"
    path.write_bytes(imagecodecs.png_encode(RGBT))
    return path


def same(images, expected):
    assert len(images) == len(expected)
    for image, pixels in zip(images, expected, strict=True):
        assert np.array_equal(image.pixels, pixels)
        assert image.pixels.dtype == pixels.dtype


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"photometric": "minisblack"}, [str(number) for number in range(1, 7)]),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, [f"z={number}" for number in range(1, 7)]),
        ({"imagej": True, "metadata": {"axes": "TYX"}}, [f"t={number}" for number in range(1, 7)]),
    ],
)
def test_every_page_of_a_tiff_is_a_source(tmp_path, options, names):
    path = tiff(tmp_path / "x.tif", **options)
    found = read_sources(path)
    same(found, STACK)
    assert [image.name for image in found] == [f"{path}[page={name}]" for name in names]
    assert len({image.identity for image in found}) == 6
    assert len({image.sha256 for image in found}) == 1


def test_planes_of_two_axes_are_in_the_order_of_the_file(tmp_path):
    pixels = STACK.reshape(2, 3, 20, 30)
    path = tiff(tmp_path / "x.tif", pixels, ome=True, metadata={"axes": "CZYX"})
    same([read_image(path, page="c=2_z=1")], [pixels[1, 0]])


@pytest.mark.parametrize("byteorder", "<>")
def test_images_behind_a_single_page_are_those_that_imagej_means(tmp_path, byteorder):
    path = tiff(
        tmp_path / "x.tif",
        STACK[0],
        byteorder=byteorder,
        description="ImageJ=1.54f\nimages=6\nframes=6\n",
        metadata=None,
        photometric="minisblack",
    )
    with path.open("ab") as file:
        file.write(STACK[1:].astype(f"{byteorder}u2").tobytes())
    same(read_sources(path), STACK)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FusionlabError, match="it is truncated"):
        read_image(path)


def test_reduced_versions_of_an_image_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(STACK[0])
        writer.write(STACK[0, ::2, ::2], subfiletype=1)
    found = read_image(tmp_path / "x.tif")
    same([found], STACK[:1])
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["GIF", "MPO", "PNG"])
def test_frames_and_photos_are_pages(tmp_path, kind):
    frames = [Image.fromarray(np.full((16, 16), level, np.uint8)) for level in (10, 90, 200)]
    frames[0].save(tmp_path / "x", kind, save_all=True, append_images=frames[1:])
    found = read_sources(tmp_path / "x")
    assert [int(np.asarray(image.pixels)[0, 0].max()) for image in found] == [10, 90, 200]


def test_photos_of_different_sizes_are_said(tmp_path):
    photo, small = (Image.new("L", size) for size in ((32, 16), (8, 8)))
    photo.save(tmp_path / "x.mpo", "MPO", save_all=True, append_images=[small])
    (note,) = read_image(tmp_path / "x.mpo").notes
    assert "it holds 2 pages of 32x16 and 8x8" in note
    assert [image.pixels.shape for image in read_sources(tmp_path / "x.mpo")] == [(16, 32), (8, 8)]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("rgb,4", [RGBT[..., :3], RGBT[..., 3]]),
        ("1-3,4", [RGBT[..., :3], RGBT[..., 3]]),
        ("2-4", [RGBT[..., 1:]]),
        ("alpha,Green", [RGBT[..., 3], RGBT[..., 1]]),
        ("all", list(np.moveaxis(RGBT, -1, 0))),
        (None, [RGBT[..., :3]]),
    ],
)
def test_channels_of_a_png_are_sources(rgbt, channels, expected):
    same(read_sources(rgbt, channels=channels), expected)


def test_pages_and_channels_together_go_page_by_page(tmp_path):
    pages = RNG.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    path = tiff(tmp_path / "x.tif", pages, photometric="rgb")
    expected = [pages[page, ..., channel] for page in (0, 1) for channel in (2, 0)]
    same(read_sources(path, pages="1-2", channels="blue,red"), expected)
    same([read_image(path, page=2, channels="3")], [pages[1, ..., 2]])
    same([read_image(f"{path}[page=2,channels=3]")], [pages[1, ..., 2]])


@pytest.mark.parametrize("planes", [False, True])
def test_bands_are_sources(tmp_path, planes):
    bands = np.moveaxis(STACK[:5], 0, -1)
    options = {"planarconfig": "separate" if planes else "contig", "photometric": "minisblack"}
    path = tiff(tmp_path / "x.tif", STACK[:5] if planes else bands, **options)
    same(read_sources(path, channels="all"), STACK[:5])
    same(read_sources(path, channels="2-4,1"), [bands[..., 1:4], bands[..., 0]])
    with pytest.raises(FusionlabError, match="5 channels") as refused:
        read_image(path)
    assert (refused.value.code, refused.value.option) == ("unsupported-image", "channels")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"pages": "2"}, "no-page"),
        ({"pages": "thermal"}, "no-page"),
        ({"pages": "0"}, "no-page"),
        ({"pages": ""}, "bad-selection"),
        ({"pages": "1,all"}, "bad-selection"),
        ({"channels": "5"}, "no-channels"),
        ({"channels": "0"}, "no-channels"),
        ({"channels": "1-4"}, "no-channels"),
        ({"channels": "3-1"}, "no-channels"),
        ({"channels": "teal"}, "no-channels"),
        ({"channels": "rgb,"}, "bad-selection"),
    ],
)
def test_what_is_not_there_is_refused(rgbt, given, code):
    with pytest.raises(FusionlabError) as refused:
        read_sources(rgbt, **given)
    assert refused.value.code == code


NAMES = st.text(st.characters(exclude_characters="[]/\\,\0", exclude_categories=["Cs"]), min_size=1)


@given(name=NAMES, page=st.text("abz=_19"), channels=st.sampled_from(["", "1-3", "4"]))
def test_a_path_with_a_selection_can_be_split_again(name, page, channels):
    path, selection = Path("folder", name), Selection(page, channels)
    assert split(joined(path, selection)) == (path, selection)


@given(count=st.integers(1, 9), first=st.integers(1, 9), length=st.sampled_from([1, 3]))
def test_channels_are_counted_from_1(count, first, length):
    names = [f"band {number}" for number in range(count)]
    text = str(first) if length == 1 else f"{first}-{first + 2}"
    if first + length - 1 <= count:
        assert channel_numbers(text, names, "x") == tuple(range(first - 1, first - 1 + length))
    else:
        with pytest.raises(FusionlabError):
            channel_numbers(text, names, "x")


def test_selected_files_are_not_opened_unless_they_must_be(tmp_path):
    assert selected_paths(tmp_path / "gone.tif", "1-2", "rgb,4") == [
        tmp_path / f"gone.tif[page={page},channels={channels}]"
        for page in (1, 2)
        for channels in ("rgb", "4")
    ]
    with pytest.raises(FusionlabError) as refused:
        selected_paths(tmp_path / "gone.tif", "all", None)
    assert refused.value.code == "missing-file"


def test_image_sets_of_one_file_for_each_fusion(tmp_path, rgbt):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(rgbt.read_bytes())
    expected = [
        ("1", (folder / "1.png[channels=rgb]", folder / "1.png[channels=4]")),
        ("2", (folder / "2.png[channels=rgb]", folder / "2.png[channels=4]")),
    ]
    ways = [
        find_image_set(folder, channels="rgb,4"),
        find_image_set(folder / "{}.png", channels="rgb,4"),
        find_image_set([f"{folder}/[channels=rgb]", f"{folder}/[channels=4]"]),
        find_image_set([f"{folder}/{{}}.*[channels=rgb]", f"{folder}/{{}}.png[channels=4]"]),
    ]
    for items in ways:
        assert [(item.stem, item.sources) for item in items] == expected


def test_the_size_of_a_page_is_as_messages_say_it():
    assert Page("1", 640, 480, ("gray",)).size == "640x480"


def test_the_limit_of_pixels_is_that_of_each_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(STACK[0, :4, :4])
        writer.write(STACK[0])
    limit = 599
    assert read_image(tmp_path / "x.tif", max_pixels=limit).pixels.shape == (4, 4)
    with pytest.raises(FusionlabError) as refused:
        read_image(tmp_path / "x.tif", max_pixels=limit, page=2)
    assert refused.value.code == "too-many-pixels"


def test_a_variant_of_a_page_is_taken_by_its_name_alone():
    pages = [
        Page("thermal", 30, 20, ("gray",)),
        Page("view", 40, 30, ("red", "green", "blue")),
        Page("counts", 30, 20, ("gray",), variant=True),
    ]
    assert [s.page for s in selections("all", None, pages)] == ["thermal", "view"]
    assert [s.page for s in selections("thermal,counts", None, pages)] == ["thermal", "counts"]
    assert [s.page for s in selections("all", None, [pages[0], pages[2]])] == [""]
