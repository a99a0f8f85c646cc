"""Damage images at random and feed them to the reader and to the command.

    python tests/fuzz.py --count 1000 --seed 0

Every image must give an image or one sentence: no other exception, no traceback, no file left
half-written, and no more memory than the limit on pixels allows. Prints JSON; exit code 1 and the
offending bytes in `--keep` if something else happened.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import random
import re
import resource
import struct
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from click.testing import CliRunner
from PIL import Image

from fusionlab import FusionlabError
from fusionlab.cli import main as command
from fusionlab.imaging.pillow_formats import PNG_SIGNATURE
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.selecting import Selection
from fusionlab.plugins import host


def originals() -> dict[str, bytes]:
    """Make one small image of each kind."""
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (24, 32, 3), dtype=np.uint16)
    rgb = (deep >> 8).astype(np.uint8)
    found = {
        "png16": imagecodecs.png_encode(deep),
        "png16-gray": imagecodecs.png_encode(deep[..., 0].copy()),
        "png-alpha": imagecodecs.png_encode(np.dstack([rgb, rgb[..., 0]])),
        "ppm16": b"P6 32 24 65535\n" + deep.astype(">u2").tobytes(),
        "pgm-text": b"P2\n32 24\n255\n" + b" ".join(b"%d" % value for value in rgb[..., 0].flat),
        "pfm": b"Pf\n32 24\n-1.0\n" + rgb[..., 0].astype("<f4").tobytes(),
        "jpeg2000": imagecodecs.jpeg2k_encode(deep, level=0),
        "avif": imagecodecs.avif_encode(rgb),
        "hdr": imagecodecs.rgbe_encode(rgb.astype(np.float32)),
    }
    image = Image.fromarray(rgb)
    for name, one, options in [
        ("png", image, {}),
        ("png-palette", image.quantize(16), {"transparency": 3}),
        ("png-1bit", image.convert("1"), {}),
        ("jpeg", image, {"quality": 90}),
        ("jpeg-progressive", image, {"progressive": True}),
        ("bmp", image, {}),
        ("gif", image.quantize(16), {"save_all": True, "append_images": [image.quantize(8)]}),
        ("webp", image, {"lossless": True}),
        ("mpo", image, {"save_all": True, "append_images": [image.rotate(180)]}),
    ]:
        file = io.BytesIO()
        one.save(file, name.partition("-")[0].upper(), **options)
        found[name] = file.getvalue()
    for name, pixels, options in [
        ("tiff", deep, {"photometric": "rgb"}),
        ("tiff-lzw", deep[..., 0], {"compression": "lzw", "predictor": True}),
        ("tiff-zlib", deep, {"photometric": "rgb", "compression": "zlib"}),
        ("tiff-jpeg", rgb, {"photometric": "ycbcr", "compression": "jpeg"}),
        ("tiff-float", deep / np.float32(65535), {"photometric": "rgb", "tile": (16, 16)}),
        ("tiff-pages", np.stack([rgb[..., 0]] * 2), {"photometric": "minisblack"}),
        ("tiff-bands", np.dstack([deep, deep]), {"photometric": "minisblack"}),
        ("tiff-ome", deep[..., :2].T, {"ome": True, "metadata": {"axes": "ZYX"}}),
        ("tiff-imagej", deep.T, {"imagej": True}),
        ("tiff-big", deep, {"photometric": "rgb", "bigtiff": True, "byteorder": ">"}),
    ]:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        found[name] = file.getvalue()
    return {name: bytes(content) for name, content in found.items()}


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


def by_reader(content: bytes) -> str:
    """Read its first page and another one; return what became of the first."""
    with suppress(FusionlabError):
        decode_image(content, "x.png", selection=Selection(page="2"))
    try:
        pixels = decode_image(content, "x.png").pixels
    except FusionlabError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than a sentence: {error}") from error
        return "refused"
    assert pixels.size > 0
    assert pixels.ndim == 2 or pixels.shape[2:] == (3,)
    return "read"


def by_command(content: bytes, folder: Path) -> str:
    """Fuse it with a sound image; return what became of it."""
    (folder / "x.png").write_bytes(content)
    output = folder / "fused.png"
    output.unlink(missing_ok=True)
    options = ["--backbone", "identity", "--resize", "first", "--scale", "minmax"]
    sources = [str(folder / "sound.png"), str(folder / "x.png")]
    result = CliRunner().invoke(command, ["fuse", *options, *sources, "-o", str(output)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 2), result.exit_code
    assert "Traceback" not in result.output
    names = {path.name for path in folder.iterdir()}
    assert names == {"x.png", "sound.png"} | ({"fused.png"} if result.exit_code == 0 else set())
    return "refused" if result.exit_code else "fused"


def peak_kib() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # `ru_maxrss` may be that of the process which started this one
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Run the whole, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    args = parser.parse_args()
    dice = random.Random(args.seed)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    samples = list(originals().items())
    outcomes: Counter[str] = Counter()
    failures = []
    plugins = host.load_plugins()  # once: otherwise most of the time of a command
    host.load_plugins = lambda blocked=(): plugins
    before = peak_kib()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        sound = np.random.default_rng(1).integers(0, 256, (24, 32), dtype=np.uint8)
        (folder / "sound.png").write_bytes(bytes(imagecodecs.png_encode(sound)))
        for number in range(args.count):
            kind, content = samples[number % len(samples)]
            data = damaged(content, dice)
            try:
                outcomes[by_reader(data)] += 1
                outcomes[by_command(data, folder)] += 1
            except BaseException as error:  # this is what we are here for
                failures.append(f"{number} {kind}: {type(error).__name__}: {error}")
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{number}-{kind}").write_bytes(data)
    peak = peak_kib()
    report = {
        "images": args.count,
        "seed": args.seed,
        **outcomes,
        "failures": failures,
        "peak_mib": peak // 1024,
        "more_mib": (peak - before) // 1024,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
