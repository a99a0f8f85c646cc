"""Templates: which files they mean, what `{}` is, and which of them are refused."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from fusionlab.errors import FusionlabError
from fusionlab.runs.pairing.templates import find_files, find_in_folder, literal_folder


def names(template):
    """Return {what `{}` is: the files}."""
    files = find_files(template).files
    return {name: [path.as_posix() for path in paths] for name, paths in files.items()}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("set/{}_ir.*", {"1": ["set/1_ir.png"], "2": ["set/2_ir.TIF"]}),
        ("set/{}_ir", {"1": ["set/1_ir.png"], "2": ["set/2_ir.TIF"]}),
        ("set/{}_ir.png", {"1": ["set/1_ir.png"]}),
        ("set/{}_ir.tif", {"2": ["set/2_ir.TIF"]}),
        ("set/{}_?r.*", {"1": ["set/1_ir.png"], "2": ["set/2_ir.TIF"]}),
        ("set/{}_v*.png", {"1": ["set/1_vis.png"]}),
        ("set/{}.txt", {"1_ir": ["set/1_ir.txt"]}),
        ("{}/1_ir.png", {"set": ["set/1_ir.png"]}),
        ("*/{}_ir.png", {"1": ["set/1_ir.png"]}),
        ("s?t/{}_ir.png", {"1": ["set/1_ir.png"]}),
        ("set/x{}.*", {}),
        ("se/{}_ir.*/", {}),
    ],
)
def test_a_template_means_the_files_that_it_matches(put, template, expected):
    put("set/1_ir.png", "set/1_vis.png", "set/2_ir.TIF", "set/1_ir.txt", "set/.3_ir.png", "se/x")
    assert names(template) == expected


def test_the_place_is_any_text_of_one_name(put):
    put("set/a.b_ir.png", "set/ _ir.png", "set/[x]_ir.png", "set/_ir.png", "set/a/b_ir.png")
    assert names("set/{}_ir.*").keys() == {"a.b", " ", "[x]"}


def test_brackets_and_dots_are_themselves(put):
    put("s[e]t/{1}.x.png", "set/1.x.png", "s[e]t/1-x.png", "s[e]t/(1).x.png")
    assert names("s[e]t/({}).x.png") == {"1": ["s[e]t/(1).x.png"]}


def test_unicode_forms_of_a_template_and_of_a_file_agree(put):
    composed, decomposed = (unicodedata.normalize(form, "Wärme") for form in ("NFC", "NFD"))
    put(f"set/1_{decomposed}.png")
    assert names(f"set/{{}}_{composed}.*").keys() == {"1"}


@pytest.mark.parametrize("template", ["set/*.png", "set/{}/{}.png", "set/{}_{}.*"])
def test_the_place_must_be_there_once(put, template):
    put("set/1.png")
    with pytest.raises(FusionlabError, check=refused("not-a-template")):
        find_files(template)


@pytest.mark.parametrize("template", ["set/{}*.*", "set/*{}.*", "set/{}_*.*"])
def test_a_place_that_may_be_several_parts_of_a_name_is_refused(put, template):
    put("set/1_a_b.png")
    with pytest.raises(FusionlabError, check=refused("ambiguous-template")):
        find_files(template)


@pytest.mark.parametrize(
    ("template", "folder"),
    [("set/ir/{}.png", "set/ir"), ("{}.png", "."), ("/set/*/{}.png", "/set"), ("a?/{}.png", ".")],
)
def test_what_does_not_vary_is_a_folder(template, folder):
    assert literal_folder(template) == Path(folder)


def test_a_folder_may_have_signs_of_templates_in_its_name(put):
    put("a{}*?/1.png", "a{}*?/2.jpg")
    assert find_in_folder(Path("a{}*?")).files.keys() == {"1", "2"}
    assert find_in_folder(Path("a{}*?"), "{}2").files.keys() == set()


@given(
    name=st.text("ab1_-. é", min_size=1).filter(lambda text: not text.startswith(".")),
    before=st.text("xy_-", max_size=3),
    after=st.text("xy_-", max_size=3),
)
def test_a_template_gives_back_what_a_name_was_made_of(tmp_path_factory, name, before, after):
    folder = tmp_path_factory.mktemp("set")
    (folder / f"{before}{name}{after}.png").touch()
    found = find_in_folder(folder, f"{before}{{}}{after}").files
    assert [*found] == [unicodedata.normalize("NFC", name)]
