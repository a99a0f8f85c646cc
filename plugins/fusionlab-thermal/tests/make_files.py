"""Write radiometric files after the documented layouts: FLIR (JPEG and FFF), and DJI.

    python make_files.py FOLDER

writes `flir.jpg`, with a photo, and `DJI_0001_T.JPG` beside `DJI_0001_V.JPG`, of a scene that was
computed: a warm disk before a cool background.
"""

import io
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CAMERA = {
    "emissivity": 0.95, "distance": 2.0, "reflected": 293.15, "air": 295.15, "window": 293.15,
    "window_transmission": 1.0, "humidity": 0.5, "r1": 17096.453125, "b": 1428.0, "f": 1.0,
    "alpha1": 0.006569, "alpha2": 0.01262, "beta1": -0.002276, "beta2": -0.00667, "x": 1.9,
    "o": -370, "r2": 0.04808,
}  # fmt: skip
_PLACES = {
    "emissivity": 0x20, "distance": 0x24, "reflected": 0x28, "air": 0x2C, "window": 0x30,
    "window_transmission": 0x34, "humidity": 0x3C, "r1": 0x58, "b": 0x5C, "f": 0x60,
    "alpha1": 0x70, "alpha2": 0x74, "beta1": 0x78, "beta2": 0x7C, "x": 0x80, "o": 0x308,
    "r2": 0x30C,
}  # fmt: skip


def scene(width=64, height=48):
    """Counts of a warm disk before a cool background, `(height, width)`."""
    y, x = np.mgrid[:height, :width]
    disk = np.hypot(y - height / 2, x - width / 3) < height / 4
    return np.where(disk, 4300, 3400 + 2 * x + y).astype(np.uint16)


def photo(width=128, height=96):
    """A color image of a disk and a line that is not warm, `(height, width, 3)`."""
    y, x = np.mgrid[:height, :width]
    disk = np.hypot(y - height / 2, x - width / 2.5) < height / 5
    line = abs(x - 3 * width // 4) < 2
    return np.stack([200 * disk, 60 + x, 255 * line], axis=-1).clip(0, 255).astype(np.uint8)


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def segment(marker, payload):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def with_segments(shown, parts):
    """Put segments before the first table of a JPEG."""
    place = shown.index(b"\xff\xdb")
    return shown[:place] + b"".join(parts) + shown[place:]


def container(
    counts,
    *,
    camera=CAMERA,
    photo=b"",
    photo_size=(0, 0),
    view=(),
    png="",
    order="<",
    directory=">",
):
    """Return a container FFF.

    Args:
        counts: `(height, width)`, 16 bits.
        camera: the record of the camera; None: no such record.
        photo: a JPEG.
        photo_size: its width and height.
        view: ratio of the fields of view, and the offsets to the right and down.
        png: store the counts as a PNG, `"right"` or with their bytes `"swapped"`.
        order: byte order of the records.
        directory: byte order of the directory.
    """
    height, width = counts.shape
    head = struct.pack(f"{order}HHH", 2, width, height).ljust(32, b"\0")
    if png:
        file = io.BytesIO()
        Image.fromarray(counts.byteswap() if png == "swapped" else counts).save(file, "PNG")
        records = [(0x01, 3, head + file.getvalue())]
    else:
        records = [(0x01, 2, head + counts.astype(f"{order}u2").tobytes())]
    if camera is not None:
        body = bytearray(2476)
        struct.pack_into(f"{order}H", body, 0, 2)
        for name, value in camera.items():
            struct.pack_into(order + ("i" if name == "o" else "f"), body, _PLACES[name], value)
        records.append((0x20, 1, bytes(body)))
    if photo:
        head = struct.pack(f"{order}HHH", 3, *photo_size).ljust(32, b"\0")
        records.append((0x0E, 5, head + photo))
    if view:
        records.append((0x2A, 1, struct.pack(f"{order}fhh", *view).ljust(96, b"\0")))
    start, entries, bodies = 64 + 32 * len(records), b"", b""
    for kind, subtype, body in records:
        place = start + len(bodies)
        entries += struct.pack(f"{directory}HHIIII", kind, subtype, 100, 1, place, len(body))
        entries += bytes(12)
        bodies += body
    header = b"FFF\0" + b"made by hand".ljust(16, b"\0")
    return (
        header
        + struct.pack(f"{directory}III", 100, 64, len(records)).ljust(44, b"\0")
        + entries
        + bodies
    )


def flir_jpeg(data, shown=None):
    """Return a JPEG with a container in its APP1 segments."""
    size = 65533 - 8
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    heads = [b"FLIR\0\1" + bytes([number, len(parts) - 1]) for number in range(len(parts))]
    shown = jpeg(photo()) if shown is None else shown
    return with_segments(
        shown, [segment(0xE1, head + part) for head, part in zip(heads, parts, strict=True)]
    )


def dji_jpeg(counts, size=None, maker="DJI"):
    """Return a JPEG with counts in its APP3 segments; `size` is that of its own image."""
    width, height = size or counts.shape[::-1]
    exif = Image.Exif()
    exif[0x010F] = maker
    shown = jpeg(np.full((height, width, 3), 128, np.uint8), exif=exif)
    data = counts.astype("<u2").tobytes()
    parts = [data[place : place + 65532] for place in range(0, len(data), 65532)]
    return with_segments(shown, [segment(0xE3, part) for part in parts])


def flir_file(shown=None, **options):
    """Return a FLIR file with a photo of twice its width, whose field of view is 1.25 times."""
    settings = {"photo": jpeg(photo()), "photo_size": (128, 96), "view": (1.25, 2, -1)}
    return flir_jpeg(container(scene(), **settings | options), shown)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flir.jpg").write_bytes(flir_file())
    (folder / "DJI_0001_T.JPG").write_bytes(dji_jpeg(scene(640, 512)))
    (folder / "DJI_0001_V.JPG").write_bytes(jpeg(photo(640, 512)))
