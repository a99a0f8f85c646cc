"""Tables for LaTeX: what they say, and that pdflatex sets them."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from made_up_study import made_up_report

from fusionlab.evaluation.comparisons import Comparison
from fusionlab.evaluation.effects import ALL_SETS, Effect
from fusionlab.evaluation.reporting.files import report_files
from fusionlab.evaluation.reporting.latex import table_label, to_latex
from fusionlab.evaluation.reporting.tables import Cell, Table

SPECIAL = r"a_b & 50% #1 $x$ ~y ^z \w {k} <i> p|q"
WIDE = ("EN", "SD", "AG", "SF", "MI", "SCD", "Qabf", "SSIM", "VIF", "CC", "PSNR", "MSE", "CE")
TABLE = Table(
    "Ours & theirs",
    ("method", "against", "EN ↑", "MSE ↓"),
    (
        (Cell("a_b"), Cell("c"), Cell("1.25", "±0.5", "best"), Cell("-0.5")),
        (Cell("c"), Cell("d"), Cell("1.00", "±0.5", "second"), Cell("-1.5")),
    ),
    ("2 images.",),
    "gain",
)


def test_a_table_has_rules_a_caption_a_label_marks_and_minus_signs():
    lines = to_latex(TABLE, ["my_study", "tno"]).splitlines()
    assert [line for line in lines if line.endswith("rule")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
    assert r"\caption{Ours \& theirs (my\_study, tno).}" in lines
    assert r"\label{tab:my-study-tno-gain}" in lines
    assert r"\begin{tabular}{llrr}" in lines
    cells = [re.split(r"\s*(?<!\\)[&]\s*", line.removesuffix(r"\\").strip()) for line in lines]
    assert [r"\texttt{a\_b}", r"\texttt{c}", r"\textbf{1.25}", "$-$0.5"] in cells
    assert ["", "", r"\footnotesize $\pm$0.5", ""] in cells
    assert [r"\addlinespace \texttt{c}", r"\texttt{d}", r"\underline{1.00}", "$-$1.5"] in cells
    assert lines[-1] == "% 2 images."


def test_deviations_can_be_left_out():
    text = to_latex(TABLE, details=False)
    assert r"\pm" not in text
    assert r"\underline{1.00}" in text
    assert r"\addlinespace" not in text


def test_a_label_has_only_letters_that_every_program_takes():
    assert table_label(TABLE, [r"Ä_b %#\{}", "Set 2"]) == "tab:a-b-set-2-gain"


@pytest.fixture
def typeset(tmp_path):
    """Write `table.tex` of reports, set it, and return the log and the words of the PDF."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs LaTeX")

    def build(reports, study, effects=()):
        with (tmp_path / "table.tex").open("wb") as file:
            files = report_files(reports, tmp_path, {"name": study}, effects)
            files[tmp_path / "table.tex"](file)
        (tmp_path / "paper.tex").write_text(
            r"\documentclass{article}\usepackage{booktabs,graphicx}"
            r"\begin{document}\input{table}\end{document}"
        )
        subprocess.run(
            ["pdflatex", "-halt-on-error", "paper.tex"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        if shutil.which("pdftotext"):
            subprocess.run(["pdftotext", "-raw", "paper.pdf"], cwd=tmp_path, check=True)
        words = tmp_path / "paper.txt"
        return (
            (tmp_path / "paper.log").read_text(errors="replace"),
            words.read_text().replace("\n", " ") if words.exists() else None,
        )

    return build


def test_a_wide_table_is_scaled_to_the_text_and_special_characters_are_printed(typeset):
    values = np.random.default_rng(0).normal(100, 10, (4, 7, len(WIDE)))
    methods = [SPECIAL, "densefuse@1e2/l1norm,r=1", "identity/max", "identity/mean"]
    samples = [f"{number}" for number in range(7)]
    reports = {
        image_set: made_up_report(methods, samples, values, WIDE, against=methods[1])
        for image_set in (SPECIAL, SPECIAL.replace("_", "-"))
    }
    effects = [
        Effect(
            image_set, SPECIAL, 3,
            Comparison(SPECIAL, "clip", metric, 7, -0.5, -0.75, -0.25, 0.02, 1, tests=13),
        )
        for image_set in (ALL_SETS, *reports)
        for metric in WIDE
    ]  # fmt: skip
    log, words = typeset(reports, "radius_study", effects)
    assert not re.findall(r"Overfull.*|.*multiply defined.*", log)
    if words is not None:
        # the fonts of TeX have accents for ~ and ^, and draw a line for _
        accents = {"\N{SMALL TILDE}": "~", "\N{MODIFIER LETTER CIRCUMFLEX ACCENT}": "^"}
        plain = words.translate(str.maketrans(accents))
        in_effects = 3 * 2 + 1  # the factor and its level in each row, the name of a set
        assert plain.count(SPECIAL.replace("_", " ")) == 2 + 4 + in_effects  # captions, rows
        assert "Table 1: Effects of the factors" in words
        assert words.count("p = 0.02") == 3 * len(WIDE)
        assert "Table 5" in words


@pytest.mark.parametrize("deviations", [True, False])
def test_a_long_table_goes_on_over_pages_under_one_number(deviations, typeset):
    values = np.random.default_rng(0).normal(3, 1, (120, 4, 4))
    methods = [f"densefuse@1e2/l1norm,r={number}" for number in range(120)]
    report = made_up_report(
        methods, list("abcd"), values, WIDE[:4], against=methods[0], deviations=deviations
    )
    log, words = typeset({"tno": report}, "radius")
    assert not re.findall(r"Overfull.*|Float too large.*|.*multiply defined.*|.*lost.*", log)
    if words is not None:
        assert "Table 1: Means over the images" in words
        assert re.search(r"Table 1: .*, continued", words)
        assert "Table 2: Against" in words
        assert "Table 3" not in words
        # each row in both tables, and what it is compared with
        in_rows = re.findall(r"densefuse@1e2/l1norm,r=\d+ (?!\()", words)  # ( follows in captions
        assert len(in_rows) == 120 + 2 * 119


def test_a_line_end_in_a_name_or_a_note_does_not_leave_its_place():
    hostile = "x\n\\input{secret}"
    rows = ((Cell(hostile), Cell("1")),)
    text = to_latex(Table(hostile, ("method", "EN"), rows, (hostile,), "x"))
    assert not any(line.startswith("\\input") for line in text.splitlines())
