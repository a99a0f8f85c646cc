"""Sets are fused as they arrive: nothing incomplete, nothing old, and nothing twice."""

import threading
import time

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion, load_sources
from fusionlab.sequences.arrivals import Arrivals, ArrivedSet
from fusionlab.sequences.latencies import Latencies
from fusionlab.sequences.watch import LatestSets, WatchRun

DEADLINE = 60  # seconds; nothing here takes so long, unless it hangs


@pytest.fixture(autouse=True)
def _searching_often(monkeypatch):
    monkeypatch.setattr("fusionlab.sequences.arrivals.SEARCH_SECONDS", 0.01)


def png(value, shape=(20, 30)):
    return iio.imwrite("<bytes>", np.full(shape, value, np.uint8), extension=".png")


def write(folder, name, value):
    """Write a pair as cameras do: each file under another name first."""
    for source, content in (("ir", png(value)), ("vis", png(value + 2))):
        (folder / source).mkdir(exist_ok=True)
        partial = folder / source / f"{name}.tmp"
        partial.write_bytes(content)
        partial.rename(folder / source / f"{name}.png")


class Watch:
    """A run in the folder `out`, which a test lets end when so many outcomes have come."""

    def __init__(self, folder, **options):
        for source in ("ir", "vis"):
            (folder / source).mkdir(exist_ok=True)
        self.folder = folder
        self.chosen = []
        existing = options.pop("existing", False)
        self.arrivals = Arrivals([folder], existing=existing, patience=options.pop("patience", 10))
        fusion = FileFusion(Fusion("identity", "mean"), installed())
        options = {"fusion": fusion, "load": load_sources, "look_seconds": 0.002} | options
        self.fusion = options.pop("fusion")
        self.run = WatchRun(self.arrivals, choose=self.choose, folder=folder / "out", **options)
        self.outcomes = self.run.run()

    def choose(self, files):
        self.chosen.append(files)
        return self.fusion

    def until(self, *statuses):
        """Return the outcomes up to the last of these statuses; they must come in this order."""
        end, outcomes = time.monotonic() + DEADLINE, []
        for outcome in self.outcomes:
            outcomes += [outcome] if outcome else []
            if [outcome.status for outcome in outcomes] == list(statuses):
                return outcomes
            assert time.monotonic() < end, outcomes
        raise AssertionError(outcomes)

    def images(self):
        return {
            path.stem: iio.imread(path)
            for path in sorted((self.folder / "out").glob("*"))
            if path.suffix == ".png"
        }


def test_pairs_are_fused_as_they_arrive(tmp_path):
    watch = Watch(tmp_path)
    next(watch.outcomes)
    for number in range(3):
        write(tmp_path, f"{number}", 10 * number)
        (outcome,) = watch.until("fused")
        assert (outcome.name, outcome.color) == (f"{number}", "per-channel")
        assert 0 < outcome.latency < DEADLINE
    watch.outcomes.close()
    assert {stem: image.mean() for stem, image in watch.images().items()} == {
        "0": 1,
        "1": 11,
        "2": 21,
    }
    assert len(watch.chosen) == 1
    assert watch.run.latencies.count == 3


