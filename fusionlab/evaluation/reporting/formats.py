"""Write tables as text, Markdown and LaTeX."""

from __future__ import annotations

from tabulate import tabulate

from fusionlab.evaluation.reporting.tables import Cell, Table

TEXT_MARKS = {"": "", "best": " (1)", "second": " (2)"}
"""Marks where there is no bold type."""
MARKDOWN_MARKS = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
LATEX_MARKS = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
LATEX_ESCAPES = str.maketrans(
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
MARKDOWN_ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;"})


def to_text(table: Table) -> str:
    """Return a table as plain text, deviations and intervals in a second line."""

    def show(cell: Cell) -> str:
        return f"{cell.text}{TEXT_MARKS[cell.mark]}\n{cell.detail}".rstrip("\n")

    rows = [[show(cell) for cell in row] for row in table.rows]
    grid = tabulate(rows, table.heads, tablefmt="simple", disable_numparse=True)
    return "\n".join([table.title, "", grid, *table.notes])


def to_markdown(table: Table) -> str:
    """Return a table as Markdown: the best in bold, the second underlined."""

    def show(cell: Cell) -> str:
        text = cell.text.translate(MARKDOWN_ESCAPES)
        marked = MARKDOWN_MARKS[cell.mark].format(text)
        return f"{marked} {cell.detail}".rstrip()

    rows = [[show(cell) for cell in row] for row in table.rows]
    grid = tabulate(rows, table.heads, tablefmt="pipe", disable_numparse=True)
    return "\n\n".join([f"## {table.title}", grid, *table.notes])


def to_latex(table: Table, caption: str = "", *, details: bool = True) -> str:
    """Return a table for LaTeX with booktabs: the best in bold, the second underlined.

    Args:
        table: the table.
        caption: of the table; empty: its title.
        details: whether to show deviations and intervals.
    """

    def show(cell: Cell, is_name: bool) -> str:
        if is_name:
            return rf"\texttt{{{_escape_latex(cell.text)}}}"
        text, detail = (
            _escape_latex(part).replace("-", "$-$") for part in (cell.text, cell.detail)
        )
        detail = rf"{{\small {detail}}}" if detail and details else ""
        return f"{LATEX_MARKS[cell.mark].format(text)} {detail}".rstrip()

    names = sum(head in ("method", "against", "range", "published as") for head in table.heads)
    rows = [[show(cell, i < names) for i, cell in enumerate(row)] for row in table.rows]
    heads = [_escape_latex(head) for head in table.heads]
    grid = tabulate(rows, heads, tablefmt="latex_raw", disable_numparse=True)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        grid = grid.replace(r"\hline", rule, 1)
    notes = [f"% {note}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape_latex(caption or table.title)}.}}",
            grid,
            r"\end{table}",
            *notes,
        ]
    )


def _escape_latex(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return text.translate(LATEX_ESCAPES)
