"""Records: the same bytes for the same input, and everything that is needed to make them again."""

import json
import re
import time
from importlib.metadata import version
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from fusionlab import Card, Fusion
from fusionlab.errors import FusionlabError
from fusionlab.imaging import rows
from fusionlab.imaging.formats import pillow_formats, tiff
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.rows import OnDiskRows
from fusionlab.plugins.host import installed
from fusionlab.runs.destination import is_record_path, record_path
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.record import LIBRARIES, is_unchanged, pixels_sha256, read_record

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, shape=(12, 16), dtype=np.uint8):
    """Write an image of noise and return its path."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.random(shape)
    if np.dtype(dtype).kind == "u":
        pixels = np.floor(pixels * (np.iinfo(dtype).max + 1))
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels.astype(dtype))
    else:
        iio.imwrite(path, pixels.astype(dtype))
    return path


def fuse(paths, output="fused.png", strategy="mean", backbone="identity", **settings):
    """Fuse files with a record, write everything, and return the record."""
    of_files = {key: settings.pop(key) for key in ("depth", "resize", "weights") if key in settings}
    fusion = Fusion(backbone, strategy, **settings)
    file_fusion = FileFusion(fusion, installed(), record=True, **of_files)
    sources = [Path(path) for path in paths]
    destination = file_fusion.plan(Path(output), sources)
    product = file_fusion.fuse(file_fusion.load(sources), destination)
    for path, content in file_fusion.encode(product).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return json.loads(record_path(Path(output)).read_text())


# --- what it holds


def test_a_record_holds_what_the_image_is_a_function_of():
    write("ir/a.png")
    write("vis/b.tif", (12, 16, 3), np.uint16)
    record = fuse(["ir/a.png", "vis/b.tif"], "out.tif", "l1norm,r=2", "densefuse", tile=64)
    own = version("fusionlab-imaging")
    card = Card.read(installed().backbones.find("densefuse").ref.checkpoints["1e3-long"])
    digests = [read_image(Path(name)).sha256 for name in ("ir/a.png", "vis/b.tif")]
    assert record == {
        "method": "densefuse@1e3-long/l1norm,r=2,border=inside",
        "backbone": "densefuse",
        "weights": {"tag": "1e3-long", "sha256": card.sha256},
        "strategy": "l1norm",
        "parameters": {"r": "2", "border": "inside"},
        "range": "clip",
        "color": "luma",
        "shared_weights": True,
        "scale": ["auto"],
        "device": "cpu",
        "gpu": None,
        "tile": 64,
        "engine": "eager",
        "precision": "fp32",
        "plugins": {"fusionlab-imaging": own},
        "libraries": {name: version(name) for name in LIBRARIES},
        "resize": None,
        "sources": [
            {
                "name": "ir/a.png",
                "sha256": digests[0],
                "width": 16,
                "height": 12,
                "channels": 1,
                "depth": 8,
                "kind": "unsigned",
                "black": 0.0,
                "white": 255.0,
            },
            {
                "name": "vis/b.tif",
                "sha256": digests[1],
                "width": 16,
                "height": 12,
                "channels": 3,
                "depth": 16,
                "kind": "unsigned",
                "black": 0.0,
                "white": 65535.0,
            },
        ],
        "result": {
            "name": "out.tif",
            "width": 16,
            "height": 12,
            "channels": 3,
            "depth": 16,
            "kind": "unsigned",
            "pixels_sha256": pixels_sha256(iio.imread("out.tif")),
        },
    }


def test_the_limits_are_those_that_were_applied():
    write("a.tif", dtype=np.uint16), write("b.png")
    record = fuse(["a.tif", "b.png"], scale=["minmax", "10,200"])
    counts = tifffile.imread("a.tif")
    limits = [(source["black"], source["white"]) for source in record["sources"]]
    assert limits == [(counts.min(), counts.max()), (10, 200)]
    assert record["scale"] == ["minmax", "10,200"]


def test_a_plugin_of_somebody_else_is_named_with_its_version(install):
    install(
        "lab-rule",
        """
        from dataclasses import dataclass
        from fusionlab import Strategy, StrategyRef, hookimpl

        @hookimpl
        def fusionlab_strategies(): return [StrategyRef("first", __name__ + ":First", "First.")]

        @dataclass(frozen=True)
        class First(Strategy):
            "First."
            def fuse(self, features, scene): return features[0]
        """,
    )
    write("a.png"), write("b.png")
    record = fuse(["a.png", "b.png"], strategy="first")
    assert record["plugins"] == {
        "fusionlab-imaging": version("fusionlab-imaging"),
        "lab-rule": "1.0",
    }


# --- the same input, the same bytes


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_the_same_input_gives_the_same_bytes_anywhere_at_any_time(tmp_path, monkeypatch, suffix):
    sources = [write("a.png"), write("b.png", (12, 16, 3))]
    found = []
    for number, folder in enumerate(("here", "somewhere/else")):
        place = tmp_path / folder
        place.mkdir(parents=True)
        for path in sources:
            (place / path.name).write_bytes((tmp_path / path).read_bytes())
        monkeypatch.chdir(place)
        with monkeypatch.context() as patch:
            for clock in ("time", "monotonic", "perf_counter"):
                now = getattr(time, clock)() + 1e8 * number
                patch.setattr(time, clock, lambda now=now: now)
            patch.setenv("TZ", f"UTC-{number}")
            fuse(["a.png", "b.png"], f"fused{suffix}", "l1norm")
        names = (f"fused{suffix}", f"fused{suffix}.json")
        found.append([(place / name).read_bytes() for name in names])
    assert found[0] == found[1]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_no_file_reveals_where_or_when_it_was_made(tmp_path, suffix):
    write("ir/x.png"), write("vis/x.png")
    fuse([tmp_path / "ir/x.png", tmp_path / "vis/x.png"], tmp_path / f"fused{suffix}")
    for path in (tmp_path / f"fused{suffix}", tmp_path / f"fused{suffix}.json"):
        content = path.read_bytes()
        for part in (*tmp_path.parts[1:], str(Path.home())):
            assert part == "tmp" or part.encode() not in content
        assert not re.search(rb"\d{4}[-:/]\d\d[-:/]\d\d|\d\d:\d\d", content)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["ir/x.png", "vis/x.png"], ["ir/x.png", "vis/x.png"]),
        (["./ir/x.png", "vis//y.png"], ["ir/x.png", "vis/y.png"]),
        (["/data/ir.png", "/data/vis.png"], ["ir.png", "vis.png"]),
        (["/data/ir/x.png", "/data/vis/x.png"], ["ir/x.png", "vis/x.png"]),
        (["/data/ir/far/x.png", "/data/vis/far/x.png"], ["ir/far/x.png", "vis/far/x.png"]),
        (["../ir/x.png", "vis/x.png"], ["ir/x.png", "vis/x.png"]),
        (["../x.png", "ir/x.png"], ["x.png", "ir/x.png"]),
        (["/x.png", "/ir/x.png"], ["x.png", "ir/x.png"]),
        (["/data/x.png", "/data/x.png"], ["x.png", "x.png"]),
        (["/data/x.png", "/data/x.png", "/data/y/x.png"], ["data/x.png", "data/x.png", "y/x.png"]),
    ],
)
def test_names_distinguish_the_sources_without_revealing_their_location(given, kept):
    from fusionlab.runs.record import portable_names

    assert portable_names(given) == kept


PARTS = st.lists(st.sampled_from(["a", "b", "home", "x.png"]), min_size=1, max_size=4)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_absolute_names_stay_apart_and_become_relative(parts):
    from fusionlab.runs.record import portable_names

    paths = ["/" + "/".join(one) for one in parts]
    kept = portable_names(paths)
    assert len(set(kept)) == len(set(paths))
    assert all(path.endswith(f"/{name}") for path, name in zip(paths, kept, strict=True))


# --- inside and next to


@pytest.mark.parametrize(
    ("suffix", "depth"), [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".tif", 32)]
)
@pytest.mark.parametrize("shape", [(12, 16), (12, 16, 3)], ids=["gray", "RGB"])
def test_png_and_tiff_carry_the_record_that_lies_beside_them(suffix, depth, shape):
    paths = [write("a.png", shape), write("b.png", shape)]
    record = fuse(paths, f"fused{suffix}", depth=depth)
    content = Path(f"fused{suffix}").read_bytes()
    inside = pillow_formats.png_record(content) if suffix == ".png" else tiff.record(content)
    assert json.loads(inside) == record
    assert inside.isascii()
    Path(f"fused{suffix}.json").unlink()
    assert read_record(Path(f"fused{suffix}")) == record
    assert is_unchanged(record, Path(f"fused{suffix}"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_record_inside_changes_no_pixel_and_is_not_in_the_way(suffix):
    paths = [write("a.png", (12, 16, 3)), write("b.png")]
    fuse(paths, f"fused{suffix}")
    expected = Fusion("identity", "mean")([iio.imread(path) for path in paths])
    assert np.array_equal(iio.imread(f"fused{suffix}"), expected)
    assert read_image(Path(f"fused{suffix}")).notes == ()


def test_a_name_in_another_script_comes_back():
    record = fuse([write("Wärme bild.png"), write("日本.png")], "ergebnis größe.tif")
    assert [source["name"] for source in record["sources"]] == ["Wärme bild.png", "日本.png"]
    assert read_record(Path("ergebnis größe.tif")) == record


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_formats_without_room_have_it_beside_them_only(suffix):
    record = fuse([write("a.png", (12, 16, 3)), write("b.png")], f"fused{suffix}")
    assert b"densefuse" not in Path(f"fused{suffix}").read_bytes()
    assert b"pixels_sha256" not in Path(f"fused{suffix}").read_bytes()
    assert read_record(Path(f"fused{suffix}")) == record
    assert is_unchanged(record, Path(f"fused{suffix}"))  # as a reader gets them, after the loss
    Path(f"fused{suffix}.json").unlink()
    with pytest.raises(FusionlabError, check=refused("no-record")):
        read_record(Path(f"fused{suffix}"))


def test_the_record_inside_takes_precedence_over_the_one_beside():
    record = fuse([write("a.png"), write("b.png")])
    other = {**record, "method": "somebody/else"}
    Path("fused.png.json").write_text(json.dumps(other))
    assert read_record(Path("fused.png")) == record
    assert read_record(Path("fused.png.json")) == other


def test_the_record_beside_an_image_is_named_after_it():
    assert record_path(Path("x/fused.png")) == Path("x/fused.png.json")
    assert is_record_path(Path("fused.png.json"))
    assert is_record_path(Path("FUSED.PNG.JSON"))
    assert not is_record_path(Path("json"))
    assert not is_record_path(Path("fused.json.png"))


# --- changed pixels


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_changed_pixels_are_noticed_and_other_encodings_are_not(suffix):
    record = fuse([write("a.png", (12, 16, 3)), write("b.png")], f"fused{suffix}")
    pixels = iio.imread(f"fused{suffix}")
    iio.imwrite("again.png", pixels)  # other bytes, the same pixels
    assert is_unchanged(record, Path("again.png"))
    pixels[3, 5, 1] ^= 1
    iio.imwrite("changed.png", pixels)
    assert not is_unchanged(record, Path("changed.png"))
    iio.imwrite("larger.png", np.zeros((99, 99), np.uint8))
    assert not is_unchanged(record, Path("larger.png"))
    with pytest.raises(FusionlabError, match="more than the limit of 99") as caught:
        is_unchanged(record, Path("again.png"), max_pixels=99)
    assert caught.value.code == "too-many-pixels"
    assert is_unchanged(record, Path("again.png"), max_pixels=None)
    iio.imwrite("turned.png", np.swapaxes(iio.imread("again.png"), 0, 1))
    assert not is_unchanged(record, Path("turned.png"))


def test_the_hash_of_pixels_is_that_of_their_little_endian_bytes(monkeypatch):
    import hashlib

    pixels = np.array([[1, 2], [3, 0x1234]], np.uint16)
    expected = hashlib.sha256(bytes([1, 0, 2, 0, 3, 0, 0x34, 0x12])).hexdigest()
    assert pixels_sha256(pixels) == expected
    assert pixels_sha256(pixels.astype(">u2")) == expected
    assert pixels_sha256(np.asfortranarray(pixels)) == expected
    assert pixels_sha256(pixels.T) != expected
    with OnDiskRows(pixels.shape, pixels.dtype) as spooled:
        spooled.append(pixels)
        assert pixels_sha256(spooled) == expected
        monkeypatch.setattr(rows, "BAND_BYTES", 4)  # row by row
        assert pixels_sha256(spooled) == pixels_sha256(np.asfortranarray(pixels)) == expected


# --- what is no record


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"3",
        b"[]",
        b"{}",
        b'{"method": 1, "sources": []}',
        b'{"shape": [12, 16]}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"\0" * 100,
    ],
    ids=range(10),
)
def test_other_json_is_no_record(content):
    Path("x.json").write_bytes(content)
    with pytest.raises(FusionlabError, check=refused("no-record")):
        read_record(Path("x.json"))


def test_a_record_with_a_part_missing_or_malformed_is_refused():
    record = fuse([write("a.png"), write("b.png")], strategy="l1norm")

    def read(damaged):
        Path("x.json").write_text(json.dumps(damaged))
        try:
            read_record(Path("x.json"))
        except FusionlabError as error:
            return error.code
        return ""

    assert read(record) == ""
    for key in record:
        without = {k: v for k, v in record.items() if k != key}
        marks = key in ("method", "parameters", "result")  # without them it is other JSON
        expected = "no-record" if marks else "bad-record"
        assert read(without) == ("" if key == "shared_weights" else expected), key
        for junk in (None, 3, 2.5, True, "x", [], ["x"], [3], {}, {"name": "x"}):
            read({**record, key: junk})  # no other error
    for key in record["result"]:
        part = {k: v for k, v in record["result"].items() if k != key}
        assert read({**record, "result": part}) == "bad-record", key
    for key in record["sources"][1]:
        part = {k: v for k, v in record["sources"][1].items() if k != key}
        assert read({**record, "sources": [record["sources"][0], part]}) == "bad-record"


def test_a_record_says_where_it_is_damaged_and_who_wrote_one_of_a_later_version():
    record = fuse([write("a.png"), write("b.png")])

    def problem(changed):
        Path("x.json").write_text(json.dumps(changed))
        with pytest.raises(FusionlabError, check=refused("bad-record")) as caught:
            read_record(Path("x.json"))
        return str(caught.value)

    changed = {**record, "networks": {"x": 1}}
    assert problem(changed) == "the record of x.json is damaged: networks.tag is missing"
    changed["libraries"] = {**record["libraries"], "fusionlab-imaging": "99.0"}
    assert problem(changed) == (
        "the record of x.json was written by fusionlab 99.0, which is newer than "
        f"{version('fusionlab-imaging')}; update fusionlab"
    )


def test_images_of_other_programs_have_no_record():
    write("plain.png"), write("plain.tif")
    tifffile.imwrite("text.tif", np.zeros((4, 4), np.uint8), description="taken in Chernivtsi")
    tifffile.imwrite("json.tif", np.zeros((4, 4), np.uint8), description='{"method": "x"}')
    tifffile.imwrite("own.tif", np.zeros((4, 4), np.uint8), metadata={"axes": "YX"})
    Path("text.txt").write_text("no image")
    Path("cut.png").write_bytes(Path("plain.png").read_bytes()[:20])
    Path("empty.tif").write_bytes(b"")
    for name in ("plain.png", "plain.tif", "text.tif", "json.tif", "own.tif", "text.txt"):
        with pytest.raises(FusionlabError, check=refused("no-record")) as caught:
            read_record(Path(name))
        assert caught.value.path == Path(name)
    for name in ("cut.png", "empty.tif"):
        with pytest.raises(FusionlabError, check=refused("no-record")) as caught:
            read_record(Path(name))
        assert caught.value.path == Path(name)


def test_a_file_that_is_missing_or_a_folder_is_refused():
    Path("folder").mkdir()
    for name, code in (
        ("gone.png", "missing-file"),
        ("gone.json", "missing-file"),
        ("folder", "unreadable"),
    ):
        with pytest.raises(FusionlabError, check=refused(code)) as caught:
            read_record(Path(name))
        assert caught.value.path == Path(name)
