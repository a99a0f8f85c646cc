"""The file of a study: grids, and errors that name the file, the place and what to write."""

import inspect
import textwrap
from pathlib import Path

import pytest

from fusionlab import FusionlabError
from fusionlab.evaluation.studies import file as study_file
from fusionlab.evaluation.studies.file import MethodEntry, parse_study, read_study

SET = '[sets]\nset = "images"\n'


def parse(text):
    return parse_study(textwrap.dedent(text), Path("base"), "radius.toml")


def test_the_example_of_the_module_is_a_study_of_25_methods():
    example = inspect.cleandoc(study_file.__doc__).partition("\n\n")[2].partition("\nAn ")[0]
    study = parse(example)
    assert study.name == "radius"
    assert study.metrics == ("EN", "Qabf", "SSIM", "VIF")
    assert study.combinations == [{"range": "clip"}, {"range": "minmax"}]
    assert len(study.methods) == 2 * 3 * 4 + 1
    assert study.methods[0].text == "densefuse@1e0/l1norm,r=0"
    assert study.methods[-1] == MethodEntry("gtf,lam=4", "GTF")
    assert [entry.folders for entry in study.sets] == [
        (Path("base/data/tno20"),),
        (Path("base/data/MSRS/ir"), Path("base/data/MSRS/vi")),
    ]
    assert study.sets[1].limit == 50
    assert study.results[0].folders == {"tno": Path("base/results/tno/{}_fused.png")}


def test_names_of_rows_hold_the_values_of_their_grid():
    study = parse(SET + '[[methods]]\nstrategy = "l1norm"\nr = {grid = [0, 1]}\nname = "r={r}"')
    assert [entry.label for entry in study.methods] == ["r=0", "r=1"]


def test_values_are_written_as_methods_take_them():
    study = parse(SET + '[[methods]]\nstrategy = "x"\non = true\nt = [0.2, 0.8]\nw = 1e-3')
    assert study.methods[0].text == "x,on=true,t=0.2,0.8,w=0.001"


def test_a_grid_of_scales_makes_a_set_of_each():
    study = parse('[sets]\nm = {folder = "m", scale = {grid = ["full", "percentile=1,99"]}}')
    assert [entry.name for entry in study.sets] == ["m (full)", "m (percentile=1,99)"]
    assert [entry.scale for entry in study.sets] == [("full",), ("percentile=1,99",)]


def test_equal_methods_count_once():
    twice = '[[methods]]\nmethod = "max"\n'
    assert len(parse(SET + twice + twice).methods) == 1


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("[stduy]\n" + SET, "unknown-key", "did you mean 'study'?"),
        ("[study]\nmetric = ['EN']\n" + SET, "unknown-key", "did you mean 'metrics'?"),
        ("", "missing-key", "no image set"),
        ("[sets]\nm = {scale = 'full'}", "missing-key", "[sets] m needs a folder"),
        ("[sets]\nm = {folder = 'm', limits = 3}", "unknown-key", "did you mean 'limit'?"),
        ("[sets]\nm = {folder = 'm', limit = 0}", "wrong-type", "at least 1"),
        ("[sets]\nm = {folder = 'm', limit = true}", "wrong-type", "a whole number"),
        (SET + "[methods]\nmethod = 'max'", "wrong-type", "[[methods]]"),
        (SET + "[[methods]]\nstratgy = 'max'", "missing-key", "did you mean 'strategy'"),
        (SET + "[[methods]]\nmethod = 'max'\nr = 1", "unknown-key", "'r'"),
        (SET + "[[methods]]\nstrategy = 'max'\nr = {grip = [1]}", "unknown-key", "'grid'"),
        (SET + "[[methods]]\nstrategy = 'max'\nr = {grid = []}", "wrong-type", "at least one"),
        (SET + "[[methods]]\nstrategy = 'max'\nname = '{q}'", "unknown-key", "{strategy}"),
        (SET + "[[results]]\nset = 'x'", "missing-key", "[[results]] 1 needs a name"),
        (SET + "[[results]]\nname = 'x'\nsat = 'x'", "unknown-key", "did you mean 'set'?"),
        ("[[[", "not-toml", "radius.toml is not TOML"),
    ],
)
def test_mistakes_are_named_with_their_place(text, code, part):
    with pytest.raises(FusionlabError) as refused:
        parse(text)
    assert refused.value.code == code
    assert "radius.toml" in str(refused.value)
    assert part in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FusionlabError) as refused:
        read_study(tmp_path / "no.toml")
    assert refused.value.code == "unreadable"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FusionlabError, match="not UTF-8"):
        read_study(tmp_path / "binary.toml")
