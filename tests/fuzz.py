"""Damage images at random, cut others off, and feed them to the reader and to the command.

    python tests/fuzz.py --count 1000 --cut 100
    python tests/fuzz.py --count 1000 --cut 100 --seed 6243     # the same again

Every image must give an image or one sentence: no other exception, no traceback, no file left
half-written, no more than 5 seconds and 1 GiB. One that was cut off must be refused, unless all its
pixels are there. Those in `tests/corpus/images` are tried first. Prints JSON; exit code 1, and the
offending bytes in `--keep`, if something else happened.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import random
import re
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import imagecodecs
import numpy as np
from click.testing import CliRunner
from fuzz_samples import cut, originals, suffix

from fusionlab import FusionlabError
from fusionlab.cli import main as command
from fusionlab.imaging.formats.pillow_formats import PNG_SIGNATURE
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.selecting import Selection
from fusionlab.plugins import host

CORPUS = Path(__file__).parent / "corpus" / "images"
SECONDS, HANGS, MIB = 5, 120, 1024
"""What an image may cost: seconds of this process's time, seconds until it counts as hanging, and
memory beyond that before."""


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Change a file in one of five ways, or in several."""
    data = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        match dice.randrange(5):
            case 0:  # bit flips anywhere
                for _ in range(dice.choice([1, 4, 16])):
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            case 1:  # cut off
                data = data[: dice.randrange(1, len(data) + 1)]
            case 2:  # bytes of the header
                for _ in range(dice.choice([1, 3])):
                    data[dice.randrange(min(64, len(data)))] = dice.randrange(256)
            case 3:  # a stretch moved elsewhere
                start, length = dice.randrange(len(data)), dice.randrange(1, 64)
                place = dice.randrange(len(data))
                data[place:place] = data[start : start + length]
            case 4:  # numbers that sizes and offsets are made of
                place = dice.randrange(max(1, len(data) - 4))
                number = dice.choice([0, 1, 255, 65535, 2**31 - 1, 2**32 - 1, 16000])
                data[place : place + 4] = struct.pack(dice.choice("<>") + "I", number)
    if data.startswith(PNG_SIGNATURE) and len(data) > 33 and dice.random() < 0.7:
        # a checksum that fits lets the damage through to what comes after it
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def by_reader(content: bytes, name: str, dice: random.Random) -> np.ndarray | None:
    """Read its first page and another part; return the pixels of the first, if it is read."""
    part = Selection(dice.choice(["", "2", "3", "z=2"]), dice.choice(["", "", "1", "rgb", "4"]))
    with suppress(FusionlabError):
        decode_image(content, name, selection=part)
    try:
        pixels = decode_image(content, name).pixels
    except FusionlabError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than a sentence: {error}") from error
        return None
    assert pixels.size > 0
    assert pixels.ndim == 2 or pixels.shape[2:] == (3,)
    return np.asarray(pixels)


