"""Source hashes that invalidate scores of an earlier run.

Versions of plugins change when they are released; while somebody works on a strategy, only its file
changes. A score is reused only if the file is the same, too.
"""

from __future__ import annotations

import importlib.util
import secrets
import sys
from functools import cache
from pathlib import Path

from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.versions import library_versions

LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "scipy", "PyWavelets")
"""The distributions that metrics are computed with."""


def module_sha256(module: str) -> str:
    """Return the SHA-256 of the source file of a module; empty if it has none.

    Code typed into a notebook has no file and may change at any time. It gets another value in each
    call, so that its scores are never reused.
    """
    if module == "__main__":  # a script or a notebook; its spec says nothing
        origin = getattr(sys.modules[module], "__file__", None)
        return sha256_of_file(Path(origin)) if origin else secrets.token_hex(32)
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    return sha256_of_file(Path(spec.origin))


@cache
def metric_libraries() -> dict[str, str]:
    """Return the versions of the libraries that metrics are computed with."""
    return library_versions(LIBRARIES)
