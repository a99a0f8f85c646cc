"""The page of the methods has the tables that the code and the figures make."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "table_of_methods.py"


def test_the_page_has_a_row_for_each_method_with_its_figures():
    if not TOOL.exists():
        pytest.skip("the repository with the page is not at hand")
    spec = importlib.util.spec_from_file_location("table_of_methods", TOOL)
    table_of_methods = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table_of_methods)
    text = table_of_methods.PATH.read_text(encoding="utf-8")
    assert text == table_of_methods.rewrite(text), "run: python tools/table_of_methods.py"
