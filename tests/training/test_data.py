"""Training images: from folders and shards, drawn by (seed, iteration) alone."""

import io
import tarfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest

from fusionlab import FusionlabError
from fusionlab.imaging import raster, tiff
from fusionlab.training.data import Manifest, batch_of, load_images

RNG = np.random.default_rng(0)


def write_folder(folder, count=3, size=(256, 256)):
    folder.mkdir()
    for n in range(count):
        iio.imwrite(folder / f"{n}.png", RNG.integers(0, 256, size, dtype=np.uint8))
    return folder


def write_shard(path, names):
    with tarfile.open(path, "w") as shard:
        for level, name in enumerate(names):
            content = iio.imwrite("<bytes>", np.full((256, 256), level, np.uint8), extension=".png")
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def test_a_folder_is_read_in_the_order_of_names_at_any_depth(tmp_path):
    folder = write_folder(tmp_path / "a")
    write_folder(folder / "deeper", 1)
    (folder / "notes.txt").write_text("no image")
    seen = []
    images = load_images([folder], progress=seen.append)
    assert images.shape == (4, 256, 256)
    assert images.dtype == np.uint8
    assert np.array_equal(images[1], iio.imread(folder / "1.png"))
    assert seen == [1, 2, 3, 4]


def test_other_sizes_are_resized_and_colour_becomes_luma(tmp_path):
    red = np.zeros((100, 300, 3), dtype=np.uint8)
    red[..., 0] = 255
    iio.imwrite(tmp_path / "red.png", red)
    images = load_images([tmp_path])
    assert images.shape == (1, 256, 256)
    assert set(images.flatten()) == {76}  # BT.601: 0.299 x 255


def test_gray_of_the_right_size_is_taken_as_it_is_and_colour_to_the_level(tmp_path):
    """BT.601 as Pillow rounds it: half a level, and what its integer factors lack."""
    colour = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / "a.png", colour[..., 0])
    iio.imwrite(tmp_path / "b.png", colour)
    gray, luma = load_images([tmp_path])
    assert np.array_equal(gray, colour[..., 0])
    assert np.abs(luma - colour @ [0.299, 0.587, 0.114]).max() <= 0.5 + 255 / 2**16


def test_another_size_is_resampled_as_by_pillow(tmp_path):
    """To one level: Pillow rounds between rows and columns, too, and we stay in the range."""
    pixels = np.random.default_rng(2).integers(64, 192, (100, 300), dtype=np.uint8)
    iio.imwrite(tmp_path / "x.png", pixels)
    outside = np.asarray(PIL.Image.fromarray(pixels).resize((256, 256), PIL.Image.BICUBIC))
    outside = outside.clip(pixels.min(), pixels.max())
    assert np.abs(load_images([tmp_path])[0].astype(int) - outside).max() <= 1


def test_all_that_can_be_read_in_8_bits_can_be_trained_on(tmp_path):
    """Palettes, two levels, alpha, WebP and GIF: images like any other."""
    gray = np.random.default_rng(3).integers(0, 256, (256, 256), dtype=np.uint8)
    image = PIL.Image.fromarray(gray)
    image.save(tmp_path / "a.gif")
    image.save(tmp_path / "b.webp", lossless=True)
    PIL.Image.fromarray(np.dstack([gray, gray])).save(tmp_path / "c.png")
    PIL.Image.fromarray(gray > 99).save(tmp_path / "d.tif")
    *same, levels = load_images([tmp_path])
    assert len(same) == 3
    for found in same:
        assert np.array_equal(found, gray)
    assert np.array_equal(levels, (gray > 99) * np.uint8(255))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_deeper_images_are_refused_rather_than_narrowed(tmp_path, dtype):
    suffix = ".png" if dtype == np.uint16 else ".tif"
    (tmp_path / f"x{suffix}").write_bytes(
        {".png": raster.encode_png, ".tif": tiff.encode}[suffix](np.zeros((9, 9), dtype))
    )
    name = np.dtype(dtype).name
    message = f"x{suffix} in .* must be an 8-bit image to train on, got {name}; convert it to 8"
    with pytest.raises(FusionlabError, match=message):
        load_images([tmp_path])


def test_a_manifest_chooses_members_of_shards(tmp_path):
    shard = write_shard(tmp_path / "train-000.tar", ["0.png", "1.png", "2.png"])
    csv = tmp_path / "manifest.csv"
    csv.write_text(
        "shard,name,source\ntrain-000.tar,0.png,coco-a\ntrain-000.tar,1.png,flickr\n"
        "train-000.tar,2.png,coco-b\nval.tar,1.png,coco-a\n"
    )
    assert load_images([shard], Manifest(csv, "coco-*"))[:, 0, 0].tolist() == [0, 2]
    assert load_images([shard], Manifest(csv))[:, 0, 0].tolist() == [0, 1, 2]
    with pytest.raises(FusionlabError, match="no training images in .* lists as 'imagenet-"):
        load_images([shard], Manifest(csv, "imagenet-*"))


def test_bad_places_are_refused(tmp_path):
    (tmp_path / "broken.tar").write_text("no tar")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_text("no image")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    for place, message in [
        (tmp_path / "broken.tar", "expected a folder of images or a .tar shard"),
        (tmp_path / "bad", "cannot read x.png in .*: it is in no known image format"),
        (Path(tmp_path / "nowhere"), "cannot read"),
    ]:
        with pytest.raises(FusionlabError, match=message):
            load_images([place])
    with pytest.raises(FusionlabError, match="is not a manifest"):
        Manifest(tmp_path / "table.csv").members()


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order():
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 256, 256), np.uint8)

    def shown(iterations):
        batches = [batch_of(images, 7, i, 2, 64) for i in iterations]
        return [round(255 * x.item()) for batch in batches for x in batch[:, 0, 0, 0]]

    first, second = shown(range(5)), shown(range(5, 10))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_depends_on_seed_and_iteration_alone():
    images = RNG.integers(0, 256, (5, 256, 256), dtype=np.uint8)
    batch = batch_of(images, 1, 12, 2, 100)
    assert batch.shape == (2, 1, 100, 100)
    assert batch.equal(batch_of(images, 1, 12, 2, 100))
    assert not batch.equal(batch_of(images, 2, 12, 2, 100))
    assert not batch.equal(batch_of(images, 1, 13, 2, 100))


def test_a_crop_of_the_full_size_is_the_image():
    images = RNG.integers(0, 256, (2, 256, 256), dtype=np.uint8)
    batch = (batch_of(images, 0, 0, 2, 256) * 255).round().byte().numpy()[:, 0]
    assert {image.tobytes() for image in batch} == {image.tobytes() for image in images}


def test_the_held_out_images_are_not_among_the_training_images(shared):
    """What the shipped weights were trained on, against what they were validated on."""
    data = shared / "data/train"
    chosen = Manifest(data / "manifest.csv", "coco-*").members()
    training = {name for name in chosen if name[0].startswith("train-")}
    held_out = {name for name in chosen if name[0].startswith("val-")}
    assert (len(training), len(held_out)) == (5815, 728)
    assert len(chosen) == 5815 + 728
