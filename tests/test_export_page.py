"""docs/export.md shows what benchmarks/export.py has measured, of every strategy."""

import pytest
import table_of_export

from fusionlab import Fusion, FusionlabError, load_plugins
from fusionlab.exported.export import exported_model

ROWS = {row["method"]: row for row in table_of_export.results()["rows"]}


def test_the_table_is_what_was_measured():
    text = table_of_export.PATH.read_text(encoding="utf-8")
    assert text == table_of_export.rewrite(text), "run: python tools/table_of_export.py"


def shipped():
    plugins = load_plugins()
    return [e for e in plugins.strategies.registrations if e.plugin == "fusionlab-imaging"]


def test_the_table_has_every_strategy_that_ships():
    strategies = {method.partition("/")[2] for method in ROWS}
    assert strategies >= {entry.ref.name for entry in shipped()}


def test_what_is_exported_differs_from_the_pipeline_by_rounding_only():
    exported = [row for row in ROWS.values() if "refused" not in row]
    assert len(exported) > 25
    for row in exported:
        assert row["difference"] < 1e-5 or 0 < row["differing"] < 0.05, row["method"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ROWS)
def test_every_method_is_still_exported_or_refused_as_the_table_says(method):
    row = ROWS[method]
    fusion = Fusion(*method.split("/"))
    if row["size"] is None and "refused" not in row:
        _, metadata = exported_model(fusion, sources=2)
        assert metadata.difference < 1e-5 or 0 < metadata.differing < 0.05
    else:
        with pytest.raises(FusionlabError) as caught:
            exported_model(fusion, sources=2)
        assert caught.value.code == "not-exportable"
        assert (caught.value.option == "size") == (row["size"] is not None)
