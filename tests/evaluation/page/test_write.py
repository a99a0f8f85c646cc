"""`write_page`: a whole page or none, the images it shows, everything in one file."""

import base64
import errno
import importlib.util
import json
import re
from html.parser import HTMLParser

import imageio.v3 as iio
import numpy as np
import pytest
from faulty_files import FaultyFiles
from made_up_study import (
    SIZE,
    MadeUpMethod,
    flat,
    made_up_report,
    made_up_study,
    made_with,
    small_report,
)

from fusionlab import FusionlabError
from fusionlab.evaluation.page.write import write_page
from fusionlab.evaluation.saved_images import image_path


class Inner(HTMLParser):
    """The texts of the scripts of a page, by their id."""

    def __init__(self, html):
        super().__init__()
        self.scripts, self.names = {}, []
        self._id = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag == "script":
            self._id = dict(attrs).get("id", "")

    def handle_data(self, data):
        if self.names[-1:] == ["script"]:
            self.scripts[self._id] = self.scripts.get(self._id, "") + data


def chunk(folder, name):
    """Return what a script of the page hands to it."""
    text = (folder / "data" / f"{name}.js").read_text("ascii")
    return json.loads("[" + text.removeprefix("fusionlabPage.receive(").removesuffix(");\n") + "]")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def study(tmp_path):
    return made_up_study(tmp_path, {"street": small_report(against="Theirs")})


def test_a_page_holds_an_index_data_plots_images_and_thumbnails(study, tmp_path):
    index = write_page(study, tmp_path / "page")
    names = files(tmp_path / "page")
    assert index == tmp_path / "page" / "index.html"
    images = {
        f"0/{sample}-{name}" for sample in range(3) for name in ["s1", "s2", "r0", "r1", "r2", "r3"]
    }
    assert names == {
        "index.html",
        "data/samples-0.js",
        "data/values-0-0.js",
        "data/values-0-1.js",
        "plots/0-0.svg",
        *(f"images/{name}.png" for name in images),
        *(f"thumbnails/{name}.webp" for name in images),
    }


def test_results_are_linked_not_written_twice(study, tmp_path):
    write_page(study, tmp_path / "page")
    original = image_path(tmp_path / "out", "street/l1norm", "one")
    assert (tmp_path / "page/images/0/0-r0.png").samefile(original)
    assert not (tmp_path / "page/images/0/0-s1.png").samefile(study.items["street"][0].sources[0])


def test_values_keep_all_digits_that_are_shown(tmp_path):
    values = np.array([[[1.23456, -7e9], [np.nan, np.inf]]])
    report = made_up_report(["a"], ["one", "two"], values)
    write_page(made_up_study(tmp_path, {"set": report}, images=False), tmp_path / "page")
    name, text = chunk(tmp_path / "page", "values-0-0")
    numbers = np.frombuffer(base64.b64decode(text), "<f4")
    assert name == "values-0-0"
    assert numbers[0] == np.float32(1.23456)
    assert np.isnan(numbers[1])
    exact = made_up_report(["a"], ["one", "two"], values, digits=10)
    write_page(made_up_study(tmp_path, {"set": exact}, images=False), tmp_path / "page")
    text = chunk(tmp_path / "page", "values-0-0")[1]
    assert np.frombuffer(base64.b64decode(text), "<f8")[0] == 1.23456


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("all", {0, 1, 2}),
        ("none", set()),
        ("worst:1", {1}),
        ("worst:2", {1, 2}),
        ("worst:9", {0, 1, 2}),
    ],
)
def test_the_worst_samples_of_each_set_can_be_chosen(images, expected, study, tmp_path):
    write_page(study, tmp_path / "page", images=images, order_by="Qabf")
    entries = chunk(tmp_path / "page", "samples-0")[1]
    assert {number for number, entry in enumerate(entries) if "size" in entry} == expected
    assert [entry["name"] for entry in entries] == ["one", "two", "three"]


@pytest.mark.parametrize("images", ["some", "worst", "worst:0", "worst:-1", "all:3", "worst:x"])
def test_another_choice_of_images_is_refused(images, study, tmp_path):
    with pytest.raises(FusionlabError) as refused:
        write_page(study, tmp_path / "page", images=images)
    assert (refused.value.code, refused.value.option) == ("image-choice", "images")
    assert not (tmp_path / "page").exists()


