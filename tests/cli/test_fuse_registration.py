"""`fusionlab fuse --register`: sources that do not lie on each other, files and folders."""

import json
import shlex
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import FusionlabError, read_image
from fusionlab.cli import main
from fusionlab.plugins.host import installed
from fusionlab.registration.registrar import Registrar

CODE = """
import numpy as np
from fusionlab import Estimate, RegistrationRef, hookimpl

@hookimpl
def fusionlab_registrations():
    return [RegistrationRef("corner", f"{__name__}:corner", "Find where the bright corner is.")]

def corner(moving, fixed, *, model, **masks):
    # the brightest square of both shows the same point; an image without one is refused
    if moving.max() < 1 or np.count_nonzero(moving == 1) > 16:
        return Estimate(None, 0.0, "insufficient_structure", "there is no corner")
    (y, x), (v, u) = (np.argwhere(image == 1)[0] for image in (moving, fixed))
    return Estimate(np.array([[1, 0, x - u], [0, 1, y - v], [0, 0, 1.0]]), 0.9)
"""


METHOD = "lab-corner:corner"


def scene(x, y, height=24, width=32, seed=0, corner=255):
    """Gray noise with one bright corner at x, y: black and white are below and above the rest."""
    pixels = np.random.default_rng(seed).integers(90, 160, (height, width), np.uint8)
    pixels[y : y + 4, x : x + 4] = corner
    return pixels


@pytest.fixture
def folder(tmp_path, monkeypatch, install):
    install("lab-corner", CODE)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    iio.imwrite("a.png", scene(12, 9))
    iio.imwrite("b.png", scene(10, 8, 30, 40, seed=1))
    return work


def run(*args, register=METHOD):
    options = ["--register", register] if register else []
    options += ["--backbone", "identity", "--strategy", "max", "--range", "clip"]
    return CliRunner().invoke(main, ["fuse", *options, *map(str, args)])


def expected(moving, fixed, x, y):
    """Return the maximum of two images of which one lies `x, y` further in the other."""
    fused = fixed.copy()
    height, width = (
        min(a - s, b) for a, b, s in zip(moving.shape, fixed.shape, (y, x), strict=True)
    )
    part = fused[:height, :width]
    np.maximum(part, moving[y : y + height, x : x + width], out=part)
    return fused


def test_the_result_is_on_the_grid_of_the_larger_source_and_fused_where_both_are_data(folder):
    result = run("a.png", "b.png")
    assert result.exit_code == 0, result.output
    assert "a.png turned by 0.00 degrees, scaled by 1, moved by 2.0, 1.0 pixels" in result.stdout
    fused = iio.imread("fused.png")
    assert (fused == expected(iio.imread("a.png"), iio.imread("b.png"), 2, 1)).all()


def test_another_reference_and_a_crop(folder):
    assert run("a.png", "b.png", "--reference", 1, "--crop").exit_code == 0
    a, b = iio.imread("a.png"), iio.imread("b.png")
    assert (iio.imread("fused.png") == np.maximum(a[1:, 2:], b[:23, :30])).all()


def test_json_says_how_and_an_overlay_shows_it(folder):
    result = run("a.png", "b.png", "--json", "--show-registration", "overlay.png")
    facts = json.loads(result.stdout)
    moved, reference = facts["registrations"]
    assert reference is None
    assert moved["matrix"] == [[1, 0, 2], [0, 1, 1], [0, 0, 1]]
    assert (moved["fixed"], moved["moving"]) == ([40, 30], [32, 24])
    assert facts["overlay"] == "overlay.png"
    assert iio.imread("overlay.png").shape[2] == 3


@pytest.mark.parametrize("known", [False, True])
def test_the_command_of_the_record_makes_the_same_image_again(folder, known):
    if known:
        args = ["--transform", "known.json", "--method", METHOD]
        assert CliRunner().invoke(main, ["register", "a.png", "b.png", *args]).exit_code == 0
    given = ["--transforms", "known.json"] if known else ["--reference", 1]
    result = run("a.png", "b.png", "--crop", "--record", *given, register="" if known else METHOD)
    assert result.exit_code == 0, result.output
    first = Path("fused.png").read_bytes()
    registration = json.loads(Path("fused.png.json").read_text())["registration"]
    assert registration["version"] == (None if known else "1.0")
    explained = CliRunner().invoke(main, ["explain", "fused.png"])
    assert "moved by" in explained.stdout
    command = shlex.split(explained.stdout.splitlines()[-1])
    again = CliRunner().invoke(main, [*command[1:], "--overwrite"])
    assert again.exit_code == 0, again.output
    assert Path("fused.png").read_bytes() == first


def test_a_refusal_writes_nothing(folder):
    iio.imwrite("c.png", np.tile(np.arange(0, 256, 8, np.uint8), (24, 1)))
    result = run("c.png", "b.png", "--show-registration", "overlay.png")
    assert result.exit_code == 2
    assert "c.png cannot be registered to b.png: there is too little structure" in result.stderr
    assert "(--register)" in result.stderr
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.png", "c.png"}


