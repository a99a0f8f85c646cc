"""Sources that are found by names of sub-folders and files: in which order, and what is refused."""

from pathlib import Path

import pytest
from refusals import refused

from fusionlab.errors import PairingError
from fusionlab.runs.image_sets import pair_images
from fusionlab.runs.pairing.vocabulary import DJI, KINDS, NUMBERED, combinations

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"
WORDS = [(one, other) for first, second in KINDS for one in first[:3] for other in second[:3]]


def templates(*sources):
    return list(pair_images(sources).templates)


@pytest.mark.parametrize(("one", "other"), WORDS)
def test_the_first_source_is_first_whatever_the_alphabet_says(put, one, other):
    put(f"set/{one}/1.png", f"set/{other.upper()}/1.png")
    assert templates("set") == [f"set/{one}/", f"set/{other.upper()}/"]
    put(f"names/1_{one}.png", f"names/1_{other.upper()}.png")
    assert templates("names") == [f"names/{{}}_{one}.*", f"names/{{}}_{other.upper()}.*"]


@pytest.mark.parametrize(
    "names", [("src1", "src2", "src3"), ("Image_0", "Image_1"), ("band-1", "band-2", "band-3")]
)
def test_numbered_sources_are_in_the_order_of_their_numbers(put, names):
    put(*(f"set/{name}/1.png" for name in names), *(f"names/1_{name[-6:]}.png" for name in names))
    assert templates("set") == [f"set/{name}/" for name in names]


def test_ten_numbered_sources_are_not_sorted_as_text():
    words = [f"source{number}" for number in sorted(map(str, range(1, 12)))]
    (choice,) = combinations(words)
    assert [words[index] for index in choice] == [f"source{number}" for number in range(1, 12)]


@pytest.mark.parametrize(
    "words", [["source2", "source3"], ["source1", "source3"], ["ir"], ["a", "b"], ["1", "2"], []]
)
def test_words_that_are_no_sources_of_one_fusion(words):
    assert combinations(words) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["01_ir", "01_vis"], ["{}_ir", "{}_vis"]),
        (["01ir", "01vis"], ["{}ir", "{}vis"]),
        (["IR01", "VIS01"], ["IR{}", "VIS{}"]),
        (["near-x y", "far-x y"], ["near-{}", "far-{}"]),
        (["x_a", "x_b", "x_c", "y_a", "y_b"], ["{}_a", "{}_b", "{}_c"]),
        (["IR_a", "IR_b", "VIS_a", "VIS_b"], ["IR_{}", "VIS_{}"]),
        (["IMG_0001_1", "IMG_0001_2"], ["{}_1", "{}_2"]),
        (["DJI_0001_T", "DJI_0001_W"], ["{}_T", "{}_W"]),
        (["DJI_0001_Z", "DJI_0001_T"], ["{}_T", "{}_Z"]),
        (["s source1", "s source2"], ["{} source1", "{} source2"]),
        (["Kaptein_ct", "Kaptein_mri"], ["{}_ct", "{}_mri"]),
    ],
)
def test_sources_in_one_folder(put, names, expected):
    put(*(f"set/{name}.png" for name in names))
    assert templates("set") == [f"set/{name}.*" for name in expected]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["x_T", "x_V"], "not-an-image-set"),  # no drone
        (["frame_1", "frame_2"], "not-an-image-set"),
        (["x_2", "x_3", "y_2", "y_3"], "not-an-image-set"),
        (["1", "2"], "not-an-image-set"),
        (["01_ir", "02_vis"], "not-an-image-set"),
        (["01_ir", "01_vis", "02_ir"], "unclear-names"),
        (["01_ir", "01_vis", "notes"], "unclear-names"),
        (["01_ir", "01_vis", "01_rgb"], "unclear-names"),
        (["x_a", "x_b", "y_a", "y_c"], "unclear-names"),
        (["x_1", "x_2", "y_1", "y_2"], "unclear-names"),  # frames of two videos?
        (["x_ir_a", "x_ir_b", "x_vis_a", "x_vis_b"], "unclear-names"),
        (["ir_1_vis", "ir_1_ir", "vis_1_ir", "vis_1_vis"], "unclear-names"),
    ],
)
def test_names_in_one_folder_that_are_not_clear(put, names, code):
    put(*(f"set/{name}.png" for name in names))
    with pytest.raises(PairingError, check=refused(code, Path("set"))):
        pair_images("set")