def test_a_metric_that_the_study_does_not_have_is_refused(study, tmp_path):
    with pytest.raises(FusionlabError) as refused:
        write_page(study, tmp_path / "page", order_by="VIF")
    assert (refused.value.code, refused.value.option) == ("no-such-metric", "order_by")


def test_an_earlier_page_is_replaced_as_a_whole(study, tmp_path):
    write_page(study, tmp_path / "page")
    write_page(study, tmp_path / "page", images="none")
    assert not any(name.startswith("images") for name in files(tmp_path / "page"))
    write_page(study, tmp_path / "page", single_file=True)
    assert files(tmp_path / "page") == {"index.html"}
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_holds_something_else_is_refused_and_stays(study, tmp_path):
    folder = tmp_path / "page"
    for name in ("notes.txt", "index.html"):
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(FusionlabError) as refused:
            write_page(study, folder)
        assert refused.value.code == "not-a-page"
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
        folder.rmdir()
    folder.write_text("a file")
    with pytest.raises(FusionlabError) as refused:
        write_page(study, folder)
    assert refused.value.code == "not-a-page"
    folder.unlink()
    folder.mkdir()
    write_page(study, folder)  # an empty folder is fine


def test_a_page_that_fails_half_way_leaves_the_earlier_one(study, tmp_path):
    index = write_page(study, tmp_path / "page", images="none")
    before = index.read_bytes()

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_page(study, tmp_path / "page", progress=fail)
    assert index.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "page", "sources0"]


def test_progress_counts_the_samples_whose_images_are_written(study, tmp_path):
    steps = []
    write_page(study, tmp_path / "page", progress=lambda *counts: steps.append(counts))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("pixels", "suffix", "shown"),
    [
        (np.full(SIZE, 2**15, np.uint16), ".png", 128),
        (np.full(SIZE, 0.25, np.float32), ".tif", 64),
        (np.full((*SIZE, 3), (10, 60, 200), np.uint8), ".png", (10, 60, 200)),
    ],
)
def test_sources_and_results_of_any_depth_are_shown_in_8_bits(
    pixels, suffix, shown, study, tmp_path
):
    source = study.items["street"][0].sources[0]
    source.unlink()
    iio.imwrite(source.with_suffix(suffix), pixels)
    item = study.items["street"][0]
    study.items["street"][0] = type(item)(item.stem, (source.with_suffix(suffix), item.sources[1]))
    result = image_path(tmp_path / "out", "street/l1norm", "one")
    result.unlink()
    iio.imwrite(result.with_suffix(suffix), pixels)
    write_page(study, tmp_path / "page")
    for name in ("0-s1", "0-r0"):
        image = iio.imread(tmp_path / f"page/images/0/{name}.png")
        assert image.dtype == np.uint8
        assert (image == np.array(shown)).all()
    assert iio.imread(tmp_path / "page/thumbnails/0/0-s1.webp").shape == (*SIZE, 3)


def test_sources_are_shown_in_the_scale_of_the_study(tmp_path):
    report = small_report()
    report.settings["scale"] = "0,100 full"
    study = made_up_study(tmp_path, {"street": report})
    write_page(study, tmp_path / "page")
    levels = [iio.imread(tmp_path / f"page/images/0/0-s{n}.png")[0, 0] for n in (1, 2)]
    assert levels == [128, 200]  # 50 of 0..100, and 200 of 0..255


def test_a_damaged_source_costs_its_images_and_says_why(study, tmp_path):
    study.items["street"][0].sources[1].write_bytes(b"no image")
    image_path(tmp_path / "out", "street/Theirs", "one").write_bytes(b"nor this")
    write_page(study, tmp_path / "page")
    entry = chunk(tmp_path / "page", "samples-0")[1][0]
    assert entry["sources"] == []
    assert "0.png" not in entry["problem"]
    assert "one.png" in entry["problem"]
    assert entry["rows"] == [0, 1, 2]


def test_everything_is_in_one_file(study, tmp_path):
    index = write_page(study, tmp_path / "page", single_file=True)
    assert files(tmp_path / "page") == {"index.html"}
    html = index.read_text("utf-8")
    scripts = Inner(html).scripts
    assert {f"chunk-images-0-{n}" for n in range(3)} <= set(scripts)
    images = json.loads(scripts["chunk-images-0-1"])
    assert len(images) == 6
    assert all(uri.startswith("data:image/png;base64,") for uri in images.values())
    assert json.loads(scripts["chunk-samples-0"])[0]["name"] == "one"
    assert not re.search(r"<(?:script|img|link)[^>]+(?:src|href)=\"(?!data:)", html)


