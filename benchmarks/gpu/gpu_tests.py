"""The tests with the mark `gpu`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from part import Part

from fusionlab.bench.machine import describe_machine

ROOT = Path(__file__).parents[2]
MARK = "mark.gpu"


def measure(part: Part) -> None:
    """Run pytest on the files that have such tests, in a process of its own."""
    part.keep(machine=describe_machine(part.device))
    files = sorted(p for p in (ROOT / "tests").rglob("test_*.py") if MARK in p.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        command += ["-m", "gpu", f"--junitxml={report}", "--continue-on-collection-errors"]
        command += [str(path.relative_to(ROOT)) for path in files]
        with tempfile.TemporaryFile("w+") as output:
            try:
                result = subprocess.run(  # noqa: S603  # ours
                    command,
                    cwd=ROOT,
                    check=False,
                    timeout=max(1.0, part.left - 5),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
                code: int | None = result.returncode
            except subprocess.TimeoutExpired:
                code = None
            output.seek(0)
            text = output.read()
        cases = []
        if report.exists():
            cases = [*ET.parse(report).iter("testcase")]  # noqa: S314  # pytest's
    problems = {
        f"{case.get('classname')}::{case.get('name')}": " ".join((child.text or "").split())[-400:]
        for case in cases
        for child in case
        if child.tag in ("failure", "error")
    }
    skipped = sum(child.tag == "skipped" for case in cases for child in case)
    part.keep(
        exit_code=code,
        passed=len(cases) - len(problems) - skipped,
        skipped=skipped,
        failed=problems,
        end_of_output=text[-1500:],
    )
