"""Run parts of the measurements one after the other; `measure.py` starts and watches this.

    python worker.py --out FOLDER --device DEVICE [--toy] NAME=SECONDS ...

It prints `begin NAME` and `end NAME` for each.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import torch
from part import Part, reported

from fusionlab.engine.device import available_device
from fusionlab.errors import FusionlabError

NO_DEVICE = 3
"""The exit code where the device is not available."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("parts", nargs="+")
    args = parser.parse_args()
    try:
        available_device(args.device)
    except FusionlabError as error:
        print(error, flush=True)
        return NO_DEVICE
    for name, _, seconds in (word.partition("=") for word in args.parts):
        print(f"begin {name}", flush=True)
        part = Part(name, args.out, torch.device(args.device), args.toy, float(seconds))
        problem: dict[str, dict[str, str]] = {}
        with reported(problem, name):
            importlib.import_module(name).measure(part)
        part.keep(finished=not problem, **problem.get(name, {}))
        if part.device.type == "cuda":
            torch.cuda.empty_cache()
        print(f"end {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
