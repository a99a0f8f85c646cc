"""Training images: found in folders and shards, in an order that does not change."""

import csv
import tarfile

import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.training.data.image_files import (
    ShardTable,
    check_disjoint,
    find_images,
    sha256_of_files,
)


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
    files = find_images([shard])
    assert names(files) == ["a.png", "b.png"]
    assert files[1].read().startswith(b"\x89PNG")
    assert str(files[1]) == f"b.png in {shard}"


def test_a_manifest_chooses_members_of_shards(tmp_path, write_shard):
    shard = write_shard(tmp_path / "train-000.tar", ["0.png", "1.png", "2.png"])
    table = tmp_path / "manifest.csv"
    table.write_text(
        "\ufeffshard,name,source\ntrain-000.tar,0.png,coco-a\ntrain-000.tar,1.png,flickr\n"
        "train-000.tar,2.png,coco-b\nval.tar,1.png,coco-a\n"
    )
    assert names(find_images([shard], ShardTable(table, "coco-*"))) == ["0.png", "2.png"]
    assert names(find_images([shard], ShardTable(table))) == ["0.png", "1.png", "2.png"]
    with pytest.raises(FusionlabError, match="no images in .* lists as 'imagenet-"):
        find_images([shard], ShardTable(table, "imagenet-*"))


def test_bad_places_are_refused(tmp_path, write_shard, write_folder):
    (tmp_path / "broken.tar").write_text("no tar")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.png").write_bytes(write_folder(tmp_path / "full", 1).name.encode())
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    whole = write_shard(tmp_path / "whole.tar", ["0.png"]).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:600])
    for location, code in [
        (tmp_path / "broken.tar", "unreadable"),
        (tmp_path / "cut.tar", "unreadable"),
        (tmp_path / "nowhere", "unreadable"),
        (tmp_path / "photo.png", "unreadable"),
        (tmp_path / "empty", "no-images"),
    ]:
        with pytest.raises(FusionlabError) as caught:
            find_images([location])
        assert (caught.value.code, caught.value.path) == (code, location)
        assert "\n" not in str(caught.value)
    with pytest.raises(FusionlabError) as caught:
        find_images([tmp_path / "full", tmp_path / "empty"])
    assert caught.value.path == tmp_path / "empty"
    with pytest.raises(FusionlabError) as caught:
        ShardTable(tmp_path / "table.csv").members()
    assert (caught.value.code, caught.value.option) == ("invalid-manifest", "manifest")


def test_a_file_that_has_gone_is_named(tmp_path, write_folder):
    (gone,) = find_images([write_folder(tmp_path / "a", 1)])
    (tmp_path / "a/0.png").unlink()
    with pytest.raises(FusionlabError, match=r"cannot read 0.png in .*: .*No such file"):
        gone.read()


def test_the_digest_changes_with_any_file(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a")
    before = sha256_of_files(find_images([folder]))
    assert sha256_of_files(find_images([folder])) == before
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes() + b"\0")
    changed = sha256_of_files(find_images([folder]))
    (folder / "2.png").unlink()
    assert len({before, changed, sha256_of_files(find_images([folder]))}) == 3


def test_the_held_out_images_are_not_among_the_training_images(shared):
    """What the shipped weights were trained on, against what they were validated on.

    By the hashes that the manifest has of their files: names say nothing, every shard counts anew.
    """
    data = shared / "data/train"
    chosen = ShardTable(data / "manifest.csv", "coco-*").members()
    training = {name for name in chosen if name[0].startswith("train-")}
    held_out = {name for name in chosen if name[0].startswith("val-")}
    assert (len(training), len(held_out)) == (5815, 728)
    with (data / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["source"].startswith("coco-")]
    hashes = [
        {row["git_blob"] for row in rows if row["shard"].startswith(which)}
        for which in ("train-", "val-")
    ]
    assert not hashes[0] & hashes[1]
    files = find_images([data / "val-000.tar"], ShardTable(data / "manifest.csv", "coco-*"))
    assert {(file.location.name, file.name) for file in files} == held_out


def test_threads_may_read_one_shard_at_the_same_time(tmp_path, write_shard):
    from concurrent.futures import ThreadPoolExecutor

    files = find_images([write_shard(tmp_path / "x.tar", [f"{n:03}.png" for n in range(200)])])
    alone = [file.read() for file in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda file: file.read(), files)) == alone
    assert len(set(alone)) == 200
    assert np.all([content.startswith(b"\x89PNG") for content in alone])


def test_what_is_no_image_is_passed_over_in_shards_and_folders(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    for name in ("._0.png", "0.json", "labels.txt"):
        (folder / name).write_text("no image")
    with tarfile.open(tmp_path / "x.tar", "w") as shard:
        shard.add(folder, "inside")
    assert names(find_images([folder])) == ["0.png", "1.png"]
    assert names(find_images([tmp_path / "x.tar"])) == ["inside/0.png", "inside/1.png"]


def test_links_are_followed_once(tmp_path, write_folder):
    folder = write_folder(tmp_path / "a", 2)
    (folder / "round").symlink_to(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/link").symlink_to(folder)
    assert names(find_images([folder])) == ["0.png", "1.png"]
    assert names(find_images([tmp_path / "b"])) == ["link/0.png", "link/1.png"]


def test_an_image_that_is_given_twice_is_refused(tmp_path, write_folder, write_shard):
    folder = write_folder(tmp_path / "a", 2)
    write_folder(folder / "deeper", 1)
    shard = write_shard(tmp_path / "x.tar", ["0.png"])
    (tmp_path / "link").symlink_to(folder)
    check_disjoint(find_images([folder, shard]), find_images([write_folder(tmp_path / "b")]))
    for twice in (tmp_path / "link", folder / "deeper", shard):
        for training, validation in (([folder, shard, twice], []), ([folder, shard], [twice])):
            with pytest.raises(FusionlabError) as caught:
                check_disjoint(find_images(training), find_images(validation))
            assert caught.value.code == "duplicate-images"
