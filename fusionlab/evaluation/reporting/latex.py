r"""Write tables for LaTeX: what `table.tex` holds, to be `\input` into a paper.

A table needs the packages booktabs and graphicx and nothing else. One that is wider than the text
is scaled to its width.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from tabulate import tabulate

from fusionlab.evaluation.reporting.tables import Table

HEAD = r"% needs \usepackage{booktabs,graphicx}"
NAME_HEADS = ("method", "against", "range", "published as", "factor", "difference", "set")
"""Heads of the columns that hold names, not numbers."""
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
    count = sum(head in NAME_HEADS for head in table.heads)
    lines = []
    for row in table.rows:
        names_of_row = [rf"\texttt{{{_escape(cell.text)}}}" for cell in row[:count]]
        values = [MARKS[cell.mark].format(_number(cell.text)) for cell in row[count:]]
        lines.append([*names_of_row, *values])
        if details and any(cell.detail for cell in row):
            if len(lines) > 1:
                lines[-1][0] = rf"\addlinespace {lines[-1][0]}"
            lines.append([""] * count + [_small(cell.detail) for cell in row[count:]])
    grid = tabulate(
        lines,
        [_escape(head) for head in table.heads],
        tablefmt="latex_raw",
        disable_numparse=True,
        colalign=["left"] * count + ["right"] * (len(table.heads) - count),
    )
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        grid = grid.replace(r"\hline", rule, 1)
    of = f" ({', '.join(names)})" if names else ""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape(table.title + of)}.}}",
            rf"\label{{{label or table_label(table, names)}}}",
            r"\sbox0{%",
            grid + "}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\end{table}",
            *(f"% {note}" for note in table.notes),
        ]
    )


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
    """Escape the special characters of LaTeX."""
    return text.translate(ESCAPES)
