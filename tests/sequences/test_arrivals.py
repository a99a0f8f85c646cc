"""Which files make a set as they arrive, by a clock that the tests turn."""

import errno
import os
import shutil
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError, FusionlabWarning
from fusionlab.sequences.arrivals import MAX_WAITING, Arrivals


class Camera:
    """Two folders that are watched, and a clock: a look is a second after the one before."""

    def __init__(self, folder, *sources, **options):
        self.folder = folder
        for source in sources or ("ir", "vis"):
            if "{}" not in source:
                (folder / source).mkdir(exist_ok=True)
        self.now = 100.0
        options = {"settle": 0.5, "patience": 10} | options
        paths = [folder / source for source in sources] or [folder]
        self.arrivals = Arrivals(paths, clock=lambda: self.now, **options)

    def write(self, *names, content=b"image"):
        for name in names:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def looks(self, count=2):
        """Return the names of the sets that so many looks find."""
        names = []
        for _ in range(count):
            self.now += 1
            names += [arrived.name for arrived in self.arrivals.look()]
        return names

    @property
    def remembered(self):
        arrivals = self.arrivals
        names = sum(map(len, arrivals._names.values()))
        return names, len(arrivals._growing), len(arrivals._waiting), len(arrivals.forgotten)


@pytest.fixture
def camera(tmp_path):
    return Camera(tmp_path)


def test_a_set_is_complete_when_its_last_file_is(camera):
    camera.write("ir/1.png", "ir/2.png", "vis/2.jpg")
    assert camera.looks() == ["2"]
    camera.write("vis/1.png")
    assert camera.looks() == ["1"]
    assert camera.looks(5) == []
    assert camera.arrivals.incomplete == 0


def test_a_set_has_the_files_in_the_order_of_the_sources(tmp_path):
    camera = Camera(tmp_path, "z", "a")
    camera.write("a/1.png", "z/1.png")
    camera.looks(1)
    camera.now += 1
    (arrived,) = camera.arrivals.look()
    assert arrived.files == (tmp_path / "z/1.png", tmp_path / "a/1.png")


def test_a_file_that_changes_is_not_complete(camera):
    camera.write("ir/1.png", "vis/1.png")
    for length in range(1, 4):
        assert camera.looks(1) == []
        camera.write("vis/1.png", content=b"x" * length)
    assert camera.looks(1) == []
    assert camera.looks(1) == ["1"]


def test_an_empty_file_is_not_complete(camera):
    camera.write("ir/1.png")
    camera.write("vis/1.png", content=b"")
    assert camera.looks(4) == []
    camera.write("vis/1.png")
    assert camera.looks() == ["1"]


def test_only_names_of_images_count_and_renaming_completes(camera):
    camera.write("ir/1.png", "vis/1.png.part", "vis/.1.png", "vis/readme.txt")
    (camera.folder / "vis" / "2.png").mkdir()
    assert camera.looks() == []
    (camera.folder / "vis/1.png.part").rename(camera.folder / "vis/1.png")
    assert camera.looks() == ["1"]


@pytest.mark.parametrize("existing", [False, True])
def test_files_that_are_there_at_the_start_count_if_asked_for(tmp_path, existing):
    for name in ("10", "9", "1"):
        for source in ("ir", "vis"):
            (tmp_path / source).mkdir(exist_ok=True)
            (tmp_path / source / f"{name}.png").write_bytes(b"image")
    camera = Camera(tmp_path, existing=existing)
    camera.write("ir/11.png", "vis/11.png")
    assert camera.looks() == ([*"19", "10", "11"] if existing else ["11"])


def test_sets_that_stay_incomplete_are_forgotten_and_counted(camera):
    camera.write("ir/1.png")
    camera.write("vis/2.png", content=b"")
    assert camera.looks(20) == []
    assert camera.arrivals.incomplete == 2
    assert sorted(camera.arrivals.forgotten) == [
        ("1", (camera.folder / "ir/1.png",)),
        ("2", (camera.folder / "vis/2.png",)),
    ]
    assert camera.remembered[1:3] == (0, 0)


