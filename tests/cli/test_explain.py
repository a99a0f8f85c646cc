"""`fusionlab explain`: what an image says of itself, and that it is true."""

import json
import shlex
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.imaging.formats import pillow_formats, tiff

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Sources of several kinds in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ir").mkdir()
    (tmp_path / "vis").mkdir()
    for name in ("a.png", "b.png", "-c.png", "it's d.png", "ir/x.png", "vis/x.png"):
        iio.imwrite(name, RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    iio.imwrite("color.png", RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    iio.imwrite("large.png", RNG.integers(0, 256, (41, 60), dtype=np.uint8))
    tifffile.imwrite("counts.tif", RNG.integers(7000, 7400, (20, 30), dtype=np.uint16))
    return tmp_path


def call(*args):
    result = CliRunner().invoke(main, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def fuse(*args, backbone="identity"):
    result = call("fuse", "--record", "--backbone", backbone, *args)
    assert result.exit_code == 0, result.output
    return result


def printed_command(image):
    """Return the words of the command that `explain` prints."""
    result = call("explain", image)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return shlex.split(result.stdout.splitlines()[-1])


def test_it_prints_the_settings_sources_versions_and_command(folder):
    options = ("--strategy", "l1norm", "--r", "2", "--color", "per-channel")
    fuse(*options, "a.png", "color.png", "-o", "fused.png")
    result = call("explain", "fused.png")
    record = json.loads(Path("fused.png.json").read_text())
    lines = result.stdout.splitlines()
    first, second = (source["sha256"][:16] for source in record["sources"])
    versions = " ".join(f"{name}={number}" for name, number in record["libraries"].items())
    assert lines == [
        "method    identity/l1norm,r=2,border=inside",
        "range     clip",
        "color     per-channel",
        "scale     auto",
        "device    cpu",
        f"sources   a.png  30x20 8-bit gray, black 0, white 255, SHA-256 {first}...",
        f"sources   color.png  30x20 8-bit RGB, black 0, white 255, SHA-256 {second}...",
        "result    fused.png  30x20 8-bit RGB",
        f"plugins   fusionlab-imaging={record['plugins']['fusionlab-imaging']}",
        f"versions  {versions}",
        "",
        "To make it again, with the sources at these paths:",
        "fusionlab fuse --backbone identity --strategy l1norm --r 2 --border inside --range clip "
        "--color per-channel --shared-weights --scale auto --depth 8 --device cpu --engine eager "
        "--precision fp32 a.png color.png -o fused.png --record",
    ]
    assert result.stderr == ""


def test_the_weights_are_identified_by_their_hash(folder):
    fuse("a.png", "b.png", backbone="densefuse")
    record = json.loads(Path("fused.png.json").read_text())
    told = call("explain", "fused.png").stdout.splitlines()
    assert told[1] == f"weights   SHA-256 {record['weights']['sha256'][:16]}..."


def test_as_json_it_prints_the_record(folder):
    fuse("a.png", "b.png", "-o", "fused.jpg")
    record = json.loads(Path("fused.jpg.json").read_text())
    for name in ("fused.jpg", "fused.jpg.json"):
        assert json.loads(call("explain", "--json", name).stdout) == record


@pytest.mark.parametrize(
    "args",
    [
        ["a.png", "b.png", "-o", "f.png"],
        ["a.png", "b.png", "color.png", "-o", "f.jpg"],
        [
            "--strategy",
            "l1norm",
            "--r",
            "3",
            "--border",
            "reflect",
            "a.png",
            "b.png",
            "-o",
            "f.bmp",
        ],
        ["--strategy", "max", "--range", "minmax", "a.png", "b.png", "-o", "f.tif"],
        ["--strategy", "addition", "--preset", "paper", "a.png", "b.png", "-o", "f.png"],
        ["a.png", "color.png", "-o", "f.png"],
        ["color.png", "color.png", "-o", "f.png"],
        ["--preset", "paper", "a.png", "color.png", "-o", "f.png"],
        ["--color", "luma", "a.png", "color.png", "-o", "f.png"],
        ["--color", "per-channel", "a.png", "color.png", "-o", "f.png"],
        ["--color", "gray", "a.png", "color.png", "-o", "f.png"],
        ["--scale", "minmax", "--scale", "full", "counts.tif", "color.png", "-o", "f.tif"],
        ["--scale", "percentile", "counts.tif", "counts.tif", "-o", "f.png"],
        ["--scale", "7000.25,7100", "--depth", "8", "counts.tif", "a.png", "-o", "f.png"],
        ["--depth", "32", "counts.tif", "a.png", "-o", "f.tif"],
        ["--depth", "32", "counts.tif", "a.png", "-o", "f.png"],
        ["--resize", "smallest", "large.png", "a.png", "-o", "f.png"],
        ["--tile", "16", "a.png", "b.png", "-o", "f.png"],
        ["ir/x.png", "vis/x.png", "-o", "f.png"],
        ["./-c.png", "it's d.png", "-o", "$(f) ö.png"],
        ["a.png", "b.png", "-o", "-f.png"],
    ],
    ids=" ".join,
)
def test_the_command_it_prints_makes_the_same_bytes_again(folder, monkeypatch, args):
    fuse(*args)
    image = args[-1]
    program, *words = printed_command(f"./{image}")
    assert program == "fusionlab"
    names = (image, f"{image}.json")
    first = [Path(name).read_bytes() for name in names]
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for path in [*folder.rglob("*.png"), *folder.rglob("*.tif")]:
        if path.name != image:
            copy = elsewhere / path.relative_to(folder)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.chdir(elsewhere)
    assert call(*words).exit_code == 0
    assert [Path(name).read_bytes() for name in names] == first


SCALED = """
    from fusionlab import Backbone, BackboneRef, Level, hookimpl

    @hookimpl
    def fusionlab_backbones(): return [BackboneRef("scaled", "lab_scaled:Scaled", "Scaled.")]

    class Scaled(Backbone):
        "Scaled."
        levels = (Level(channels=1, stride=1),)
        receptive_field = (0, 0)
        def __init__(self, gain: float = 1.0):
            super().__init__()
        def encode(self, images): return (images * self.gain,)
        def decode(self, features): return features[0]
"""


def test_the_command_names_the_parameters_of_the_backbone(folder, install):
    install("lab-scaled", SCALED)
    fuse("--strategy", "mean", "a.png", "b.png", "-o", "fused.png", backbone="scaled,gain=0.5")
    before = Path("fused.png").read_bytes()
    words = printed_command("fused.png")
    assert words[words.index("--backbone") + 1] == "scaled,gain=0.5"
    for name in ("fused.png", "fused.png.json"):
        Path(name).unlink()
    assert call(*words[1:]).exit_code == 0
    assert Path("fused.png").read_bytes() == before


def test_the_command_makes_the_same_bytes_with_a_network_too(folder):
    fuse("--strategy", "l1norm", "color.png", "a.png", "-o", "f.png", backbone="densefuse@1e2")
    _, *words = printed_command("f.png")
    first = [Path(name).read_bytes() for name in ("f.png", "f.png.json")]
    assert call(*words, "--overwrite").exit_code == 0
    assert [Path(name).read_bytes() for name in ("f.png", "f.png.json")] == first


def test_a_image_of_a_folder_run_says_how_to_make_it_alone(folder):
    fuse("ir", "vis", "-o", "out")
    _, *words = printed_command("out/x.png")
    assert words[-5:] == ["ir/x.png", "vis/x.png", "-o", "x.png", "--record"]
    assert call(*words).exit_code == 0
    assert Path("x.png").read_bytes() == Path("out/x.png").read_bytes()
    assert Path("x.png.json").read_bytes() == Path("out/x.png.json").read_bytes()


PARAMETERS = """
    from dataclasses import dataclass
    from typing import Annotated, Literal
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies(): return [StrategyRef("mine", __name__ + ":Mine", "Mine.")]

    @dataclass(frozen=True)
    class Mine(Strategy):
        "Mine."
        theta: tuple[float, ...] = (0.5, 0.5)
        none_at_all: tuple[int, ...] = (1,)
        soft_edge: bool = True
        gain: float | None = 1.5
        shift: float = 0.0
        tiny: float = 1.0
        kind: Literal["x", "y"] = "x"
        power: Literal[1, 2] = 1
        label: str | None = None
        maybe: bool | None = None
        def fuse(self, features, scene):
            number = hash((self.theta, self.none_at_all, self.soft_edge, self.gain, self.shift,
                           self.tiny, self.power, self.maybe))
            number += sum(map(ord, f"{self.kind}{self.label}"))
            return features.mean(0) * (number % 1000 / 1000)
"""


def test_every_type_of_parameter_survives_the_way_through_the_record(folder, install):
    install("lab-types", PARAMETERS)
    for number, given in enumerate(
        (
            [],
            ["--theta", "0.2,-0.8", "--none-at-all", "", "--no-soft-edge", "--gain", "none"],
            ["--shift", "-2.5e-7", "--tiny", "0.1", "--kind", "y", "--power", "2"],
            ["--label", "it's -- $HOME \\", "--maybe", "false"],
            ["--label", "-x", "--maybe", "true", "--gain", "1e300"],
        )
    ):
        fuse("--strategy", "mine", *given, "a.png", "b.png", "-o", f"{number}.png")
        first = Path(f"{number}.png").read_bytes()
        _, *words = printed_command(f"{number}.png")
        again = call(*words, "--overwrite")
        assert again.exit_code == 0, again.output
        assert Path(f"{number}.png").read_bytes() == first


# --- changed since


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp"])
def test_changed_pixels_are_noticed(folder, suffix):
    fuse("a.png", "b.png", "-o", f"fused.{suffix}")
    pixels = iio.imread(f"fused.{suffix}")
    pixels[0, 0] ^= 255
    iio.imwrite(f"fused.{suffix}", pixels)
    for name in (f"fused.{suffix}", f"fused.{suffix}.json"):
        result = call("explain", name)
        assert result.exit_code == 1
        assert result.stderr == (
            f"warning: fused.{suffix} has been changed: its pixels are not those of the record\n"
        )


def test_an_image_that_is_written_again_without_a_record_has_none(folder):
    fuse("a.png", "b.png")
    assert Path("fused.png.json").exists()
    again = ("fuse", "--backbone", "identity", "a.png", "b.png", "--overwrite")
    assert call(*again).exit_code == 0
    assert not Path("fused.png.json").exists()
    assert "has no record" in call("explain", "fused.png").stderr
    Path("fused.png.json").write_text('{"mine": 1}')  # not ours
    assert call(*again).exit_code == 0
    assert Path("fused.png.json").exists()


def test_a_image_that_was_only_encoded_again_is_the_same_picture(folder):
    fuse("a.png", "b.png")
    iio.imwrite("fused.png", iio.imread("fused.png"))  # loses the record inside
    result = call("explain", "fused.png")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_record_alone_is_explained_without_its_image(folder):
    fuse("a.png", "b.png")
    Path("fused.png").unlink()
    for place in ("fused.png.json", "elsewhere.json"):
        Path(place).write_bytes(Path("fused.png.json").read_bytes())
        result = call("explain", place)
        assert result.exit_code == 0
        assert "-o fused.png --record" in result.stdout
        name = place.removesuffix(".json")
        assert result.stderr == (
            f"warning: {name} does not exist, so its pixels cannot be compared with the record\n"
        )


def test_a_folder_with_the_name_of_the_image_is_not_the_picture(folder):
    fuse("a.png", "b.png")
    Path("ir.json").write_bytes(Path("fused.png.json").read_bytes())
    result = call("explain", "ir.json")
    assert result.exit_code == 0
    assert "warning: ir does not exist" in result.stderr


def test_a_image_that_was_renamed_still_explains_itself(folder):
    fuse("a.png", "b.png")
    Path("fused.png").rename("renamed.png")
    assert printed_command("renamed.png")[-2:] == ["fused.png", "--record"]


# --- the command


def test_the_command_names_every_setting(folder):
    Path("counts.tif").rename("-b c.tif")
    fuse(
        *("./-b c.tif", "large.png", "-o", "f'd.png", "--strategy", "l1norm", "--r", "2"),
        *("--border", "reflect", "--range", "minmax", "--color", "gray", "--tile", "64"),
        *("--scale", "percentile=2,98", "--scale", "full", "--resize", "first"),
    )
    assert printed_command("f'd.png") == [
        *("fusionlab", "fuse", "--backbone", "identity", "--strategy", "l1norm"),
        *("--r", "2", "--border", "reflect", "--range", "minmax", "--color", "gray"),
        *("--scale", "percentile=2,98", "--scale", "full", "--depth", "16"),
        *("--resize", "first", "--tile", "64", "--device", "cpu"),
        *("--engine", "eager", "--precision", "fp32"),
        *("./-b c.tif", "large.png", "-o", "f'd.png", "--record"),
    ]


def test_weights_that_ship_are_named_by_their_tag(folder):
    fuse("a.png", "b.png", backbone="densefuse")
    words = printed_command("fused.png")
    assert words[words.index("--backbone") + 1] == "densefuse@1e3-long"


# --- records of earlier versions


OLD_RECORD = {
    "method": "densefuse@1e3-long/l1norm,r=1,border=inside",
    "backbone": "densefuse",
    "weights": {
        "tag": "1e3-long",
        "sha256": "16a935da41bb6e04bed477483fb95443a7d00943809a184dc1274b2dfba77ea1",
    },
    "strategy": "l1norm",
    "parameters": {"r": "1", "border": "inside"},
    "range": "clip",
    "colour": "luma",
    "scale": ["full"],
    "device": "cpu",
    "gpu": None,
    "tile": None,
    "engine": "eager",
    "precision": "fp32",
    "plugins": {"fusionlab-imaging": "0.1.0"},
    "libraries": {"fusionlab-imaging": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "resize": None,
    "sources": [
        {
            "name": name,
            "sha256": "48c385413b4a0bef685c81ad79e7be217a2187b73c2f453be79777200bb4be42",
            "width": 30,
            "height": 20,
            "channels": channels,
            "depth": 8,
            "kind": "unsigned",
            "black": 0.0,
            "white": 255.0,
        }
        for name, channels in (("color.png", 3), ("a.png", 1))
    ],
    "result": {
        "name": "fused.png",
        "width": 30,
        "height": 20,
        "channels": 3,
        "depth": 8,
        "kind": "unsigned",
        "pixels_sha256": "53f61ad1d0c4fe1a9fb1efc8a0f3bb4a4f9ef3b9d4c5a5d1d6c9a9a1e8e2a1a0",
    },
}
"""As version 0.1.0 wrote it before its release, with the British spelling of color."""


@pytest.mark.parametrize("name", ["fused.png.json", "inside.png", "inside.tif"])
def test_a_record_in_the_old_spelling_is_still_explained_with_its_command(folder, name):
    text = json.dumps(OLD_RECORD)
    pixels = np.zeros((20, 30, 3), np.uint8)
    Path("fused.png.json").write_text(text)
    Path("inside.png").write_bytes(pillow_formats.encode_png(pixels, text))
    Path("inside.tif").write_bytes(tiff.encode(pixels, text))
    result = call("explain", name)
    assert result.exit_code == (0 if name == "fused.png.json" else 1)  # these have other pixels
    assert "color     luma" in result.stdout.splitlines()
    _, *words = shlex.split(result.stdout.splitlines()[-1])
    assert words == [
        *("fuse", "--backbone", "densefuse@1e3-long", "--strategy", "l1norm", "--r", "1"),
        *("--border", "inside", "--range", "clip", "--color", "luma", "--scale", "full"),
        *("--depth", "8", "--device", "cpu", "--engine", "eager", "--precision", "fp32"),
        *("color.png", "a.png", "-o", "fused.png", "--record"),
    ]
    printed = json.loads(call("explain", "--json", name).stdout)
    assert printed == {"color": "luma", **{k: v for k, v in OLD_RECORD.items() if k != "colour"}}
    assert call(*words, "--overwrite").exit_code == 0
    assert json.loads(Path("fused.png.json").read_text())["color"] == "luma"


def test_a_record_older_than_shared_weights_names_those_it_was_made_with(folder):
    record = {**OLD_RECORD, "colour": "per-channel"}
    Path("gone.png.json").write_text(json.dumps(record))
    assert (
        "--color per-channel --separate-weights --scale" in call("explain", "gone.png.json").stdout
    )


# --- mistakes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.png", "gone.png does not exist"),
        ("gone.png.json", "gone.png.json does not exist"),
        (
            "a.png",
            "a.png has no record of fusionlab; records are written only on request (--record)",
        ),
        ("counts.tif", "counts.tif has no record of fusionlab"),
        ("described.tif", "described.tif has no record of fusionlab"),
        ("package.json", "package.json has no record of fusionlab"),
        ("alike.json", "alike.json has no record of fusionlab"),
        ("deep.json", "deep.json has no record of fusionlab"),
        ("broken.json", "broken.json has no record of fusionlab"),
        ("empty.png", "empty.png has no record of fusionlab"),
        ("ir", "cannot read ir: Is a directory"),
        ("a.png/x.png", "cannot read a.png/x.png: Not a directory"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_mistake_costs_one_sentence(folder, name, message, options):
    tifffile.imwrite("described.tif", np.zeros((4, 4), np.uint8), description="Chernivtsi, 2018")
    Path("package.json").write_text('{"name": "something", "version": "1.0"}')
    Path("alike.json").write_text('{"method": "x", "sources": [], "result": {}}')
    Path("deep.json").write_text("[" * 100_000)
    Path("broken.json").write_text('{"method": "den')
    Path("empty.png").touch()
    result = call("explain", *options, name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_record_bent_anywhere_never_ends_in_a_traceback(folder):
    fuse("a.png", "b.png", "--strategy", "l1norm")
    record = json.loads(Path("fused.png.json").read_text())
    for key in record:
        for junk in (None, 3, -1.5, True, "x", [], ["x"], [None], {}, {"name": "x"}, {"x": [1]}):
            for damaged in (
                {**record, key: junk},
                {**record, "result": {**record["result"], key: junk, "width": junk}},
                {**record, "sources": [{**record["sources"][0], "black": junk, "name": junk}]},
            ):
                Path("x.json").write_text(json.dumps(damaged))
                assert call("explain", "x.json").exit_code in (0, 2)


def test_a_number_too_large_to_print_is_no_record(folder):
    fuse("a.png", "b.png")
    record = Path("fused.png.json").read_text()
    Path("x.json").write_text(record.replace("255.0", "9" * 400))
    assert call("explain", "x.json").exit_code == 2
    Path("x.json").write_text(record.replace("255.0", "NaN"))
    assert call("explain", "x.json").exit_code in (0, 2)


def test_a_larger_image_than_the_record_says_is_not_decoded(folder, monkeypatch):
    fuse("a.png", "b.png", "-o", "fused.png")
    record = json.loads(Path("fused.png.json").read_text())
    iio.imwrite("fused.png", np.zeros((300, 300), np.uint8))
    monkeypatch.setattr("imagecodecs.png_decode", None)
    monkeypatch.setattr("imageio.plugins.pillow.PillowPlugin.read", None)
    result = call("explain", "fused.png.json")
    assert "fused.png has been changed" in result.stderr

    record["result"] |= {"width": 300, "height": 300}
    Path("fused.png.json").write_text(json.dumps(record))
    result = call("explain", "fused.png.json", "--max-pixels", "89999")
    assert result.exit_code == 2
    assert "claims 300x300 pixels, more than the limit of 89999" in result.stderr
    assert "(--max-pixels)" in result.stderr
