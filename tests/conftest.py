"""What all tests share: workers, a clean environment, the folder of oracles, and fake plugins."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import multiprocessing.spawn
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from warm_python import warm_python

try:
    import fusionlab_strategies  # noqa: F401
except ModuleNotFoundError:
    pytest.exit("fusionlab is not installed: README.md has the command that installs it", 2)

from fusionlab.hookspecs import GROUP
from fusionlab.plugins import host

SHARED = Path(__file__).parents[2] / "shared"
MAX_WORKERS = 8  # a worker with torch and its subprocesses take up to 2 GB

# One thread for each worker and its subprocesses; torch and BLAS read this when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it starts with & ignore Ctrl-C, and so would all processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# torch needs a moment for its first call, which says nothing about the example it happens in
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of workers of `--numprocesses auto`.

    One worker per core, at most MAX_WORKERS. No workers for single files, where starting them
    costs more than they save, and none for `-m gpu`, whose tests share one device.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # decided by the variable
    paths = [Path(argument.split("::")[0]) for argument in config.args]
    if "gpu" in config.option.markexpr.split() or all(path.is_file() for path in paths):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_WORKERS)


@pytest.fixture(scope="session", autouse=True)
def _read_entry_points_once():
    """Read the metadata of the distributions that the session began with only once.

    Each command loads the plugins; most of that time is this reading. Where a test adds a folder
    to `sys.path`, everything is read each time: it may change files in it.
    """
    initial_paths = {path for path in sys.path if path}

    @functools.cache
    def read_for(paths):
        return importlib.metadata.entry_points()

    def entry_points():
        paths = tuple(sys.path)
        return read_for(paths) if initial_paths.issuperset(paths) else read_for.__wrapped__(paths)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fusionlab.plugins.host.entry_points", entry_points)
        yield


def forget_plugins():
    """Let the plugins be loaded anew."""
    host.installed.cache_clear()
    host.plugins_without.cache_clear()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No test sees the user's settings, or plugins that another test installed."""
    for name in ("FUSIONLAB_NO_PLUGIN", "FUSIONLAB_STRATEGY", "FUSIONLAB_BACKBONE"):
        monkeypatch.delenv(name, raising=False)
    forget_plugins()
    yield
    forget_plugins()


@pytest.fixture
def only_what_ships(_clean_environment, monkeypatch):
    """Hide the packages that a developer has installed beside `fusionlab-imaging`."""
    find = host._entry_points
    others = {point.dist.name for point in find()} - {"fusionlab-imaging"}
    monkeypatch.setattr(
        host, "_entry_points", lambda: [p for p in find() if p.dist.name not in others]
    )
    forget_plugins()


@pytest.fixture(scope="session")
def densefuse():
    """Return the network with trained weights: outputs of random ones are too small for errors."""
    from fusionlab import Fusion

    return Fusion("densefuse@1e2").backbone


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that fills a folder once for all workers; the others wait for it.

    A file's tests may run in several workers, and each has its own fixtures of a module.
    """
    root = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        root = root.parent  # that of the worker is inside it

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        with FileLock(root / f"once-{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """Return the path of a python that has imported torch already, where that can be."""
    if sys.platform == "linux":
        with warm_python() as path:
            yield path
    else:
        yield sys.executable


@pytest.fixture
def warm_spawn(python) -> Iterator[None]:
    """Let the processes that are spawned in a test have imported torch already."""
    usual = multiprocessing.spawn.get_executable()
    multiprocessing.spawn.set_executable(python)
    yield
    multiprocessing.spawn.set_executable(usual)


@pytest.fixture
def shared() -> Path:
    """Return the folder of oracles and real images next to the checkout of the developers."""
    if not SHARED.is_dir():
        pytest.skip("needs the oracles in ../shared, which are not part of the repository")
    return SHARED


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[..., str]]:
    """Install a distribution without pip: two metadata files and a module."""
    modules = set()
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
        modules.add(module)
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        forget_plugins()
        return name

    yield install_one
    for module in modules:
        sys.modules.pop(module, None)
