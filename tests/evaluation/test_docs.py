"""The Python of docs/evaluation.md runs as a new user would type it."""

import os
import subprocess
from pathlib import Path

import imageio.v3 as iio

ROOT = Path(__file__).parents[2]
DETAILS = ROOT / "examples" / "images" / "details"


def test_the_evaluation_in_python_takes_ten_lines_and_runs(tmp_path, python):
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (code,) = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len([line for line in code.splitlines() if line]) <= 10
    (tmp_path / "theirs").mkdir()
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        for name in ("car", "lamp"):
            image = iio.imread(DETAILS / letter / f"{name}.png")
            iio.imwrite(tmp_path / "set" / letter / f"{name}.png", image)
            iio.imwrite(tmp_path / "theirs" / f"{name}.png", image)
    run = [python, "-c", code]
    printed = subprocess.run(
        run, cwd=tmp_path, check=True, capture_output=True, text=True, env=dict(os.environ)
    ).stdout
    assert "Against Theirs" in printed
    assert "worst image: ('" in printed
    assert (tmp_path / "table" / "means.csv").exists()
