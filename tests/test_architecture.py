"""The rules of the house that a reader could otherwise only believe."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import fusionlab
from fusionlab import load_plugins

SHIPPED_BY = "fusionlab-imaging"
ROOT = Path(__file__).parents[1]


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_the_core_does_not_import_what_it_ships():
    run_python(
        "import importlib, pkgutil, sys, fusionlab\n"
        "for module in pkgutil.walk_packages(fusionlab.__path__, 'fusionlab.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "found = {n for n in sys.modules if n.startswith(('fusionlab_str', 'fusionlab_enc'))}\n"
        "assert not found, found"
    )


ORDINARY_WORDS = {"max", "mean"}
"""Names of strategies that are also words of torch and of statistics."""


def shipped_names():
    plugins = load_plugins()
    registrations = [*plugins.strategies.registrations, *plugins.backbones.registrations]
    return {entry.ref.name for entry in registrations if entry.plugin == SHIPPED_BY}


def test_the_core_names_no_strategy_and_no_backbone_in_code():
    """Docstrings, comments and help texts may give examples; code may not decide by name."""
    names = shipped_names()
    assert len(names) >= 21
    assert names >= ORDINARY_WORDS
    for path in (ROOT / "fusionlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value.partition("@")[0].partition(",")[0]
                assert name not in names - ORDINARY_WORDS, f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["strategies"],
        ["backbones"],
        ["engines"],
        ["readers"],
        ["tasks"],
        ["plugins"],
        ["fuse", "--engine", "eager", "--help"],
        ["bench", "--engine", "eager", "--help"],
        ["fuse", "--help"],
        ["fuse", "--strategy", "l1norm", "--help"],
        ["fuse", "--task", "focus", "--help"],
        ["train", "--help"],
        ["explain", "--help"],
        ["export", "--help"],
        ["evaluate", "--help"],
        ["score", "--help"],
        ["bench", "--help"],
        ["new-strategy", "--help"],
        ["metrics"],
        ["metrics", "Qabf", "--json"],
        ["strategies", "--json"],
    ],
)
def test_the_command_answers_without_torch_numpy_or_rich(argv):
    run_python(
        "import sys; from fusionlab.cli import main\n"
        f"main({argv!r}, standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'rich'} & set(sys.modules), 'imported too early'"
    )


def test_the_help_does_not_look_for_plugins():
    """The search takes a third of the time of the whole command."""
    run_python(
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from fusionlab.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "assert 'fusionlab.plugins.host' not in sys.modules"
    )


def test_a_command_does_not_import_the_others():
    run_python(
        "import sys\n"
        "from fusionlab.cli import main\n"
        "main(['fuse', '--help'], standalone_mode=False)\n"
        "assert not {'fusionlab.cli.study', 'fusionlab.cli.train'} & set(sys.modules)"
    )


NEEDLESS = {"scipy", "rich", "tifffile", "hypothesis", "jinja2", "pandas", "fusionlab.evaluation"}
NEEDLESS |= {"fusionlab.registration", "fusionlab.runs.pairing", "fusionlab.training"}


def test_fusing_two_files_imports_only_what_that_takes(python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        iio.imwrite(name, np.full((4, 5), 7, np.uint8))
    code = (
        f"import sys; needless = {NEEDLESS!r}\n"
        "for name in [*sys.modules]:\n"
        "    if name.partition('.')[0] in needless: del sys.modules[name]\n"
        "from fusionlab.cli import main\n"
        "main(['fuse', '--strategy', 'l1norm', 'a.png', 'b.png'], standalone_mode=False)\n"
        "assert not needless & set(sys.modules), needless & set(sys.modules)"
    )
    subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)


def test_arrays_pass_through_imaging_without_torch():
    """Tensors have a module of their own; resampling and thumbnails import torch when they run."""
    modules = [path.stem for path in (ROOT / "fusionlab" / "imaging").glob("*.py")]
    modules = [name for name in modules if name not in ("__init__", "tensors")]
    run_python(
        f"import importlib, sys\nfor name in {modules!r}:\n"
        "    importlib.import_module('fusionlab.imaging.' + name)\n"
        "import numpy as np\n"
        "from fusionlab.imaging.arrays import Stack\n"
        "from fusionlab.imaging.scale import Scale\n"
        "from fusionlab.imaging.sources import MaskedImage\n"
        "first = np.arange(48, dtype=np.float32).reshape(4, 4, 3)\n"
        "second = MaskedImage(np.arange(16.0).reshape(4, 4), first[..., 0] > 9)\n"
        "stack = Stack([first, second], [Scale('minmax')], 'luma')\n"
        "stack.image([stack.planes()[0]], 'minmax', 8)\n"
        "assert not {'torch', 'scipy'} & set(sys.modules), 'imported'"
    )


def test_importing_the_package_imports_nothing_heavy():
    run_python("import sys, fusionlab; assert not {'torch', 'numpy', 'pluggy'} & set(sys.modules)")


def test_metrics_are_found_by_name_and_imported_on_first_use():
    run_python(
        "import sys, fusionlab.metrics as metrics\n"
        "from fusionlab.plugins.host import load_plugins\n"
        "load_plugins()\n"
        "assert {'qabf', 'ssim', 'vif'} <= set(metrics.__all__) & set(dir(metrics))\n"
        "assert not {'torch', 'numpy'} & set(sys.modules), 'imported too early'\n"
        "from fusionlab.metrics import qabf, ssim\n"
        "assert qabf is sys.modules['fusionlab.metrics.edges'].qabf"
    )


def test_every_public_name_is_there():
    import fusionlab.metrics

    assert all(callable(getattr(fusionlab.metrics, name)) for name in fusionlab.metrics.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        fusionlab.metrics.nonsense  # noqa: B018
    assert all(getattr(fusionlab, name) is not None for name in fusionlab.__all__)
    assert dir(fusionlab) == sorted(fusionlab.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        fusionlab.nonsense  # noqa: B018


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert version("fusionlab-imaging") == fusionlab.__version__


def test_no_plugin_depends_on_the_foreign_distribution_of_our_name():
    """`fusionlab` on PyPI is somebody else's."""
    for path in (ROOT / "plugins").glob("*/pyproject.toml"):
        dependencies = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
        assert any(d.startswith("fusionlab-imaging") for d in dependencies), path