def test_what_is_remembered_does_not_grow_with_time(camera):
    """A camera for days, which removes its old files: what is left is what is in the folders."""
    for number in range(300):
        camera.write(f"ir/{number}.png", f"vis/{number}.png")
        if number % 10:
            assert camera.looks() == [str(number)]
        else:
            (camera.folder / f"vis/{number}.png").unlink()  # a set that stays incomplete
            assert camera.looks() == []
        for old in camera.folder.glob("*/*.png"):
            old.unlink()
        camera.arrivals.forgotten.clear()
    camera.looks(20)
    camera.arrivals.forgotten.clear()
    assert camera.remembered == (0, 0, 0, 0)
    assert camera.arrivals.incomplete == 30


def test_so_many_files_may_wait_and_the_oldest_are_forgotten(camera, monkeypatch):
    monkeypatch.setattr("fusionlab.sequences.arrivals.MAX_WAITING", 5)
    assert MAX_WAITING > 5
    camera.write(*(f"ir/{number}.png" for number in range(9)))
    camera.looks(2)
    assert camera.arrivals.incomplete == 4
    camera.write(*(f"vis/{number}.png" for number in range(9)))
    assert camera.looks() == ["4", "5", "6", "7", "8"]


def test_a_set_that_is_not_complete_after_all_comes_again(camera):
    camera.write("ir/1.png", "vis/1.png")
    camera.looks(1)
    camera.now += 1
    (first,) = camera.arrivals.look()
    camera.arrivals.try_again(first, 1.5)
    assert camera.looks(1) == []
    camera.now += 1
    (second,) = camera.arrivals.look()
    assert (second.name, second.attempts) == ("1", 1)
    assert (second.arrived, second.changed) == (first.arrived, first.changed)
    camera.arrivals.try_again(second, 0)
    camera.write("vis/1.png", content=b"more")
    assert camera.looks(1) == []
    camera.now += 1
    (third,) = camera.arrivals.look()
    assert third.changed > second.changed


STEPS = st.lists(
    st.tuples(st.sampled_from(["ir", "vis"]), st.sampled_from("1234"), st.integers(0, 2)),
    max_size=30,
)


@settings(max_examples=20)
@given(steps=STEPS)
def test_whatever_the_order_and_the_pauses_each_complete_set_comes_once(steps):
    """Cameras write files in three parts; whoever reads them returns those that lack one."""
    with TemporaryDirectory() as folder:
        camera = Camera(Path(folder), patience=1000)
        parts = dict.fromkeys(product(("ir", "vis"), "1234"), 0)
        complete = []
        for source, name, looks in [*steps, ("ir", "1", 40)]:
            if parts[source, name] < 3:
                parts[source, name] += 1
                camera.write(f"{source}/{name}.png", content=b"x" * parts[source, name])
            for _ in range(looks):
                camera.now += 1
                for arrived in camera.arrivals.look():
                    if all(path.stat().st_size == 3 for path in arrived.files):
                        complete.append(arrived.name)
                    elif camera.now - arrived.changed < 100:
                        camera.arrivals.try_again(arrived, 0)
        expected = [name for name in "1234" if parts["ir", name] == parts["vis", name] == 3]
        assert sorted(complete) == expected


def test_a_set_arrived_when_its_last_file_was_written_as_far_as_that_can_be(camera, monkeypatch):
    """The file system may have another clock; a file was written after the look before."""
    monkeypatch.setattr("time.time", lambda: 5000.0)
    for name, written, expected in (("1", 4999.6, 0.4), ("2", 4000.0, 1), ("3", 6000.0, 0)):
        camera.write(f"ir/{name}.png", f"vis/{name}.png")
        for source in ("ir", "vis"):
            os.utime(camera.folder / source / f"{name}.png", (written, written))
        camera.looks(1)
        found = camera.now
        camera.now += 1
        (arrived,) = camera.arrivals.look()
        assert found - arrived.arrived == pytest.approx(expected)


