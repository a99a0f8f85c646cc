r"""Write tables for LaTeX: what `table.tex` holds, to be `\input` into a paper.

A table needs the packages booktabs and graphicx and nothing else. One that is wider than the text
is scaled to its width; one that is longer than a page is continued on further pages, with the same
number and the heads again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from tabulate import tabulate

from fusionlab.evaluation.reporting.tables import Table
from fusionlab.safe_text import safe_text

HEAD = r"% needs \usepackage{booktabs,graphicx}"
NAME_HEADS = ("method", "against", "range", "published as", "factor", "difference", "set")
"""Heads of the columns that hold names, not numbers."""
PAGE_LINES = 38
"""Lines of a page below the caption and the heads: 12 pt each, of the 550 pt of an A4 article."""
DETAILED_LINES = 2.4
"""Lines of a row with deviations: one for each, and the space above."""
MARKS = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "±": r"$\pm$",
        **{char: f"\\{char}" for char in "_%&#${}"},
    }
)


def to_latex(
    table: Table, names: Sequence[str] = (), label: str = "", *, details: bool = True
) -> str:
    r"""Return a table with booktabs: the best in bold, the second underlined.

    Deviations and intervals have a line of their own beneath the row.

    Args:
        table: the table; its title is the caption.
        names: what it is of, a study and an image set; shown in the caption.
        label: for `\ref`; empty: see `table_label`.
        details: whether to show deviations and intervals.
    """
    of = f" ({', '.join(names)})" if names else ""
    caption = _escape(table.title + of)
    pages = _pages(table, details)
    parts = []
    for number, rows in enumerate(pages):
        first = number == 0
        parts += [
            r"\begin{table}" if len(pages) == 1 else r"\begin{table}[p]",
            r"\centering",
            *([] if first else [r"\addtocounter{table}{-1}"]),
            rf"\caption{{{caption}.}}" if first else rf"\caption[]{{{caption}, continued.}}",
            *([rf"\label{{{label or table_label(table, names)}}}"] if first else []),
            r"\sbox0{%",
            _tabular(table.heads, rows) + "}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\end{table}",
        ]
    # LaTeX keeps no more than some dozens of tables waiting for a page of their own
    parts += [r"\clearpage"] if len(pages) > 1 else []
    return "\n".join([*parts, *(f"% {safe_text(note)}" for note in table.notes)])


def _pages(table: Table, details: bool) -> list[list[list[list[str]]]]:
    """Return pages of rows of one or two lines of cells."""
    pages: list[list[list[list[str]]]] = [[]]
    filled = 0.0
    count = _name_columns(table.heads)
    for row in table.rows:
        names_of_row = [rf"\texttt{{{_escape(cell.text)}}}" for cell in row[:count]]
        values = [MARKS[cell.mark].format(_number(cell.text)) for cell in row[count:]]
        lines = [[*names_of_row, *values]]
        if details and any(cell.detail for cell in row):
            lines.append([""] * count + [_small(cell.detail) for cell in row[count:]])
        height = 1 if len(lines) == 1 else DETAILED_LINES
        if pages[-1] and filled + height > PAGE_LINES:
            pages.append([])
            filled = 0
        pages[-1].append(lines)
        filled += height
    return pages


def _tabular(heads: Sequence[str], rows: Sequence[list[list[str]]]) -> str:
    """Return a `tabular`, with some space between rows of two lines."""
    count = _name_columns(heads)
    lines: list[list[str]] = []
    for row in rows:
        first, *others = row
        space = r"\addlinespace " if lines and others else ""
        lines += [[f"{space}{first[0]}", *first[1:]], *others]
    grid = tabulate(
        lines,
        [_escape(head) for head in heads],
        tablefmt="latex_raw",
        disable_numparse=True,
        colalign=["left"] * count + ["right"] * (len(heads) - count),
    )
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        grid = grid.replace(r"\hline", rule, 1)
    return grid


def _name_columns(heads: Sequence[str]) -> int:
    return sum(head in NAME_HEADS for head in heads)


def table_label(table: Table, names: Sequence[str] = ()) -> str:
    """Return a label of lower-case letters, digits and hyphens: `tab:radius-tno-means`."""
    text = unicodedata.normalize("NFKD", "-".join([*names, table.key]))
    words = re.findall("[a-z0-9]+", text.encode("ascii", "ignore").decode().lower())
    return f"tab:{'-'.join(words)}"


def _number(text: str) -> str:
    """Return a number or an interval with minus signs instead of hyphens."""
    return _escape(text).replace("-", "$-$")


def _small(text: str) -> str:
    return rf"\footnotesize {_number(text)}" if text else ""


def _escape(text: str) -> str:
    """Escape the special characters of LaTeX, ends of lines among them."""
    return safe_text(text).translate(ESCAPES)
