"""Training images: found in folders and shards, in an order that does not change."""

import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.training.finding import Manifest, digest, find_images, hold_out


def names(files):
    return [file.name for file in files]


def test_a_folder_is_searched_in_the_order_of_names_at_any_depth(tmp_path, write_folder):
    folder = write_folder(tmp_path / "b")
    write_folder(folder / "deeper", 1)
    (folder / "notes.txt").write_text("no image")
    (folder / "folder.png").mkdir()
    assert names(find_images([folder])) == ["0.png", "1.png", "2.png", "deeper/0.png"]
    assert find_images([folder])[3].read() == (folder / "deeper/0.png").read_bytes()


def test_a_shard_is_searched_in_the_order_of_names_too(tmp_path, write_shard):
    shard = write_shard(tmp_path / "train-000.tar", ["b.png", "a.png"])
    found = find_images([shard])
    assert names(found) == ["a.png", "b.png"]
    assert found[1].read().startswith(b"\x89PNG")
    assert str(found[1]) == f"b.png in {shard}"


def test_a_manifest_chooses_members_of_shards(tmp_path, write_shard):
    shard = write_shard(tmp_path / "train-000.tar", ["0.png", "1.png", "2.png"])
    csv = tmp_path / "manifest.csv"
    csv.write_text(
        "shard,name,source\ntrain-000.tar,0.png,coco-a\ntrain-000.tar,1.png,flickr\n"
        "train-000.tar,2.png,coco-b\nval.tar,1.png,coco-a\n"
    )
    assert names(find_images([shard], Manifest(csv, "coco-*"))) == ["0.png", "2.png"]
    assert names(find_images([shard], Manifest(csv))) == ["0.png", "1.png", "2.png"]
    with pytest.raises(FusionlabError, match="no training images in .* lists as 'imagenet-"):
        find_images([shard], Manifest(csv, "imagenet-*"))


def test_bad_places_are_refused(tmp_path, write_shard):
    (tmp_path / "broken.tar").write_text("no tar")
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    whole = write_shard(tmp_path / "whole.tar", ["0.png"]).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:600])
    for place, message in [
        (tmp_path / "broken.tar", "expected a folder of images or a .tar shard"),
        (tmp_path / "cut.tar", "expected a folder of images or a .tar shard"),
        (tmp_path / "nowhere", "cannot read"),
        (tmp_path / "empty", "no training images in"),
    ]:
        with pytest.raises(FusionlabError, match=message):
            find_images([place])
    with pytest.raises(FusionlabError, match="is not a manifest"):
        Manifest(tmp_path / "table.csv").members()


def test_a_file_that_has_gone_is_named(tmp_path, write_folder):
    (gone,) = find_images([write_folder(tmp_path / "a", 1)])
    (tmp_path / "a/0.png").unlink()
    with pytest.raises(FusionlabError, match=r"cannot read 0.png in .*: .*No such file"):
        gone.read()


@pytest.mark.parametrize(
    ("count", "held_out"), [(2, 1), (10, 1), (11, 2), (50, 5), (5000, 500), (25_000, 1000)]
)
def test_every_tenth_image_is_held_out_and_a_thousand_at_most(count, held_out):
    files = list(range(count))
    training, validation = hold_out(files)
    assert len(validation) == held_out
    assert sorted(training + validation) == files


def test_one_image_cannot_be_split():
    with pytest.raises(FusionlabError, match="one image is not enough"):
        hold_out(["x.png"])


def test_the_digest_changes_with_any_file(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a")
    before = digest(find_images([folder]))
    assert digest(find_images([folder])) == before
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes() + b"\0")
    changed = digest(find_images([folder]))
    (folder / "2.png").unlink()
    assert len({before, changed, digest(find_images([folder]))}) == 3


def test_the_held_out_images_are_not_among_the_training_images(shared):
    """What the shipped weights were trained on, against what they were validated on."""
    data = shared / "data/train"
    chosen = Manifest(data / "manifest.csv", "coco-*").members()
    training = {name for name in chosen if name[0].startswith("train-")}
    held_out = {name for name in chosen if name[0].startswith("val-")}
    assert (len(training), len(held_out)) == (5815, 728)
    assert len(chosen) == 5815 + 728
    found = find_images([data / "val-000.tar"], Manifest(data / "manifest.csv", "coco-*"))
    assert {(file.place.name, file.name) for file in found} == held_out


def test_threads_may_read_one_shard_at_the_same_time(tmp_path, write_shard):
    from concurrent.futures import ThreadPoolExecutor

    files = find_images([write_shard(tmp_path / "x.tar", [f"{n:03}.png" for n in range(200)])])
    alone = [file.read() for file in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda file: file.read(), files)) == alone
    assert len(set(alone)) == 200
    assert np.all([content.startswith(b"\x89PNG") for content in alone])
