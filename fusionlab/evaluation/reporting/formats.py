"""Write tables as text and Markdown."""

from __future__ import annotations

from tabulate import tabulate

from fusionlab.evaluation.reporting.tables import Cell, Table
from fusionlab.safe_text import safe_text

TEXT_MARKS = {"": "", "best": " (1)", "second": " (2)"}
"""Marks where there is no bold type."""
MARKDOWN_MARKS = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
MARKDOWN_ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;"})


def to_text(table: Table) -> str:
    """Return a table as plain text, safe for a terminal; deviations, intervals in a second line."""

    def show(cell: Cell) -> str:
        text = f"{safe_text(cell.text)}{TEXT_MARKS[cell.mark]}"
        return f"{text}\n{safe_text(cell.detail)}".rstrip("\n")

    rows = [[show(cell) for cell in row] for row in table.rows]
    heads = [safe_text(head) for head in table.heads]
    grid = tabulate(rows, heads, tablefmt="simple", disable_numparse=True)
    return "\n".join([safe_text(table.title), "", grid, *map(safe_text, table.notes)])


def to_markdown(table: Table) -> str:
    """Return a table as Markdown: the best in bold, the second underlined."""

    def show(cell: Cell) -> str:
        text = safe_text(cell.text).translate(MARKDOWN_ESCAPES)
        marked = MARKDOWN_MARKS[cell.mark].format(text)
        return f"{marked} {cell.detail}".rstrip()

    rows = [[show(cell) for cell in row] for row in table.rows]
    grid = tabulate(rows, table.heads, tablefmt="pipe", disable_numparse=True)
    return "\n\n".join([f"## {safe_text(table.title)}", grid, *map(safe_text, table.notes)])
