"""Folder runs: what overlaps, what fails alone, what ends the run, and what resuming believes."""

import json
import os
import shutil
import subprocess
import textwrap
from collections import Counter
from contextlib import closing
from errno import EACCES, EFBIG, EIO, EISDIR, ENAMETOOLONG, ENOSPC
from pathlib import Path
from threading import Event

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from faulty_files import FaultyFiles
from refusals import refused

from fusionlab import Fusion
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import installed
from fusionlab.runs import folder_run
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.folder_run import ERRORS_OF_ONE_FILE, MIN_READ_AHEAD, FolderRun
from fusionlab.runs.image_sets import find_image_set
from fusionlab.runs.manifest import MANIFEST_NAME, RunManifest
from fusionlab.storage.atomic import atomic_write_all
from fusionlab_encoders.identity import Identity

RNG = np.random.default_rng(0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(count, *folders, shape=(12, 16)):
    """Write images of noise, `000.png`, `001.png`, ... into each folder."""
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
            iio.imwrite(f"{folder}/{number:03}.png", pixels)


def run(folder="out", sources=("ir", "vis"), file_fusion=None, **settings):
    """Fuse everything and return {stem: status}."""
    return {one.stem: one.status for one in outcomes(folder, sources, file_fusion, **settings)}


def outcomes(folder="out", sources=("ir", "vis"), file_fusion=None, **settings):
    file_fusion = file_fusion or FileFusion(Fusion("identity", "mean"), installed())
    return FolderRun(file_fusion, Path(folder), **settings).run(
        find_image_set([Path(s) for s in sources])
    )


def tree(folder):
    """Return {path: content} of everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def spied(**replaced):
    """Return a fusion some of whose methods call yours first; it fuses one image at a time."""
    file_fusion = FileFusion(Fusion("identity", "mean"), installed())
    file_fusion.batch_size = lambda _: 1
    for name, before in replaced.items():
        method = getattr(file_fusion, name)

        def both(*args, before=before, method=method, **kwargs):
            before(*args)
            return method(*args, **kwargs)

        setattr(file_fusion, name, both)
    return file_fusion


# --- what comes out


def test_each_stem_becomes_an_image_and_a_line(here):
    images(3, "ir", "vis", "uv")
    assert set(run(sources=("ir", "vis", "uv")).values()) == {"fused"}
    for stem in ("000", "001", "002"):
        sources = [iio.imread(f"{folder}/{stem}.png") for folder in ("ir", "vis", "uv")]
        assert np.array_equal(iio.imread(f"out/{stem}.png"), Fusion("identity", "mean")(sources))
    lines = [json.loads(line) for line in Path("out", MANIFEST_NAME).read_text().splitlines()]
    assert [line["stem"] for line in lines] == ["000", "001", "002"]
    assert sorted(tree("out")) == ["000.png", "001.png", "002.png", MANIFEST_NAME]


def test_the_folder_is_made_with_those_above_it(here):
    images(1, "ir", "vis")
    run("deep/er/out")
    assert Path("deep/er/out/000.png").is_file()


def test_a_folder_gives_the_bytes_that_single_fusions_give(here):
    images(2, "ir", "vis")
    file_fusion = FileFusion(
        Fusion("identity", "l1norm"), installed(), record=True, weights=Path("maps")
    )
    run(file_fusion=file_fusion)
    for stem in ("000", "001"):
        sources = [Path(f"ir/{stem}.png"), Path(f"vis/{stem}.png")]
        destination = file_fusion.plan(Path(f"out/{stem}.png"), sources)
        files = file_fusion.encode(file_fusion.fuse(file_fusion.load(sources), destination))
        assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("policy", ["clip", "minmax"])
@pytest.mark.parametrize("color", ["auto", "per-channel", "luma", "gray"])
def test_small_images_are_fused_together_and_come_out_as_if_alone(here, policy, color):
    """To the bit, whatever their neighbors are: of their size or not, in color, deep, damaged."""
    images(9, "ir", "vis")
    for number, shape in {2: (12, 17), 5: (12, 16, 3), 6: (12, 16, 3)}.items():
        pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
        iio.imwrite(f"vis/{number:03}.png", pixels)
        iio.imwrite(f"ir/{number:03}.png", pixels[..., :2].max(-1) if len(shape) > 2 else pixels)
    iio.imwrite("ir/007.png", RNG.integers(0, 65536, (12, 16), dtype=np.uint16))
    Path("vis/004.png").write_bytes(b"damaged")
    fusion = Fusion("densefuse", "l1norm", range_policy=policy, color=color)
    file_fusion = FileFusion(fusion, installed(), record=True, weights=Path("maps"))
    sizes = []
    fuse_batch = file_fusion.fuse_batch
    file_fusion.fuse_batch = lambda batch, out: sizes.append(len(batch)) or fuse_batch(batch, out)
    statuses = run(file_fusion=file_fusion)
    assert list(statuses) == [f"{number:03}" for number in range(9)]
    assert [stem for stem, status in statuses.items() if status == "failed"] == ["004"]
    assert sizes == [2, 2]  # 000 and 001, 005 and 006
    for stem in statuses.keys() - {"004"}:
        sources = [Path(f"ir/{stem}.png"), Path(f"vis/{stem}.png")]
        destination = file_fusion.plan(Path(f"out/{stem}.png"), sources)
        files = file_fusion.encode(file_fusion.fuse(file_fusion.load(sources), destination))
        assert {path: path.read_bytes() for path in files} == files


def shapes_of_batches(count, device, monkeypatch, folder):
    """Return the shapes that the encoder is given, and the results, of so many images of a size."""
    shapes = []

    class Recording(Identity):
        def encode(self, images):
            shapes.append(tuple(images.shape))
            return super().encode(images)

    fusion = Fusion(Recording(), "l1norm")
    monkeypatch.setattr(fusion, "device", torch.device(device))  # the engine stays on the CPU
    monkeypatch.setattr("fusionlab.fusion.may_move", lambda *_: False)  # nor are arrays moved there
    file_fusion = FileFusion(fusion, installed())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a double")
    items = find_image_set([Path("ir"), Path("vis")])[:count]
    list(FolderRun(file_fusion, folder, overwrite=True).run(items))
    return shapes, [path.read_bytes() for path in sorted(folder.glob("*.png"))]


def test_on_a_gpu_each_image_has_the_same_shape_of_batch_whatever_its_neighbors(here, monkeypatch):
    """Other shapes may use other kernels there; the device is a double."""
    images(5, "ir", "vis")
    alone, first = shapes_of_batches(1, "cuda", monkeypatch, Path("one"))
    several, all_of_them = shapes_of_batches(5, "cuda", monkeypatch, Path("five"))
    assert set(alone) == set(several) == {(2, 1, 12, 16)}
    assert len(several) == 5 * len(alone)  # and nothing is computed twice
    assert all_of_them[:1] == first
    together, _ = shapes_of_batches(5, "cpu", monkeypatch, Path("cpu"))
    assert len(together) < 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_on_a_gpu_the_result_for_an_image_does_not_depend_on_its_neighbors(here, precision):
    images(5, "ir", "vis", shape=(64, 80))
    fusion = Fusion("densefuse@1e2", "l1norm", device="cuda", precision=precision)
    items = find_image_set([Path("ir"), Path("vis")])
    for folder, chosen in (("one", items[:1]), ("two", items[:2]), ("all", items)):
        list(FolderRun(FileFusion(fusion, installed()), Path(folder)).run(chosen))
    for folder in ("one", "two"):
        for path in Path(folder).glob("*.png"):
            assert path.read_bytes() == Path("all", path.name).read_bytes()


def test_images_that_need_another_color_mode_are_not_fused_together(here):
    """A gray image in three channels has the layout of a color image, but another mode."""
    images(6, "ir", "vis", shape=(12, 16, 3))
    for number in (0, 1, 4):
        gray = RNG.integers(0, 256, (12, 16, 1), dtype=np.uint8)
        iio.imwrite(f"ir/{number:03}.png", gray.repeat(3, axis=2))
    file_fusion = FileFusion(Fusion("identity", "l1norm"), installed(), record=True)
    sizes = []
    fuse_batch = file_fusion.fuse_batch
    file_fusion.fuse_batch = lambda batch, out: sizes.append(len(batch)) or fuse_batch(batch, out)
    modes = [one.color for one in outcomes(file_fusion=file_fusion)]
    assert modes == ["luma", "luma", "per-channel", "per-channel", "luma", "per-channel"]
    assert sizes == [2, 2]
    for number, mode in enumerate(modes):
        sources = [Path(f"{folder}/{number:03}.png") for folder in ("ir", "vis")]
        alone = FileFusion(Fusion("identity", "l1norm", color=mode), installed())
        fused = alone.fuse(alone.load(sources), alone.plan(Path("x.png"), sources)).fused.image
        assert np.array_equal(iio.imread(f"out/{number:03}.png"), fused)
        assert json.loads(Path(f"out/{number:03}.png.json").read_text())["color"] == mode
    assert set(run(file_fusion=file_fusion, resume=True).values()) == {"skipped"}


def test_pairs_of_other_sizes_fail_one_by_one(here):
    images(3, "ir")
    images(3, "vis", shape=(12, 17, 3))
    assert list(run().values()) == ["failed"] * 3


def test_of_images_that_are_fused_together_one_fails_alone(here):
    for folder in ("ir", "vis"):
        Path(folder).mkdir()
        for number in range(4):
            pixels = RNG.random((12, 16), dtype=np.float32)
            if (folder, number) == ("vis", 2):
                pixels[3, 4] = np.inf
            iio.imwrite(f"{folder}/{number:03}.tif", pixels)
    found = {one.stem: one for one in outcomes(suffix=".tif")}
    assert [one.status for one in found.values()] == ["fused", "fused", "failed", "fused"]
    assert found["002"].problem.startswith("002: vis/002.tif holds NaN or infinity at 1 of 192")


def test_outcomes_come_in_the_order_of_the_items_whatever_fails(here):
    images(20, "ir", "vis")
    for number in (0, 3, 4, 11, 19):
        Path(f"vis/{number:03}.png").write_bytes(b"damaged")
    Path("vis/007.png").unlink()
    found = list(outcomes())
    assert [one.stem for one in found] == [f"{number:03}" for number in range(20)]
    failed = [int(one.stem) for one in found if one.status == "failed"]
    assert failed == [0, 3, 4, 7, 11, 19]
    assert all(bool(one.problem) == (one.status == "failed") for one in found)
    assert sorted(tree("out")) == sorted(
        [f"{number:03}.png" for number in range(20) if number not in failed] + [MANIFEST_NAME]
    )


def test_each_kind_of_failure_is_a_sentence_with_the_name_of_the_file(here):
    images(6, "ir", "vis")
    Path("ir/000.png").write_bytes(b"")
    Path("ir/001.png").write_bytes(Path("vis/001.png").read_bytes()[:100])
    iio.imwrite("ir/002.png", np.zeros((12, 17), np.uint8))
    Path("ir/003.png").unlink()
    Path("ir/003.png").symlink_to("003.png")
    Path("ir/004.png").unlink()
    problems = [one.problem for one in outcomes()]
    assert problems[0].startswith("000: cannot read ir/000.png: it is empty")
    assert problems[1].startswith("001: cannot read ir/001.png: ")
    assert problems[2].startswith("002: the sources must have the same size")
    assert problems[3] == "003: cannot read ir/003.png: Too many levels of symbolic links"
    assert problems[4].startswith("004 is missing in ir;")
    assert problems[5] == ""


def test_a_image_too_large_for_its_format_fails_by_itself(here):
    images(2, "ir", "vis")
    for folder in ("ir", "vis"):
        iio.imwrite(f"{folder}/000.png", np.zeros((1, 65_536), np.uint8))
    assert run(suffix=".jpg") == {"000": "failed", "001": "fused"}
    assert sorted(tree("out")) == ["001.jpg", MANIFEST_NAME]


def test_notes_come_with_their_outcome(here):
    images(2, "ir", "vis")
    Path("vis/001.png").write_bytes(Path("ir/001.png").read_bytes())
    first, second = outcomes()
    assert first.notes == ()
    assert second.notes == ("vis/001.png is the same image as ir/001.png",)


# --- overlapping


def test_reading_and_fusing_run_ahead_of_the_outcomes_but_never_far(here):
    images(30, "ir", "vis")
    started = Counter()
    file_fusion = spied(
        load=lambda *_: started.update(["load"]), fuse=lambda *_: started.update(["fuse"])
    )
    for number, _ in enumerate(outcomes(file_fusion=file_fusion), start=1):
        assert started["fuse"] - number <= MIN_READ_AHEAD
        assert started["load"] - number <= 2 * MIN_READ_AHEAD
    assert started == {"load": 30, "fuse": 30}


def test_nothing_is_read_before_the_first_outcome_is_requested(here):
    images(2, "ir", "vis")
    run_ = outcomes(file_fusion=spied(load=lambda *_: pytest.fail("read")))
    assert not Path("out").exists()
    run_.close()


def test_reading_goes_on_while_the_fusion_computes_and_an_image_is_written(here):
    """A run that overlapped nothing would wait for ever."""
    images(4, "ir", "vis")
    third_read, first_written = Event(), Event()

    def load(sources):
        if sources[0].stem == "002":
            third_read.set()

    def fuse(sources, destination, *_):
        if destination.image.stem == "000":
            assert third_read.wait(60)  # while the first is fused, the third is read
        if destination.image.stem == "001":
            first_written.set()

    file_fusion = spied(load=load, fuse=fuse, encode=lambda _: first_written.wait(60))
    assert set(run(file_fusion=file_fusion).values()) == {"fused"}


def test_seconds_are_counted_for_each_part(here):
    images(3, "ir", "vis")
    file_fusion = FileFusion(Fusion("identity", "mean"), installed())
    one = FolderRun(file_fusion, Path("out"))
    list(one.run(find_image_set([Path("ir"), Path("vis")])))
    assert min(one.seconds.read, one.seconds.fuse, one.seconds.write) > 0


# --- stopping


def test_a_caller_that_stops_asking_leaves_complete_images_only(here):
    images(20, "ir", "vis")
    with closing(outcomes()) as found:
        next(found)
        next(found)
    there = tree("out")
    assert 2 <= len(there) - 1 < 20
    assert all(
        iio.imread(f"out/{name}").shape == (12, 16) for name in there if name != MANIFEST_NAME
    )
    statuses = run(resume=True)
    assert list(statuses.values())[:2] == ["skipped", "skipped"]
    assert len(tree("out")) == 21
    run("undisturbed")
    assert tree("out") == tree("undisturbed")


def test_a_disk_that_fills_up_ends_the_run_and_what_is_there_is_complete(here):
    images(12, "ir", "vis")
    run("undisturbed")
    with FaultyFiles("out", 60, ENOSPC, stays=True):  # of some 12 calls for each image
        with pytest.raises(FusionlabError, match="No space left on") as failure:
            run()
        assert (failure.value.code, failure.value.path.parent) == ("unwritable", Path("out"))
    there = set(tree("out")) - {MANIFEST_NAME}
    assert 0 < len(there) < 12
    assert there < set(tree("undisturbed"))
    assert Counter(run(resume=True).values()) == {"skipped": len(there), "fused": 12 - len(there)}
    assert tree("out") == tree("undisturbed")


def test_a_manifest_that_cannot_be_written_leaves_no_image_behind(here, monkeypatch):
    images(3, "ir", "vis")

    def full(*args):
        raise FusionlabError("the disk is full", code="unwritable", path=Path("manifest"))

    monkeypatch.setattr(RunManifest, "add", full)
    with pytest.raises(FusionlabError, check=refused("unwritable", Path("manifest"))):
        run()
    assert tree("out") == {}


def test_files_that_cannot_be_put_in_place_are_told_by_their_name(here):
    (here / "b.json").mkdir()
    for names, blamed in ((("a", "b.json"), "b.json"), (("b.json", "a"), "b.json")):
        with (
            pytest.raises(FusionlabError, check=refused("unwritable", Path(blamed))),
            atomic_write_all({Path(name): b"" for name in names}),
        ):
            pass
        assert not list(here.glob(".fusionlab-partial-*"))


STAGES = {
    "plan": lambda output, _: output.stem,
    "load": lambda paths: paths[0].stem,
    "fit_together": lambda _, second: Path(second[0].name).stem,
    "batch_size": lambda sources: Path(sources[0].name).stem,
    "fuse": lambda _, destination: destination.image.stem,
    "encode": lambda product: product.destination.image.stem,
}
"""Method of a fusion -> which stem its arguments are about."""


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "problem",
    [KeyError("x"), SystemExit(0), MemoryError(), OSError(5, "I/O error"), FusionlabError("odd")],
    ids=lambda problem: type(problem).__name__,
)
def test_whatever_is_wrong_with_one_item_at_any_stage_costs_that_item(here, stage, problem):
    images(4, "ir", "vis")
    run("undisturbed")
    file_fusion = FileFusion(Fusion("identity", "mean"), installed())
    method = getattr(file_fusion, stage)

    def failing(*args, **kwargs):
        if STAGES[stage](*args) == "002":
            raise problem
        return method(*args, **kwargs)

    setattr(file_fusion, stage, failing)
    if stage == "fuse":
        file_fusion.batch_size = lambda _: 1
    result = list(outcomes(file_fusion=file_fusion))
    assert [one.status for one in result] == ["fused", "fused", "failed", "fused"]
    assert result[2].problem.startswith("002: ")
    assert "\n" not in result[2].problem
    there, undisturbed = tree("out"), tree("undisturbed")
    assert there.keys() == undisturbed.keys() - {"002.png"}
    assert all(there[name] == undisturbed[name] for name in there if name != MANIFEST_NAME)


@pytest.mark.parametrize("code", [ENAMETOOLONG, EFBIG, EISDIR, ENOSPC, EIO, EACCES])
@pytest.mark.parametrize("kind", ["open", "rename"])
def test_an_error_of_one_file_costs_its_image_and_one_of_the_disk_ends_the_run(
    here, monkeypatch, code, kind
):
    monkeypatch.setattr(folder_run, "WRITERS", 1)  # else the order of calls is a matter of chance
    images(4, "ir", "vis")
    with FaultyFiles("undisturbed") as calm:
        run("undisturbed")
    second = calm.calls.index(("rename", "001.png"))
    if kind == "open":
        second = max(n for n, (name, _) in enumerate(calm.calls[:second]) if name == "open") - 2
        assert calm.calls[second][1].startswith(".fusionlab-partial-")
    with FaultyFiles("out", second, code):
        if code in ERRORS_OF_ONE_FILE:
            assert list(run().values()) == ["fused", "failed", "fused", "fused"]
        else:
            with pytest.raises(FusionlabError, check=refused("unwritable", Path("out/001.png"))):
                run()
    assert not [*here.rglob(".fusionlab-*")]
    assert "failed" not in run(resume=True).values()
    assert tree("out") == tree("undisturbed")


def test_a_run_resolves_the_paths_of_folders_and_not_of_each_file(here, monkeypatch):
    """It took 74 of the 102 seconds before a run of 100,000 pairs began."""
    images(9, "ir", "vis")
    run()
    resolved = []
    realpath = os.path.realpath
    monkeypatch.setattr(
        os.path, "realpath", lambda path, **more: resolved.append(path) or realpath(path, **more)
    )
    assert set(run(resume=True).values()) == {"skipped"}
    assert len(resolved) < 9


# --- two runs at once


@pytest.mark.parametrize(
    ("sources", "settings"),
    [(("ir", "vis"), {}), (("ir2", "vis2"), {}), (("ir", "vis"), {"suffix": ".tif"})],
    ids=["the same run", "other images", "other settings"],
)
def test_a_second_run_into_a_folder_is_refused_and_harms_nothing(here, sources, settings):
    images(3, "ir", "vis")
    for letter in ("ir", "vis"):
        shutil.copytree(letter, f"{letter}2")
        for path in Path(f"{letter}2").iterdir():
            path.rename(path.with_name(f"other-{path.name}"))
    run("undisturbed")
    first = outcomes()
    next(first)
    for resume in (False, True):
        with pytest.raises(FusionlabError, check=refused("locked", Path("out"))):
            run(sources=sources, resume=resume, overwrite=True, **settings)
    list(first)
    assert tree("out") == tree("undisturbed")
    run(sources=sources, overwrite=True, **settings)
    assert set(run(sources=sources, resume=True, **settings).values()) == {"skipped"}
    if not settings:
        assert set(run(resume=True).values()) == {"skipped"}


def test_a_folder_of_maps_is_locked_as_the_folder_of_images(here):
    images(2, "ir", "vis")
    file_fusion = FileFusion(Fusion("identity", "l1norm"), installed(), weights=Path("maps"))
    first = outcomes(file_fusion=file_fusion)
    next(first)
    for folder, others in (("other", file_fusion), ("maps", None)):
        with pytest.raises(FusionlabError, check=refused("locked", Path("maps"))):
            run(folder, file_fusion=others, overwrite=True)
    list(first)
    assert not [*here.rglob(".fusionlab-*")]


def test_a_single_image_written_into_the_folder_of_a_run_stays_whole(here):
    """A run removes the partial files of killed ones, and not those of others that live."""
    images(1, "ir", "vis")
    with atomic_write_all({Path("ir/single.png"): b"1", Path("single.png"): b"2"}):
        list(outcomes(folder="."))
    assert Path("single.png").read_bytes() == b"2"


# --- what is in the way


def test_a_refused_run_changes_nothing_and_its_advice_works(here):
    images(3, "ir", "vis")
    run()
    before = tree(here)
    with pytest.raises(FusionlabError, check=refused("exists", Path("out/000.png"), "resume")):
        run(file_fusion=FileFusion(Fusion("identity", "mean"), installed(), weights=Path("maps")))
    with pytest.raises(FusionlabError, check=refused("exists", Path("out/000.png"), "resume")):
        run()
    assert tree(here) == before
    assert set(run(resume=True).values()) == {"skipped"}


def test_files_of_other_programs_are_never_replaced_by_default(here):
    images(3, "ir", "vis")
    Path("out").mkdir()
    Path("out/001.png").write_bytes(b"precious")
    Path("out/note.txt").write_bytes(b"precious")
    before = tree(here)
    with pytest.raises(FusionlabError, check=refused("exists", Path("out/001.png"), "resume")):
        run()
    with pytest.raises(FusionlabError, check=refused("exists", Path("out/001.png"), "overwrite")):
        run(resume=True)
    assert tree(here) == before
    assert set(run(overwrite=True).values()) == {"fused"}
    assert Path("out/note.txt").read_bytes() == b"precious"


@pytest.mark.parametrize("there", ["out/001.png.json", "maps/001-weights-2-001.png"])
def test_the_files_beside_an_image_are_as_safe_as_the_image(here, there):
    images(3, "ir", "vis")
    run()
    Path(there).parent.mkdir(exist_ok=True)
    Path(there).write_bytes(b"precious")
    fusion = Fusion("identity", "l1norm")
    file_fusion = FileFusion(fusion, installed(), record=True, weights=Path("maps"))
    with pytest.raises(FusionlabError, check=refused("exists", Path(there), "overwrite")):
        run(file_fusion=file_fusion, resume=True)
    assert Path(there).read_bytes() == b"precious"


@pytest.mark.parametrize("where", ["ir", "vis/", "sub/../ir", "link"])
def test_a_folder_of_sources_takes_no_results(here, where):
    images(1, "ir", "vis")
    Path("sub").mkdir()
    Path("link").symlink_to("vis")
    before = tree(here)
    for settings in (
        {"folder": where},
        {"file_fusion": FileFusion(Fusion("identity", "l1norm"), installed(), weights=Path(where))},
    ):
        with pytest.raises(FusionlabError, check=refused("output-is-source", Path(where))):
            run(overwrite=True, **settings)
    assert tree(here) == before


def test_a_link_among_the_results_never_leads_to_a_source(here):
    images(2, "ir", "vis")
    Path("out").mkdir()
    Path("out/000.png").symlink_to("../vis/001.png")
    before = tree(here)
    with pytest.raises(FusionlabError, check=refused("output-is-source", Path("out/000.png"))):
        run(overwrite=True)
    assert tree(here) == before


@pytest.mark.parametrize("target", ["nowhere.png", "000.png", "/dev/null"])
def test_a_link_among_the_results_is_in_the_way_wherever_it_leads(here, target):
    images(1, "ir", "vis")
    Path("out").mkdir()
    Path("out/000.png").symlink_to(target)
    before = sorted(tree(here))
    for settings in ({}, {"resume": True}):
        with pytest.raises(FusionlabError, check=lambda error: error.path == Path("out/000.png")):
            run(**settings)
    assert sorted(tree(here)) == before
    assert not Path("out/nowhere.png").exists()


@pytest.mark.parametrize("settings", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_with_the_name_of_a_result_is_one_sentence(here, settings):
    images(1, "ir", "vis")
    Path("out/000.png").mkdir(parents=True)
    with pytest.raises(FusionlabError, check=refused("unwritable", Path("out/000.png"))):
        run(**settings)


def test_a_file_where_the_folder_should_be_is_one_sentence(here):
    images(1, "ir", "vis")
    Path("out").write_bytes(b"precious")
    for where in ("out", "out/below"):
        with pytest.raises(FusionlabError, check=refused("unwritable", Path(where))):
            run(where)
    assert Path("out").read_bytes() == b"precious"


def test_an_item_that_cannot_be_fused_replaces_nothing(here):
    images(2, "ir", "vis")
    Path("vis/000.png").unlink()
    Path("out").mkdir()
    Path("out/000.png").write_bytes(b"precious")
    assert run() == {"000": "failed", "001": "fused"}
    assert Path("out/000.png").read_bytes() == b"precious"


# --- resuming


def test_nothing_is_done_again_when_nothing_has_changed(here):
    images(5, "ir", "vis")
    run()
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    content = tree("out")
    file_fusion = spied(load=lambda *_: pytest.fail("read again"))
    assert set(run(file_fusion=file_fusion, resume=True).values()) == {"skipped"}
    assert tree("out") == content
    assert {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")} == before


def test_resuming_in_an_empty_folder_begins(here):
    images(2, "ir", "vis")
    assert set(run(resume=True).values()) == {"fused"}


def test_only_what_changed_is_done_again(here):
    images(6, "ir", "vis")
    run()
    iio.imwrite("ir/001.png", RNG.integers(0, 256, (12, 16), dtype=np.uint8))
    Path("out/002.png").unlink()
    Path("out/003.png").write_bytes(Path("out/003.png").read_bytes()[:-1])
    Path("ir/004.png").write_bytes(b"damaged")
    assert run(resume=True) == {
        "000": "skipped",
        "001": "fused",
        "002": "fused",
        "003": "fused",
        "004": "failed",
        "005": "skipped",
    }
    assert set(run(resume=True).values()) == {"skipped", "failed"}


def test_a_source_with_the_same_size_and_time_but_other_bytes_counts_as_changed(here):
    for folder in ("ir", "vis"):
        Path(folder).mkdir()
        iio.imwrite(f"{folder}/x.bmp", RNG.integers(0, 256, (12, 16), dtype=np.uint8))
    run()
    before = Path("ir/x.bmp").stat()
    content = bytearray(Path("ir/x.bmp").read_bytes())
    content[-1] ^= 1
    Path("ir/x.bmp").write_bytes(content)
    os.utime("ir/x.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(resume=True) == {"x": "fused"}


def test_sources_in_another_order_are_other_sources(here):
    images(1, "ir", "vis")
    run()
    assert run(sources=("vis", "ir"), resume=True) == {"000": "fused"}


def test_sources_that_were_moved_and_renamed_are_the_same_sources(here):
    images(2, "ir", "vis")
    run()
    Path("ir").rename("infrared")
    assert set(run(sources=("infrared", "vis"), resume=True).values()) == {"skipped"}


def test_new_stems_are_added_and_old_ones_stay(here):
    images(3, "ir", "vis")
    run()
    for folder in ("ir", "vis"):
        iio.imwrite(f"{folder}/zzz.png", RNG.integers(0, 256, (12, 16), dtype=np.uint8))
        Path(f"{folder}/000.png").unlink()
    assert run(resume=True) == {"001": "skipped", "002": "skipped", "zzz": "fused"}
    assert len(Path("out", MANIFEST_NAME).read_text().splitlines()) == 4
    assert Path("out/000.png").is_file()


def test_two_image_sets_share_a_folder_and_both_can_be_resumed(here):
    images(2, "ir", "vis")
    for folder in ("left", "right"):
        Path(folder).mkdir()
        iio.imwrite(f"{folder}/x.png", RNG.integers(0, 256, (12, 16), dtype=np.uint8))
    run()
    assert run(sources=("left", "right")) == {"x": "fused"}
    assert set(run(resume=True).values()) == {"skipped"}
    assert set(run(sources=("left", "right"), resume=True).values()) == {"skipped"}


def test_an_interrupted_run_that_overwrites_can_be_resumed(here):
    images(20, "ir", "vis")
    run()
    largest = FileFusion(Fusion("identity", "max"), installed())
    with closing(outcomes(file_fusion=largest, overwrite=True)) as found:
        next(found)
    statuses = Counter(run(file_fusion=largest, resume=True).values())
    assert statuses["skipped"] >= 1
    assert statuses["fused"] >= 1
    run("undisturbed", file_fusion=largest)
    assert tree("out") == tree("undisturbed")


def test_a_truncated_line_costs_only_its_image(here):
    images(3, "ir", "vis")
    run()
    content = tree("out")
    manifest = Path("out", MANIFEST_NAME)
    manifest.write_bytes(manifest.read_bytes()[:-20])
    Path("out/002.png").unlink()  # it appears only after its line
    assert list(run(resume=True).values()) == ["skipped", "skipped", "fused"]
    assert tree("out") == content


def test_a_manifest_of_garbage_finishes_nothing_and_lets_nothing_be_replaced(here):
    images(2, "ir", "vis")
    run()
    Path("out", MANIFEST_NAME).write_bytes(bytes(range(256)) * 10)
    before = tree("out")
    with pytest.raises(FusionlabError, check=refused("exists", Path("out/000.png"), "overwrite")):
        run(resume=True)
    assert tree("out") == before
    assert set(run(resume=True, overwrite=True).values()) == {"fused"}
    assert set(run(resume=True).values()) == {"skipped"}


def test_temporary_files_of_a_killed_run_are_removed_when_it_is_resumed(here):
    images(1, "ir", "vis")
    for folder in ("out", "maps"):
        Path(folder).mkdir()
        Path(folder, ".fusionlab-partial-0123456789abcdef.png").write_bytes(b"half")
        Path(folder, ".hidden.png").write_bytes(b"precious")
    fusion = Fusion("identity", "l1norm")
    run(file_fusion=FileFusion(fusion, installed(), weights=Path("maps")), resume=True)
    for folder in ("out", "maps"):
        assert [path.name for path in Path(folder).glob(".*")] == [".hidden.png"]


KILLED_AT_EVERY_STEP = """
    import os, shutil, signal, sys
    from pathlib import Path
    import torch
    from fusionlab import Fusion
    from fusionlab.runs.file_fusion import FileFusion
    from fusionlab.runs.folder_run import FolderRun
    from fusionlab.runs.image_sets import find_image_set
    from fusionlab.plugins.host import installed

    torch.set_num_threads(1)
    file_fusion = FileFusion(Fusion("identity", "mean"), installed(), record=True)
    out = Path("out")
    entries = find_image_set([Path("ir"), Path("vis")])

    def run(step=None):
        "Fuse everything in a process of its own, which is killed before its step-th file event."
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        steps = iter(range(step or 10**9))
        def count(event, args):
            if event in ("open", "os.rename", "os.remove") and "out/" in str(args[0]):
                if next(steps, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        list(FolderRun(file_fusion, out, resume=True).run(entries))
        os._exit(0)

    def tree():
        return {path.name: path.read_bytes() for path in out.glob("*")}

    assert run() == 0
    undisturbed = tree()
    step = 1
    while True:
        shutil.rmtree(out)
        out.mkdir()
        status = run(step)
        if not status:
            break
        assert status == signal.SIGKILL, status
        for name, content in tree().items():  # no reader ever sees half a file
            assert name.startswith((".fusionlab-", "fusionlab-manifest")) \\
                or content == undisturbed[name], (step, name)
        run(step)  # once more, in the work that is left
        assert run() == 0
        assert tree() == undisturbed, step
        step += 1
    print(step)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_before_any_of_its_steps_is_resumed_to_the_same_bytes(here, python):
    images(2, "ir", "vis", shape=(4, 4))
    done = subprocess.run(
        [python, "-c", textwrap.dedent(KILLED_AT_EVERY_STEP)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25  # two files an image, each made, opened, renamed, ...


def test_two_items_with_one_name_are_refused(here):
    images(1, "ir", "vis")
    items = find_image_set(["ir", "vis"])
    file_fusion = FileFusion(Fusion("identity", "mean"), installed())
    with pytest.raises(FusionlabError, check=refused("same-result", Path("out/000.png"))):
        list(FolderRun(file_fusion, Path("out")).run([*items, *items]))
    assert not Path("out").exists()


def test_a_run_by_templates_can_be_resumed(here):
    images(3, "ir", "vis")
    sources = ("ir/{}.png", "vis/{}.*")
    assert run(sources=sources) == dict.fromkeys(("000", "001", "002"), "fused")
    images(1, "vis")
    assert run(sources=sources, resume=True) == {
        "000": "fused",
        "001": "skipped",
        "002": "skipped",
    }
