"""Write constraints-oldest.txt: the lower bounds of pyproject.toml as exact versions.

    python tools/constraints_oldest.py

`.ci/run oldest` installs with them, which shows that the lower bounds are true.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "constraints-oldest.txt"
EXTRAS = ("exr", "flow", "heic", "ncnn", "onnx", "openvino", "plots", "tensorboard", "video")
"""The extras that users install; the tools of developers may be new."""
HEADER = "# Lower bounds of pyproject.toml, written by tools/constraints_oldest.py.\n"


def constraints() -> str:
    """Return the content of the file, a line for each dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in EXTRAS:
        requirements += project["optional-dependencies"][extra]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\w.]+)(?:,.*)?", text) for text in requirements]
    if not all(bounds):
        raise SystemExit(f"a dependency without a lower bound: {requirements[bounds.index(None)]}")
    return HEADER + "".join(f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound)


if __name__ == "__main__":
    TARGET.write_text(constraints(), encoding="utf-8")
