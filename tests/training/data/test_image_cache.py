"""Training images: decoded once, mapped ever after."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from errno import ENOSPC
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest

from fusionlab import FusionlabError
from fusionlab.errors import FusionlabWarning
from fusionlab.imaging.formats import pillow_formats, tiff
from fusionlab.training.data import image_cache
from fusionlab.training.data.image_cache import load_images
from fusionlab.training.data.image_files import find_images


def load(place, **options):
    return load_images(find_images([place]), **options)


def test_images_come_in_their_order_and_progress_is_told(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 100)
    seen = []
    images = load(folder, workers=3, progress=lambda *count: seen.append(count))
    assert images.shape == (100, 256, 256)
    assert images.dtype == np.uint8
    for file, image in zip(find_images([folder]), images, strict=True):
        assert np.array_equal(image, iio.imread(folder / file.name))
    assert seen == [(n, 100) for n in range(1, 101)]


def test_other_sizes_are_resized_and_color_becomes_luma(tmp_path):
    red = np.zeros((100, 300, 3), dtype=np.uint8)
    red[..., 0] = 255
    iio.imwrite(tmp_path / "red.png", red)
    images = load(tmp_path)
    assert images.shape == (1, 256, 256)
    assert set(images.flatten()) == {76}  # BT.601: 0.299 x 255


def test_gray_of_the_right_size_is_taken_as_it_is_and_color_to_the_level(tmp_path):
    """BT.601 as Pillow rounds it: half a level, and what its integer factors lack."""
    color = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / "a.png", color[..., 0])
    iio.imwrite(tmp_path / "b.png", color)
    gray, luma = load(tmp_path)
    assert np.array_equal(gray, color[..., 0])
    assert np.abs(luma - color @ [0.299, 0.587, 0.114]).max() <= 0.5 + 255 / 2**16


def test_another_size_is_resampled_as_by_pillow(tmp_path):
    """To one level: Pillow rounds between rows and columns, too, and we stay in the range."""
    pixels = np.random.default_rng(2).integers(64, 192, (100, 300), dtype=np.uint8)
    iio.imwrite(tmp_path / "x.png", pixels)
    outside = np.asarray(PIL.Image.fromarray(pixels).resize((256, 256), PIL.Image.BICUBIC))
    outside = outside.clip(pixels.min(), pixels.max())
    assert np.abs(load(tmp_path)[0].astype(int) - outside).max() <= 1


def test_all_that_can_be_read_in_8_bits_can_be_trained_on(tmp_path):
    """Palettes, two levels, alpha, WebP and GIF: images like any other."""
    gray = np.random.default_rng(3).integers(0, 256, (256, 256), dtype=np.uint8)
    image = PIL.Image.fromarray(gray)
    image.save(tmp_path / "a.gif")
    image.save(tmp_path / "b.webp", lossless=True)
    PIL.Image.fromarray(np.dstack([gray, gray])).save(tmp_path / "c.png")
    PIL.Image.fromarray(gray > 99).save(tmp_path / "d.tif")
    *same, levels = load(tmp_path)
    assert len(same) == 3
    for pixels in same:
        assert np.array_equal(pixels, gray)
    assert np.array_equal(levels, (gray > 99) * np.uint8(255))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_deeper_images_are_refused_rather_than_narrowed(tmp_path, dtype):
    suffix = ".png" if dtype == np.uint16 else ".tif"
    (tmp_path / f"x{suffix}").write_bytes(
        {".png": pillow_formats.encode_png, ".tif": tiff.encode}[suffix](np.zeros((9, 9), dtype))
    )
    name = np.dtype(dtype).name
    message = f"x{suffix} in .* must be an 8-bit image to train on, got {name}; convert it to 8"
    with pytest.raises(FusionlabError, match=message):
        load(tmp_path)


def test_the_second_time_nothing_is_decoded(tmp_path, monkeypatch, write_folder):
    folder = write_folder(tmp_path / "a", 5)
    plain = load(folder)
    first = load(folder, folder=tmp_path / "cache")
    assert isinstance(first, np.memmap)
    assert np.array_equal(first, plain)
    monkeypatch.setattr(image_cache, "decode_image", None)
    again = load(folder, folder=tmp_path / "cache")
    assert np.array_equal(again, plain)
    assert not again.flags.writeable
    (path,) = (tmp_path / "cache").glob("*.npy")
    assert path.stat().st_size == 128 + 5 * 256 * 256


def test_a_changed_image_is_decoded_again(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    load(folder, folder=tmp_path / "cache")
    iio.imwrite(folder / "0.png", np.full((300, 300), 7, np.uint8))
    assert (load(folder, folder=tmp_path / "cache")[0] == 7).all()


def test_a_bad_image_is_named_and_left_out_and_so_it_is_the_second_time(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    (folder / "x.png").write_text("no image")
    message = "left out: cannot read x.png in .*: it is not in a known image format"
    with pytest.warns(FusionlabWarning, match=message):
        images = load(folder, folder=tmp_path / "cache")
    with pytest.warns(FusionlabWarning, match="1 of 3 images were left out .*without-1.npy"):
        again = load(folder, folder=tmp_path / "cache")
    assert len(images) == len(again) == 2
    with pytest.warns(FusionlabWarning, match=message):
        in_memory = load(folder)
    assert np.array_equal(images, in_memory)


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize(("good", "bad"), [(2, 2), (17, 3), (0, 2), (0, 1)])
def test_too_many_bad_images_end_it_and_nothing_half_decoded_is_left(
    tmp_path, write_folder, good, bad
):
    folder = write_folder(tmp_path / "a", good) if good else tmp_path / "a"
    folder.mkdir(exist_ok=True)
    for number in range(bad):
        (folder / f"x{number}.png").write_text("no image")
    with pytest.raises(FusionlabError, match="cannot read x0.png") as caught:
        load(folder, folder=tmp_path / "cache")
    assert caught.value.code == ("too-many-bad-images" if bad > 1 else caught.value.code)
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_images_that_do_not_fit_on_the_disk_stay_in_memory(tmp_path, monkeypatch, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    free = image_cache.RESERVED_BYTES + 2 * 65536 - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    images = load(folder, folder=tmp_path / "cache")
    assert not isinstance(images, np.memmap)
    assert np.array_equal(images, load(folder))
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 1)
    with pytest.raises(FusionlabError, match="cannot make the folder"):
        load(folder, folder=folder / "0.png" / "cache")


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "shape", "kind"])
def test_what_was_damaged_is_decoded_again(tmp_path, damage, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    plain = load(folder)
    load(folder, folder=tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.npy")
    content = path.read_bytes()
    if damage in ("shape", "kind"):
        np.save(path, np.zeros((1, 256, 256), np.uint8) if damage == "shape" else plain.astype(int))
    else:
        path.write_bytes({"cut": content[:1000], "empty": b"", "garbage": b"garbage"}[damage])
    assert np.array_equal(load(folder, folder=tmp_path / "cache"), plain)
    assert path.read_bytes() == content


def test_a_disk_that_fills_up_meanwhile_means_memory(tmp_path, monkeypatch, write_folder):
    folder = write_folder(tmp_path / "a", 3)

    def fills_up(path, pixels, count):
        next(pixels)
        path.write_bytes(b"half")
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(image_cache, "_write", fills_up)
    assert np.array_equal(load(folder, folder=tmp_path / "cache"), load(folder))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_of_two_that_come_at_once_one_decodes(tmp_path, monkeypatch, write_folder):
    files = find_images([write_folder(tmp_path / "a", 20)])
    decoded, decode = [], image_cache.decode_image

    def counted(content, name):
        decoded.append(name)
        return decode(content, name)

    monkeypatch.setattr(image_cache, "decode_image", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load_images(files, tmp_path / "cache"), range(2))
    assert np.array_equal(first, second)
    assert len(decoded) == 20
