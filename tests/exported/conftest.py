import json

import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.exported.export import OLDEST_TORCH, torch_version


@pytest.fixture(scope="session")
def l1norm(made_once):
    """The default strategy on a backbone of features: the file, and what the command printed."""

    if torch_version() < OLDEST_TORCH:
        pytest.skip("this torch is too old to export")

    def make(folder):
        words = ["export", "densefuse@1e2/l1norm", "-o", str(folder / "l1norm.onnx"), "--json"]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        (folder / "facts.json").write_text(result.stdout)

    folder = made_once("exported-l1norm", make)
    return folder / "l1norm.onnx", json.loads((folder / "facts.json").read_text())