def test_in_a_folder_a_refusal_costs_one_image(folder):
    for name in ("ir", "vis"):
        (folder / name).mkdir()
    for number in range(3):
        iio.imwrite(f"ir/{number}.png", scene(12 + number, 9, seed=number))
        iio.imwrite(f"vis/{number}.png", scene(10, 8, 30, 40, seed=9))
    iio.imwrite("ir/1.png", np.tile(np.arange(0, 256, 8, np.uint8), (24, 1)))
    result = run("ir", "vis", "-o", "out/", "--show-registration", "shown/")
    assert result.exit_code == 1
    assert "failed: 1: ir/1.png cannot be registered to vis/1.png" in result.stderr
    assert {path.name for path in Path("out").glob("*.png")} == {"0.png", "2.png"}
    assert {path.name for path in Path("shown").glob("*.png")} == {
        "0-registration.png",
        "2-registration.png",
    }
    again = run("ir", "vis", "-o", "out/", "--show-registration", "shown/", "--resume")
    assert "2 skipped" in again.stdout
    other = run("ir", "vis", "-o", "out/", "--resume", "--reference", 1, "--overwrite")
    assert "0 skipped" in other.stdout  # other settings give other images


def test_a_rig_has_one_transform_for_all_images(folder):
    for name in ("ir", "vis"):
        (folder / name).mkdir()
    for number in range(6):
        wrong = 7 if number == 2 else 0  # of one image the estimate is wrong
        iio.imwrite(f"ir/{number}.png", scene(12 + wrong, 9, seed=number))
        iio.imwrite(f"vis/{number}.png", scene(10, 8, 30, 40, seed=9))
    iio.imwrite("ir/4.png", np.tile(np.arange(0, 256, 8, np.uint8), (24, 1)))  # refused alone
    result = run("ir", "vis", "-o", "out/", "--rig", "--save-rig", "rig.json")
    assert result.exit_code == 0, result.output
    assert "4 is left out of the rig: ir/4.png cannot be registered" in result.stderr
    assert "4 of 6 images agree, spread 0.00 pixels" in result.stdout
    for number in range(6):
        a, b = iio.imread(f"ir/{number}.png"), iio.imread(f"vis/{number}.png")
        assert (iio.imread(f"out/{number}.png") == expected(a, b, 2, 1)).all()
    known = run("ir", "vis", "-o", "again/", "--transforms", "rig.json", register="")
    assert known.exit_code == 0, known.output
    for number in range(6):
        same = [Path(name, f"{number}.png").read_bytes() for name in ("out", "again")]
        assert same[0] == same[1]


def test_a_rig_that_does_not_agree_is_refused(folder):
    for name in ("ir", "vis"):
        (folder / name).mkdir()
    for number in range(3):
        iio.imwrite(f"ir/{number}.png", scene(2 + 9 * number, 9, seed=number))
        iio.imwrite(f"vis/{number}.png", scene(10, 8, 30, 40, seed=9))
    result = run("ir", "vis", "-o", "out/", "--rig")
    assert result.exit_code == 2
    assert "no transform of the rig could be estimated" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("register", "args", "message"),
    [
        ("", ["--crop"], "--crop needs --register or --transforms"),
        ("", ["--reference", "1"], "--reference needs --register"),
        ("", ["--rig"], "--rig needs --register"),
        ("", ["--show-registration", "x.png"], "--show-registration needs --register"),
        (METHOD, ["--rig"], "--rig is for folders"),
        (METHOD, ["--save-rig", "x.json"], "--save-rig needs --rig"),
        (METHOD, ["--transforms", "x.json"], "give one of them"),
        (METHOD, ["--resize", "first"], "leave out --resize"),
        (METHOD, ["--reference", "3"], "1 to 2, got 3 (--reference)"),
        (f"{METHOD},model=rigid", [], "the model must be one of translation"),
        (f"{METHOD},models=affine", [], "METHOD[,model=MODEL]"),
        ("corners", [], "no registration method 'corners'"),
        ("", ["--transforms", "gone.json"], "gone.json does not exist"),
        (METHOD, ["--show-registration", "x.jpg"], "must end in .png"),
    ],
)
def test_a_mistake_costs_one_sentence(folder, register, args, message):
    result = run("a.png", "b.png", *args, register=register)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.png"}


def test_transforms_for_other_sizes_or_numbers_are_refused(folder):
    registrar = Registrar.parse(METHOD, installed())
    a, b = (read_image(name) for name in ("a.png", "b.png"))
    transform = registrar.alignment([a, b], 0, 1).transform
    known = registrar.with_transforms([transform, None])
    assert (known([a, b])[0].pixels == registrar([a, b])[0].pixels).all()
    for images, message in (
        ([b, b], "is from 40x30 to 32x24"),
        ([a, a, b], "for 2 sources, got 3"),
    ):
        with pytest.raises(FusionlabError, match=message) as caught:
            known(images)
        assert caught.value.code == "bad-transform"
