"""The pages about strategies have the tables that the code makes."""

import table_of_strategies
import tables_of_laws


def test_the_readme_has_the_table_of_the_strategies():
    text = table_of_strategies.PATH.read_text(encoding="utf-8")
    assert text == table_of_strategies.rewrite(text), "run: python tools/table_of_strategies.py"


def test_the_page_of_laws_says_what_the_suite_says(verdicts):
    text = tables_of_laws.PATH.read_text(encoding="utf-8")
    for name in tables_of_laws.PARTS:
        assert text.count(f"<!-- made from {name} -->") == 1
    assert text == tables_of_laws.rewrite(text, verdicts), "run: python tools/tables_of_laws.py"
