"""Pack what a machine with a GPU and without a network needs: code, wheels and images.

    python benchmarks/gpu/pack.py --out FOLDER [--images FOLDER ...] [--has NAMES]

The machine has Python 3.12 and torch 2.11 with CUDA. The folder holds wheels of fusionlab and of
what it needs besides torch, the benchmarks and tests, and one file of images. Copy it there, and
run `benchmarks/gpu.sh measure` and `benchmarks/gpu.sh train` in it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from data import write_tar
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
COPIED = ("benchmarks", "tests", "tools", "examples/images", "pyproject.toml", "README.md")
PYTHON = "3.12"
PLATFORMS = [
    f"manylinux{version}_x86_64"
    for version in (
        "_2_28",
        "_2_27",
        "_2_26",
        "_2_24",
        "_2_17",
        "2014",
        "_2_12",
        "2010",
        "_2_5",
        "1",
    )
]
"""pip takes each as it is, not all older ones with it."""
OF_TESTS = ("hypothesis", "pytest", "pytest-xdist")
MARKERS = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}
MAX_DATA = 20 * 10**6
"""Largest file of images, in bytes."""
MAX_PACK = 60 * 2**20
"""Largest folder, in bytes."""


def needed(names: list[str], has: set[str]) -> dict[str, Requirement]:
    """Return what packages need, and what these need in turn, by name; without what is there."""
    found: dict[str, Requirement] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = normalized(requirement.name)
        if name in found or name in has:
            continue
        found[name] = requirement
        waiting += needs_of(name)
    return found


def needs_of(name: str) -> Iterator[Requirement]:
    """Yield what an installed package needs on the other machine."""
    try:
        texts = requires(name) or []
    except PackageNotFoundError:
        return
    for text in texts:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(MARKERS):
            yield requirement


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def download(requirements: list[Requirement], folder: Path) -> None:
    """Download wheels for the other machine."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    command += ["--platform", "any", "--dest", str(folder)]
    wanted = [f"{requirement.name}{requirement.specifier}" for requirement in requirements]
    subprocess.run([*command, *wanted], check=True)  # noqa: S603  # ours


def build_wheels(folder: Path) -> None:
    """Build wheels of our own: plugins are found by the metadata of a distribution."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    for project in (ROOT, ROOT / "plugins" / "fusionlab-classics"):
        subprocess.run([*command, str(project)], check=True)  # noqa: S603  # ours


def copy_code(folder: Path) -> None:
    """Copy what measures, as it is in the working tree."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copyfile(source, target)
            continue
        ignored = shutil.ignore_patterns("__pycache__", "corpus", "*.pyc")
        shutil.copytree(source, target, ignore=ignored)
    shutil.copymode(ROOT / "benchmarks" / "gpu.sh", folder / "benchmarks" / "gpu.sh")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def pack(out: Path, images: list[Path], has: set[str]) -> None:
    """Make the folder.

    Raises:
        SystemExit: it exists already, or it would be too large.
    """
    if out.exists():
        raise SystemExit(f"{out} exists already; remove it, or choose another folder")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "pack")
        copy_code(folder)
        # what torch needs is there with it; numpy, too, or no array would leave it
        has = has | {"torch", "numpy", *needed(["torch"], set())}
        requirements = needed(["fusionlab-imaging", *OF_TESTS], has)
        own = requirements.pop("fusionlab-imaging")
        build_wheels(folder / "wheels")
        download(list(requirements.values()), folder / "wheels")
        print(f"{own.name}, fusionlab-classics and {len(requirements)} other wheels")
        if images:
            count = write_tar(images, folder / "train.tar", MAX_DATA)
            print(f"{count} images, {(folder / 'train.tar').stat().st_size / 1e6:.1f} MB")
        size = size_of(folder)
        if size > MAX_PACK:
            files = sorted(folder.rglob("*"), key=lambda path: -path.stat().st_size)
            largest = ", ".join(f"{p.name} {p.stat().st_size / 2**20:.1f}" for p in files[:5])
            raise SystemExit(
                f"the folder would have {size / 2**20:.1f} MiB, more than {MAX_PACK >> 20}: "
                f"{largest}; name with --has what the machine has already"
            )
        shutil.copytree(folder, out)
    print(f"{out}: {size / 2**20:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument(
        "--has",
        nargs="+",
        default=[],
        metavar="NAME",
        help="packages that the machine has, or a file with one a line, such as of `pip freeze`",
    )
    args = parser.parse_args()
    has: set[str] = set()
    for word in args.has:
        lines = Path(word).read_text("utf-8").splitlines() if Path(word).is_file() else [word]
        has |= {normalized(re.split(r"[\s=<>@;]", line)[0]) for line in lines if line.strip()}
    pack(args.out, args.images, has)


if __name__ == "__main__":
    main()
