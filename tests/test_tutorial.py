"""The tutorial, verbatim: its files are written, its commands run, its outputs come."""

import math
import os
import re
import shlex
import subprocess
import sys
import venv
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
MODULE = """if True:
    import runpy, site
    site.addsitedir({site!r})
    runpy.run_module({module!r}, None, "__main__", alter_sys=True)
"""
"""What `python -m` is in an environment with this folder of packages."""


@pytest.fixture
def environment(tmp_path, python):
    """Variables of a virtual environment to throw away, which sees what is installed here.

    A build in isolation would fetch hatchling, which is here: the network is left alone.
    """
    folder, commands = tmp_path / "environment", tmp_path / "commands"
    venv.create(folder, symlinks=True)
    (site,) = map(str, folder.glob("lib/python*/site-packages"))
    pip = [str(folder / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check"]
    lines = {
        "python": f'{shlex.quote(python)} "$@"',
        "pip": f'{shlex.join(pip)} "$@" --no-build-isolation --no-index',
    }
    for module in ("fusionlab", "pytest"):
        code = MODULE.format(site=site, module=module)
        lines[module] = f'{shlex.join([python, "-c", code])} "$@"'
    commands.mkdir()
    for name, line in lines.items():
        (commands / name).write_text(f"#!/bin/sh\nexec {line}\n")
        (commands / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1",
    }


def stable(line):
    """Return a line without what is chance, counterexamples and times, and without widths."""
    line = re.sub(r"Softmax\(.*", "Softmax(", line)
    line = re.sub(r"(passed.*) in [\d.]+s", r"\1", line)
    return " ".join(re.sub(r"[-=]{3,}", "---", line).split())


def alike(shown, printed):
    """Compare words exactly, decimals to a hundredth: torch rounds differently elsewhere."""
    shown, printed = stable(shown), stable(printed)
    if NUMBER.sub("0", shown) != NUMBER.sub("0", printed):
        return False
    return all(
        math.isclose(float(ours), float(theirs), rel_tol=0.01 if "." in ours else 0)
        for ours, theirs in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    )


def missing(shown, printed):
    """Return the first line that is shown but was not printed after those before it.

    What is printed may have more lines; `...` says to readers that it has.
    """
    rest = iter(printed.splitlines())
    wanted = (line for line in shown.splitlines() if line != "...")
    return next((one for one in wanted if not any(alike(one, found) for found in rest)), None)


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a  b 1.000\n...\nc", "title\na b  1.009\nmore\nc\n", None),
        ("c\na", "a\nc\n", "a"),
        ("a 1.00", "a 1.02", "a 1.00"),
        ("6 images", "7 images", "6 images"),
        ("finite required NO Softmax(1): x", "finite required NO Softmax(2): y", None),
        (
            "finite required NO Softmax(1): x",
            "finite required yes",
            "finite required NO Softmax(1): x",
        ),
        ("==== 3 passed in 1.0s ====", "=== 3 passed in 9.0s ===", None),
        ("=== 3 passed in 1.0s ===", "=== 2 passed in 1.0s ===", "=== 3 passed in 1.0s ==="),
    ],
)
def test_what_counts_as_printed(shown, printed, expected):
    assert missing(shown, printed) == expected


@pytest.mark.docs
def test_the_tutorial_verbatim(tmp_path, environment):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert text.count("\n```") == 2 * len(blocks)
    here = tmp_path / "checkout"
    here.mkdir()
    (here / "examples").symlink_to(ROOT / "examples")
    for number, (kind, title, content) in enumerate(blocks):
        if kind == "python" and title:
            (here / title).write_text(content, encoding="utf-8")
        if kind != "sh":
            continue
        outputs = takewhile(lambda block: block[0] == "text", blocks[number + 1 :])
        shown = "".join(output for _, _, output in outputs)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", content],
            cwd=here,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert ran.returncode == (1 if "\nError: " in shown else 0), content + ran.stdout
        assert missing(shown, ran.stdout) is None, content + ran.stdout
