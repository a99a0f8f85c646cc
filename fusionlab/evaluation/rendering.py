"""How tables are written: as text, Markdown and LaTeX."""

from __future__ import annotations

from tabulate import tabulate

from fusionlab.evaluation.tables import Cell, Table

TEXT = {"": "", "best": " (1)", "second": " (2)"}
"""Marks where there is no bold type."""


LATEX = str.maketrans(
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
MARKDOWN = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;"})


def to_text(table: Table) -> str:
    """Return a table as plain text, spreads in a second line."""

    def show(cell: Cell) -> str:
        return f"{cell.text}{TEXT[cell.mark]}\n{cell.below}".rstrip("\n")

    rows = [[show(cell) for cell in row] for row in table.rows]
    grid = tabulate(rows, table.heads, tablefmt="simple", disable_numparse=True)
    return "\n".join([table.title, "", grid, *table.notes])


def to_markdown(table: Table) -> str:
    """Return a table as Markdown: the best in bold, the second underlined."""

    def show(cell: Cell) -> str:
        text = cell.text.translate(MARKDOWN)
        mean = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}[cell.mark].format(text)
        return f"{mean} {cell.below}".rstrip()

    rows = [[show(cell) for cell in row] for row in table.rows]
    grid = tabulate(rows, table.heads, tablefmt="pipe", disable_numparse=True)
    return "\n\n".join([f"## {table.title}", grid, *table.notes])


def to_latex(table: Table) -> str:
    """Return a table as a LaTeX tabular: the best in bold, the second underlined."""

    def show(cell: Cell, named: bool) -> str:
        if named:
            return rf"\texttt{{{_escaped(cell.text)}}}"
        text, below = (_escaped(part).replace("-", "$-$") for part in (cell.text, cell.below))
        mean = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
        below = rf"{{\small {below}}}" if below else ""
        return f"{mean[cell.mark].format(text)} {below}".rstrip()

    names = sum(head in ("method", "against") for head in table.heads)
    rows = [[show(cell, i < names) for i, cell in enumerate(row)] for row in table.rows]
    heads = [_escaped(head) for head in table.heads]
    grid = tabulate(rows, heads, tablefmt="latex_raw", disable_numparse=True)
    notes = [f"% {note}" for note in table.notes]
    return "\n".join([f"% {table.title}", grid, *notes])


def _escaped(text: str) -> str:
    """Return text as LaTeX shows it."""
    return text.translate(LATEX)