@pytest.mark.parametrize(
    ("names", "suggestions"),
    [
        (["s/1_ir.png", "s/1_vis.png", "s/x.png"], [("s/{}_ir.*", "s/{}_vis.*")]),
        (
            ["s/DJI_1_T.png", "s/DJI_1_W.png", "s/DJI_1_Z.png"],
            [("s/{}_T.*", "s/{}_W.*"), ("s/{}_T.*", "s/{}_Z.*")],
        ),
        (["s/ir/1.png", "s/nir/1.png", "s/vis/1.png"], [("s/ir", "s/vis"), ("s/nir", "s/vis")]),
        (["s/k1/a/1.png", "s/k1/b/1.png", "s/k2/a/1.png", "s/k2/b/1.png"], [("s/k1",), ("s/k2",)]),
        (["s/1/ir.png", "s/1/vis.tif", "s/2/ir.png", "s/2/vis.tif"], [("s/{}/ir.*", "s/{}/vis.*")]),
    ],
)
def test_what_is_suggested_works(put, names, suggestions):
    put(*names)
    with pytest.raises(PairingError) as error:
        pair_images("s")
    assert list(error.value.suggestions) == suggestions
    for sources in suggestions:
        assert any(not item.problem for item in pair_images(sources).items)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["IR_01", "IR_02"], ["VIS_01", "VIS_02"], ["IR_{}", "VIS_{}"]),
        (["IR_01"], ["VIS_1"], ["IR_{}", "VIS_{}"]),
        (["01_ir", "02_ir"], ["01", "02"], ["{}_ir", "{}"]),
        (["IR_x_g", "IR_y_g"], ["VIS_x_r", "VIS_y_r"], ["IR_{}_g", "VIS_{}_r"]),
        (["DJI_0001_T", "DJI_0002_T"], ["DJI_0001_V", "DJI_0002_V"], ["{}_T", "{}_V"]),
        (
            ["DJI_20230101120000_0001_T", "DJI_20230101120009_0002_T"],
            ["DJI_20230101120001_0001_V", "DJI_20230101120009_0002_V"],
            ["{}_T", "{}_V"],
        ),
        (["ir1", "ir2"], ["vis1", "vis2"], ["ir{}", "vis{}"]),
    ],
)
def test_what_the_names_in_two_folders_begin_and_end_with(put, one, other, expected):
    put(*(f"p/{name}.png" for name in one), *(f"q/{name}.jpg" for name in other))
    shown = [
        f"{f}/" if name == "{}" else f"{f}/{name}.*" for f, name in zip("pq", expected, strict=True)
    ]
    image_set = pair_images(["p", "q"])
    assert list(image_set.templates) == shown
    assert not any(item.problem for item in image_set.items)


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        (["cat_1", "cat_2"], ["dog_1", "dog_2"], "unclear-names"),  # no words for sources
        (["IR_1", "IR_2", "IR_3"], ["VIS_1", "VIS_2"], "unclear-names"),  # one without a partner
        (["IR_1", "IR_3"], ["VIS_2", "VIS_4"], "no-pairs"),  # counted on by the camera
        (["IR_1_1", "IR_2_1"], ["IR_1_2", "IR_2_2"], "unclear-names"),  # numbers of sources?
        (["x", "y"], ["v", "w"], "no-pairs"),
    ],
)
def test_names_in_two_folders_that_are_not_clear(put, one, other, code):
    put(*(f"p/{name}.png" for name in one), *(f"q/{name}.png" for name in other))
    with pytest.raises(PairingError, check=refused(code)) as error:
        pair_images(["p", "q"])
    for sources in error.value.suggestions:
        assert any(not item.problem for item in pair_images(sources).items)


def test_names_that_agree_are_never_taken_apart(put):
    put("p/IR_1.png", "p/IR_2.png", "q/VIS_1.png", "q/IR_2.png")
    problems = {item.stem: bool(item.problem) for item in pair_images(["p", "q"]).items}
    assert problems == {"IR_1": True, "IR_2": False, "VIS_1": True}


def test_the_guide_lists_every_word():
    text = GUIDE.read_text(encoding="utf-8")
    words = {word for kind in (*KINDS, DJI) for role in kind for word in role} | set(NUMBERED)
    assert not [
        word for word in words if f"`{word}`" not in text and f"`_{word.upper()}`" not in text
    ]