@pytest.mark.parametrize(
    "names",
    [("ir/1.png", "vis/1.png"), ("a/1.png", "b/1.png"), ("1_ir.png", "1_vis.png")],
    ids=["named-folders", "letters", "names"],
)
def test_the_sources_in_a_folder_that_is_empty_at_the_start_show_by_their_names(tmp_path, names):
    arrivals = Arrivals([tmp_path], settle=0)
    assert (arrivals.templates, arrivals.look()) == ((), [])
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"image")
    arrivals._next_search = 0
    assert [arrived.name for arrived in arrivals.look()] == ["1"]
    assert len(arrivals.templates) == 2


def test_names_in_one_folder_need_not_be_complete(tmp_path):
    """As long as files arrive, some have no partner yet."""
    for name in ("1_ir.png", "1_vis.png", "2_ir.png"):
        (tmp_path / name).write_bytes(b"image")
    camera = Camera(tmp_path, "{}_ir.*", "{}_vis.*")
    alone = Camera(tmp_path, ".")
    assert len(alone.arrivals.templates) == 2
    camera.write("2_vis.png", "3_vis.png", "3_ir.tif", "notes.png")
    assert camera.looks() == ["3"]  # of 2, a file was there before
    assert alone.looks() == ["3"]


def test_a_page_or_channels_of_one_file_may_be_the_sources(tmp_path):
    camera = Camera(tmp_path, "{}.png[channels=rgb]", "{}.png[channels=4]")
    camera.write("7.png")
    camera.looks(1)
    camera.now += 1
    (arrived,) = camera.arrivals.look()
    assert [path.name for path in arrived.files] == ["7.png[channels=rgb]", "7.png[channels=4]"]


def test_names_may_differ_in_case_and_zeros(tmp_path):
    camera = Camera(tmp_path, "ir", "vis")
    camera.write("ir/IMG_007.png", "vis/img_7.png")
    assert camera.looks() == ["IMG_007"]


def stale(_folder):
    raise OSError(errno.ESTALE, "Stale file handle")


def test_a_folder_that_cannot_be_read_for_a_moment_is_told_and_brings_no_file_twice(
    camera, monkeypatch
):
    camera.write("ir/1.png", "vis/1.png")
    assert camera.looks() == ["1"]
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", stale)
        with pytest.warns(FusionlabWarning) as told:
            assert camera.looks(3) == []
    assert [str(warning.message).partition(";")[0] for warning in told] == [
        f"cannot read {camera.folder / source}: Stale file handle" for source in ("ir", "vis")
    ]
    camera.write("ir/2.png", "vis/2.png")
    assert camera.looks() == ["2"]


def test_a_folder_that_cannot_be_read_at_the_start_is_refused(tmp_path, monkeypatch):
    (tmp_path / "ir").mkdir()
    (tmp_path / "vis").mkdir()
    monkeypatch.setattr("os.scandir", stale)
    with pytest.raises(FusionlabError, match="Stale file handle"):
        Arrivals([tmp_path / "ir", tmp_path / "vis"])


def test_a_folder_may_be_removed_and_made_again(camera):
    camera.write("ir/1.png", "vis/1.png")
    assert camera.looks() == ["1"]
    shutil.rmtree(camera.folder / "ir")
    with pytest.warns(FusionlabWarning, match="No such file"):
        assert camera.looks() == []
    camera.write("ir/2.png", "vis/2.png")
    assert camera.looks() == ["2"]


@pytest.mark.parametrize(
    ("sources", "code"),
    [
        (["missing"], "unreadable"),
        (["file.png", "vis"], "unreadable"),
        (["{}_ir.png"], "not-an-image-set"),
        (["ir", "{}/vis.png"], "not-a-template"),
        (["ir", "vis/{}.png[page=]"], "bad-selection"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path, sources, code):
    (tmp_path / "vis").mkdir()
    (tmp_path / "ir").mkdir()
    (tmp_path / "file.png").touch()
    with pytest.raises(FusionlabError) as error:
        Arrivals([tmp_path / source for source in sources])
    assert error.value.code == code