def test_a_file_that_is_written_slowly_is_no_error(tmp_path):
    watch = Watch(tmp_path)
    next(watch.outcomes)
    content = png(7, (200, 300))
    (tmp_path / "ir/1.png").write_bytes(content)

    def camera():
        with (tmp_path / "vis/1.png").open("wb") as file:
            for start in range(0, len(content), len(content) // 4 + 1):
                file.write(content[start : start + len(content) // 4 + 1])
                file.flush()
                time.sleep(0.06)  # longer than a file must not have changed

    thread = threading.Thread(target=camera)
    thread.start()
    watch.until("fused")
    thread.join()
    watch.outcomes.close()
    assert watch.images()["1"].mean() == 7


def test_a_damaged_file_fails_by_itself_after_a_grace(tmp_path, monkeypatch):
    monkeypatch.setattr("fusionlab.sequences.watch.GRACE", 0.2)
    monkeypatch.setattr("fusionlab.sequences.watch.FIRST_DELAY", 0.02)
    watch = Watch(tmp_path)
    next(watch.outcomes)
    write(tmp_path, "1", 10)
    (tmp_path / "vis/1.png").write_bytes(png(12)[:-20])
    write(tmp_path, "2", 20)
    fused, failed = watch.until("fused", "failed")
    watch.outcomes.close()
    assert (fused.name, failed.name) == ("2", "1")
    assert failed.problem.startswith("1: cannot read")
    assert [*watch.images()] == ["2"]


def test_the_oldest_of_the_waiting_sets_is_dropped(tmp_path):
    started, go_on = threading.Event(), threading.Event()

    def load(files):
        started.set()
        assert go_on.wait(DEADLINE)
        return load_sources(files)

    watch = Watch(tmp_path, load=load, queue=2)
    next(watch.outcomes)

    def camera():
        for number in range(6):
            write(tmp_path, f"{number}", number)
            started.wait(DEADLINE)  # the first is being read
        while watch.run.counts["dropped"] < 3:
            time.sleep(0.001)
        go_on.set()

    thread = threading.Thread(target=camera)
    thread.start()
    outcomes = watch.until("dropped", "dropped", "dropped", "fused", "fused", "fused")
    thread.join()
    watch.outcomes.close()
    assert [outcome.name for outcome in outcomes] == [*"123045"]
    assert watch.run.counts == {"dropped": 3, "incomplete": 0, "waiting": 0}


def test_what_was_there_at_the_start_is_not_dropped(tmp_path):
    for number in range(9):
        write(tmp_path, f"{number}", number)
    watch = Watch(tmp_path, existing=True, queue=1, idle=0.1)
    outcomes = [outcome for outcome in watch.outcomes if outcome]
    assert [(outcome.name, outcome.status, outcome.latency) for outcome in outcomes] == [
        (f"{number}", "fused", None) for number in range(9)
    ]
    assert watch.run.latencies.count == 0


def test_an_incomplete_set_is_told_about_once(tmp_path):
    watch = Watch(tmp_path, patience=0.05)
    next(watch.outcomes)
    (tmp_path / "ir/1.png").write_bytes(png(1))
    (outcome,) = watch.until("incomplete")
    watch.outcomes.close()
    assert str(tmp_path / "ir/1.png") in outcome.problem


@pytest.mark.parametrize(("overwrite", "status"), [(False, "failed"), (True, "fused")])
def test_existing_images_are_kept_unless_they_may_be_replaced(tmp_path, overwrite, status):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1.png").write_bytes(png(99))
    watch = Watch(tmp_path, overwrite=overwrite)
    next(watch.outcomes)
    write(tmp_path, "1", 10)
    (outcome,) = watch.until(status)
    watch.outcomes.close()
    assert outcome.option == ("" if overwrite else "overwrite")
    assert watch.images()["1"].mean() == (11 if overwrite else 99)


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_source_is_replaced_by_a_link_and_other_files_only_if_they_may_be(tmp_path, overwrite):
    fusion = FileFusion(Fusion("identity", "mean"), installed(), record=True)
    watch = Watch(tmp_path, overwrite=overwrite, fusion=fusion)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1.png").symlink_to(tmp_path / "ir/1.png")
    (tmp_path / "out/2.png.json").write_text("mine", encoding="utf-8")
    next(watch.outcomes)
    for name in "12":
        write(tmp_path, name, 10)
        if overwrite and name == "2":
            (outcome,) = watch.until("fused")
        else:
            (outcome,) = watch.until("failed")
            assert outcome.problem
    watch.outcomes.close()
    assert (tmp_path / "ir/1.png").read_bytes() == png(10)
    mine = (tmp_path / "out/2.png.json").read_text(encoding="utf-8") == "mine"
    assert mine != overwrite


def test_what_is_still_being_written_at_the_end_is_waited_for(tmp_path, monkeypatch):
    """Also where it turns out to be damaged, and sets whose other files have not come are told."""
    monkeypatch.setattr("fusionlab.sequences.watch.GRACE", 0.3)
    watch = Watch(tmp_path, existing=True, duration=0.01)
    write(tmp_path, "1", 10)
    (tmp_path / "vis/1.png").write_bytes(b"no image")
    (tmp_path / "ir/2.png").write_bytes(png(1))
    watch.arrivals.look()
    outcomes = [outcome for outcome in watch.outcomes if outcome]
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [
        ("1", "failed"),
        ("2", "incomplete"),
    ]


def test_what_was_being_written_at_a_stop_is_complete(tmp_path):
    watch = Watch(tmp_path)
    encode, encoding = watch.fusion.encode, threading.Event()

    def slow_encode(product):
        encoding.set()
        time.sleep(0.1)
        return encode(product)

    watch.fusion.encode = slow_encode
    next(watch.outcomes)
    write(tmp_path, "1", 10)
    for _ in watch.outcomes:
        if encoding.is_set():
            break
    watch.outcomes.close()
    assert [outcome.status for outcome in watch.run.rest()] == ["fused"]
    assert watch.images()["1"].mean() == 11
    assert not [path for path in (tmp_path / "out").iterdir() if "partial" in path.name]


def test_a_folder_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch):
    def full(_files, **_options):
        raise FusionlabError("cannot write: No space left on device", code="unwritable")

    monkeypatch.setattr("fusionlab.sequences.watch.atomic_write_all", full)
    watch = Watch(tmp_path)
    next(watch.outcomes)
    write(tmp_path, "1", 10)
    with pytest.raises(FusionlabError, match="No space left"):
        watch.until("fused")


def test_results_do_not_go_into_a_folder_that_is_watched(tmp_path):
    watch = Watch(tmp_path)
    watch.run.folder = tmp_path / "vis"
    with pytest.raises(FusionlabError) as error:
        next(watch.outcomes)
    assert error.value.code == "output-is-source"


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_source_is_replaced_where_it_shows_later_what_is_watched(tmp_path, overwrite):
    watch = Watch(tmp_path, overwrite=overwrite)
    for source in ("ir", "vis"):
        (tmp_path / source).rmdir()
    watch.run.arrivals = Arrivals([tmp_path])
    watch.run.folder = tmp_path / "vis"
    next(watch.outcomes)
    write(tmp_path, "1", 10)
    with pytest.raises(FusionlabError) as error:
        watch.until("fused")
    assert error.value.code == "output-is-source"
    assert (tmp_path / "vis/1.png").read_bytes() == png(12)


def test_sources_that_are_not_clear_end_the_run(tmp_path):
    watch = Watch(tmp_path)
    (tmp_path / "ir").rmdir()
    (tmp_path / "vis").rmdir()
    watch.run.arrivals = Arrivals([tmp_path])
    next(watch.outcomes)
    for folder in ("ir", "infrared", "vis"):
        (tmp_path / folder).mkdir()
    with pytest.raises(FusionlabError) as error:
        watch.until("fused")
    assert error.value.code == "ambiguous-folders"


def test_a_queue_takes_those_of_the_start_first():
    def arrived(name, existing):
        return ArrivedSet(name, (), (), 0, 0, existing)

    sets = LatestSets(2)
    for name in "abc":
        sets.put(arrived(name, existing=False))
    for name in "xyz":
        sets.put(arrived(name, existing=True))
    assert (sets.drops, len(sets), [old.name for old in sets.dropped]) == (1, 5, ["a"])
    assert [sets.take().name for _ in range(5)] == [*"xyzbc"]
    assert sets.take() is None


def test_percentiles_are_exact_to_a_percent():
    seconds = np.random.default_rng(0).lognormal(-3, 1, 10_000)
    latencies = Latencies()
    assert latencies.describe() == {"median": 0, "95%": 0, "max": 0}
    for value in seconds:
        latencies.add(float(value))
    assert latencies.count == len(seconds)
    for percent in (5, 50, 95, 99.9):
        expected = np.percentile(seconds, percent, method="inverted_cdf")
        assert latencies.percentile(percent) == pytest.approx(expected, rel=0.015)
    assert latencies.percentile(100) == latencies.maximum == seconds.max()
    latencies.add(1e9)
    latencies.add(0)
    assert latencies.maximum == 1e9
