"""Source hashes change with every file that a score depends on, and with no other."""

import sys

import pytest

from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.plugins.host import installed
from fusionlab.runs.code_hash import code_sha256, core_sha256

FILES = {
    "__init__.py": "",
    "rule.py": "from my_rules.shared import window\nfrom .inner import deep\n",
    "shared.py": "def window():\n    from my_rules import late\n",
    "late.py": "",
    "inner/__init__.py": "from . import deep\n",
    "inner/deep.py": "import math\n",
    "other.py": "import my_rules.rule\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "my_rules"
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_rules"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("rule.py", True),
        ("shared.py", True),
        ("late.py", True),  # imported in a function
        ("inner/__init__.py", True),
        ("inner/deep.py", True),
        ("other.py", False),
        ("unrelated.py", False),
    ],
)
def test_what_a_module_imports_of_its_package_counts(package, name, counts):
    before = code_sha256("my_rules.rule")
    with (package / name).open("a") as file:
        file.write("# changed\n")
    assert (code_sha256("my_rules.rule") != before) == counts


def test_a_module_that_cannot_be_parsed_counts_by_itself(package):
    (package / "rule.py").write_text("def (:\n")
    assert code_sha256("my_rules.rule")


def test_a_strategy_depends_on_the_strategies_that_it_names():
    builder = MethodBuilder(installed(), baselines=False)
    codes = [
        row.describe()["code"]
        for row in builder.build(
            ["identity/multi_scale", "identity/multi_scale,base=saliency,detail=well_exposed"]
        )
    ]
    assert codes[0] != codes[1]
    assert code_sha256("fusionlab_strategies.saliency") in codes[1]
    assert code_sha256("fusionlab_strategies.well_exposed") in codes[1]
    assert all(code[-1] == core_sha256() for code in codes)