def test_problems_and_methods_left_out_are_counted_and_listed(tmp_path):
    report = small_report(left_out={"cbf": "it needs exactly 2 sources, the set has 3"})
    index = write_page(made_up_study(tmp_path, {"s": report}, images=False), tmp_path / "page")
    html = index.read_text("utf-8")
    assert "1 rows without all scores" in html
    assert "three has no value" in html
    assert "it needs exactly 2 sources, the set has 3" in html


def test_a_study_of_which_nothing_has_been_computed_has_a_page_without_plots(tmp_path):
    methods = [MadeUpMethod("a", made_with(r=1)), MadeUpMethod("b", made_with(r=2))]
    report = made_up_report(methods, ["one", "two"], np.full((2, 2, 2), np.nan))
    index = write_page(made_up_study(tmp_path, {"s": report}, images=False), tmp_path / "page")
    assert 'href="#plots-0"' not in index.read_text()
    assert 'id="plots-0"' not in index.read_text()
    assert not (tmp_path / "page" / "plots").exists()


def test_many_problems_are_counted_not_all_listed(tmp_path):
    samples = [f"sample{number}" for number in range(300)]
    report = made_up_report(["a"], samples, np.full((1, 300, 2), np.nan))
    index = write_page(made_up_study(tmp_path, {"s": report}, images=False), tmp_path / "page")
    html = index.read_text("utf-8")
    assert html.count("has no value</li>") == 200
    assert "and 100 more" in html


def test_without_matplotlib_the_page_says_how_to_get_plots(study, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "matplotlib" else find_spec(name),
    )
    index = write_page(study, tmp_path / "page")
    assert not (tmp_path / "page" / "plots").exists()
    assert "fusionlab-imaging[plots]" in index.read_text("utf-8")


def test_a_script_that_is_not_of_the_page_is_not_allowed(study, tmp_path):
    html = write_page(study, tmp_path / "page").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert policy.count("sha256-") == html.count("<script>")


def test_weight_maps_are_those_of_the_strategy(tmp_path):
    from fusionlab import Fusion, evaluate, find_image_set
    from fusionlab.evaluation.page.weight_maps import ComputedWeightMaps
    from fusionlab.evaluation.studies.results import StudyResults

    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        iio.imwrite(tmp_path / f"set/{letter}/x.png", rng.integers(0, 256, (24, 30), np.uint8))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    iio.imwrite(theirs / "x.png", flat(3)[:24, :30])
    report = evaluate(tmp_path / "set", ["identity/l1norm,r=2", {"Theirs": theirs}], "EN")
    items = find_image_set(tmp_path / "set")
    maps = ComputedWeightMaps(StudyResults("s", {"set": report}, {"set": items}))
    computed = maps("set", "identity/l1norm,r=2", "x")
    sources = [iio.imread(path) for path in items[0].sources]
    expected = Fusion("identity", "l1norm,r=2").fuse(sources, weights=True).weights
    assert len(computed) == 2
    assert all(np.array_equal(a, b) for a, b in zip(computed, expected, strict=True))
    assert list(maps("set", "Theirs", "x")) == []


def test_the_same_study_gives_the_same_page(study, tmp_path):
    for name in ("page", "again"):
        write_page(study, tmp_path / name)
    for name in files(tmp_path / "page"):
        assert (tmp_path / "page" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_rows_of_several_sets_share_how_they_were_made(tmp_path):
    methods = [MadeUpMethod("a", made_with(r=1)), MadeUpMethod("b", made_with(r=2))]
    reports = {
        name: made_up_report(methods, ["one"], np.ones((2, 1, 2)), name=name)
        for name in ("tno", "vifb")
    }
    html = write_page(made_up_study(tmp_path, reports, images=False), tmp_path / "page").read_text()
    assert html.count('<details class="made" id="made-') == 2
    assert html.count("tno, vifb") == 2


def test_a_page_with_an_image_that_cannot_be_written_is_not_written(study, tmp_path):
    """It was written without the image, as if the image were damaged."""
    page = tmp_path / "page"
    with FaultyFiles(tmp_path) as calm:
        write_page(study, page)
    before = files(page)
    for name in ("0-s1.png", "0-r0.webp"):
        number = calm.calls.index(("write", name))
        with FaultyFiles(tmp_path, number, errno.ENOSPC), pytest.raises(FusionlabError) as caught:
            write_page(study, page)
        assert (caught.value.code, caught.value.path) == ("unwritable", page)
        assert files(page) == before
