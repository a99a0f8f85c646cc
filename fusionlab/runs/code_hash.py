"""Source hashes that invalidate images and scores of an earlier run.

Versions of plugins change when they are released; while somebody works on a strategy, only its
files change. An image or score is reused only if the source of the strategy, the backbone and the
metric is the same, with every module of their package that they import, and the core that runs
them.
"""

from __future__ import annotations

import ast
import importlib.util
import secrets
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import fusionlab
from fusionlab.storage.hashing import sha256_of_file, sha256_of_parts
from fusionlab.storage.versions import library_versions

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.strategy import Strategy

LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "scipy", "PyWavelets")
"""The distributions that metrics are computed with."""
CORE = ("backbone.py", "checkpoint.py", "fused.py", "fusion.py", "ops.py", "strategy.py")
CORE_PACKAGES = ("engine", "imaging")
"""The parts of the core that every fused image depends on."""


def code_of(backbone: Backbone, strategy: Strategy) -> list[str]:
    """Return the hashes of all code that decides what a method computes."""
    parts = [backbone, *_with_named(strategy)]
    return [*(code_sha256(type(part).__module__) for part in parts), core_sha256()]


def _with_named(strategy: Strategy) -> list[Strategy]:
    """Return a strategy and the strategies that it is made of, such as the weights it names."""
    from fusionlab.strategy import Strategy

    values = [
        part
        for value in vars(strategy).values()
        for part in (value.values() if isinstance(value, Mapping) else [value])
    ]
    named = [part for value in values if isinstance(value, Strategy) for part in _with_named(value)]
    return [strategy, *named]


def code_sha256(module: str) -> str:
    """Return the SHA-256 of the source of a module and of what it imports of its own package.

    Empty if it has no source file. See `module_sha256` for code of a script or notebook.
    """
    names = sorted(_closure(module))
    if names == [module]:
        return module_sha256(module)
    return sha256_of_parts(module_sha256(name).encode() for name in names)


@cache
def core_sha256() -> str:
    """Return the SHA-256 of the parts of the core that every fused image depends on."""
    root = Path(fusionlab.__file__).parent
    files = [root / name for name in CORE]
    files += [file for name in CORE_PACKAGES for file in sorted((root / name).glob("*.py"))]
    return sha256_of_parts(sha256_of_file(file).encode() for file in files if file.is_file())


def _closure(module: str) -> set[str]:
    """Return a module and all modules that it imports, directly or not, see `_imports`."""
    found, waiting = {module}, [module]
    while waiting:
        for name in _imports(waiting.pop()):
            if name not in found and _source(name) is not None:
                found.add(name)
                waiting.append(name)
    return found


def _imports(module: str) -> Iterator[str]:
    """Yield what a module imports of its own package, and of those that fusionlab ships.

    Some of these names are not modules, but names in one.
    """
    file = _source(module)
    if file is None:
        return
    package = module.partition(".")[0]
    parent = module if file.name == "__init__.py" else module.rpartition(".")[0]
    # the package `fusionlab` is the core, which has a hash of its own, besides its metrics
    own = f"{parent}." if package == "fusionlab" else f"{package}."
    for name in _imported_names(file.read_bytes(), parent):
        if name.startswith((own, "fusionlab_")):
            yield name


@lru_cache(1024)
def _imported_names(source: bytes, parent: str) -> tuple[str, ...]:
    """Return all names that the source of a module imports, with their packages.

    Args:
        source: the code; what cannot be parsed imports nothing.
        parent: the package that relative imports begin at.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                packages = parent.split(".")
                parts = [*packages[: len(packages) - node.level + 1], *parts]
            base = ".".join(parts)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _source(module: str) -> Path | None:
    """Return the source file of a module; None if there is no such module, or it has no file."""
    if module == "__main__":
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return Path(spec.origin)


def module_sha256(module: str) -> str:
    """Return the SHA-256 of the source file of a module; empty if it has none.

    Code typed into a notebook has no file and may change at any time. It gets another value in each
    call, so that its scores are never reused.
    """
    if module == "__main__":  # a script or a notebook; its spec says nothing
        origin = getattr(sys.modules[module], "__file__", None)
        return sha256_of_file(Path(origin)) if origin else secrets.token_hex(32)
    file = _source(module)
    return "" if file is None else sha256_of_file(file)


@cache
def metric_libraries() -> dict[str, str]:
    """Return the versions of the libraries that metrics are computed with."""
    return library_versions(LIBRARIES)
