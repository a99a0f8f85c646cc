"""What all tests share: a clean environment, the folder of oracles, and fake plugins."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

try:
    import fusionlab_strategies  # noqa: F401
except ModuleNotFoundError:
    pytest.exit("fusionlab is not installed: run  pip install -c constraints.txt -e '.[dev]'", 2)

from fusionlab.hookspecs import GROUP
from fusionlab.plugins.host import installed

SHARED = Path(__file__).parents[2] / "shared"

# torch needs a moment for its first call, which says nothing about the example it happens in
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No test sees the user's settings, or plugins that another test installed."""
    for name in ("FUSIONLAB_NO_PLUGIN", "FUSIONLAB_STRATEGY", "FUSIONLAB_BACKBONE"):
        monkeypatch.delenv(name, raising=False)
    installed.cache_clear()
    yield
    installed.cache_clear()


@pytest.fixture
def shared() -> Path:
    """The folder of oracles and real images that lies beside the checkout of the developers."""
    if not SHARED.is_dir():
        pytest.skip("needs the oracles in ../shared, which are not part of the repository")
    return SHARED


@pytest.fixture
def install(tmp_path, monkeypatch) -> Callable[..., str]:
    """Install a distribution without pip: two metadata files and a module."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install_one(name: str, code: str, group: str = GROUP, entries: str = "") -> str:
        module = name.replace("-", "_")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entries or f'any = {module}'}\n")
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        installed.cache_clear()
        return name

    return install_one