def by_command(content: bytes, name: str, folder: Path) -> str:
    """Fuse it with a sound image; return what became of it."""
    (folder / name).write_bytes(content)
    output = folder / "fused.png"
    output.unlink(missing_ok=True)
    options = ["--backbone", "identity", "--resize", "first", "--scale", "minmax"]
    sources = [str(folder / "sound.png"), str(folder / name)]
    result = CliRunner().invoke(command, ["fuse", *options, *sources, "-o", str(output)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 2), result.exit_code
    assert "Traceback" not in result.output
    names = {path.name for path in folder.iterdir()}
    assert names == {name, "sound.png"} | ({"fused.png"} if result.exit_code == 0 else set())
    (folder / name).unlink()
    return "refused" if result.exit_code else "fused"


def memory_kib(field: str) -> int:
    """Return the resident memory of this process, `VmRSS`, or its peak, `VmHWM`."""
    status = Path("/proc/self/status")
    match = status.exists() and re.search(rf"{field}:\s*(\d+) kB", status.read_text())
    return int(match[1]) if match else 0


@contextmanager
def bounded(worst: dict[str, float]) -> Iterator[None]:
    """Hold the block to the limits on time and memory; note the worst of each."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before, started = memory_kib("VmRSS"), time.process_time()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    seconds = time.process_time() - started
    more = (memory_kib("VmHWM") - before) / 1024
    worst["seconds"] = max(worst["seconds"], round(seconds, 2))
    worst["more_mib"] = max(worst["more_mib"], round(more))
    assert seconds < SECONDS, f"it took {seconds:.1f} s"
    assert more < MIB, f"it took {more:.0f} MiB"


Check = Callable[[], str]


class Trials:
    """Images that are tried one after the other, and what became of them."""

    def __init__(self, folder: Path, dice: random.Random, keep: Path | None) -> None:
        self.folder, self.dice, self.keep = folder, dice, keep
        self.outcomes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.failures: list[str] = []
        self.worst = {"seconds": 0.0, "more_mib": 0.0}

    def attempt(self, data: bytes, kind: str, whole: np.ndarray | None = None) -> None:
        """Try an image; `whole` are the pixels of that which was cut off, if it was."""
        name = f"x{suffix(kind)}"
        try:
            with bounded(self.worst):
                pixels = by_reader(data, name, self.dice)
                self.outcomes["refused" if pixels is None else "read"] += 1
                if whole is not None and pixels is not None:
                    same = np.array_equal(pixels, whole, equal_nan=pixels.dtype.kind == "f")
                    assert same, "accepted though incomplete"
                self.outcomes[by_command(data, name, self.folder)] += 1
        except BaseException as error:  # this is what we are here for
            faulthandler.cancel_dump_traceback_later()
            for path in self.folder.glob("x.*"):
                path.unlink()
            self.kinds[str(error) if isinstance(error, AssertionError) else "exception"] += 1
            number = len(self.failures)
            self.failures.append(f"{number} {kind}: {type(error).__name__}: {error}")
            if self.keep:
                self.keep.mkdir(parents=True, exist_ok=True)
                (self.keep / f"{number}-{kind}").write_bytes(data)

    def replay(self) -> int:
        """Try the images that failed once; return their number."""
        files = [path for path in sorted(CORPUS.iterdir()) if path.suffix != ".md"]
        for path in files:
            must_be_refused = path.name.startswith("incomplete-")
            whole = np.zeros(0) if must_be_refused else None
            self.attempt(path.read_bytes(), path.name.partition("-")[2], whole)
        return len(files)


def main() -> int:
    """Run the whole, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged images")
    parser.add_argument("--cut", type=int, default=100, help="images that are cut off")
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--only", default="", help="a part of the names of the kinds to try")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if args.seed is None else args.seed
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    samples = [(kind, data) for kind, data in originals().items() if args.only in kind]
    plugins = host.load_plugins()  # once: otherwise most of the time of a command
    host.load_plugins = lambda blocked=(): plugins
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trials = Trials(Path(name), random.Random(seed), args.keep)
        sound = np.random.default_rng(1).integers(0, 256, (24, 32), dtype=np.uint8)
        (trials.folder / "sound.png").write_bytes(bytes(imagecodecs.png_encode(sound)))
        replayed = trials.replay()
        wholes = {
            kind: decode_image(data, f"x{suffix(kind)}").pixels
            for kind, data in (samples if args.cut else [])
        }
        first = trials.dice.randrange(len(samples))  # a short run tries other kinds each time
        for number in range(first, first + args.count):
            kind, content = samples[number % len(samples)]
            trials.attempt(damaged(content, trials.dice), kind)
        for number in range(first, first + args.cut):
            kind, content = samples[number % len(samples)]
            trials.attempt(cut(content, trials.dice), kind, wholes[kind])
    report = {
        "damaged": args.count,
        "cut": args.cut,
        "replayed": replayed,
        "kinds": len(samples),
        "seed": seed,
        **trials.outcomes,
        "failed": trials.kinds,
        "failures": trials.failures,
        **trials.worst,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if trials.failures else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
