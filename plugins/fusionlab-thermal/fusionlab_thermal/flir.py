"""The radiometric data of FLIR: records in an FFF container, alone or in the segments of a JPEG.

The layout is that which the documentation of ExifTool's FLIR tags describes:

* APP1 segments that begin with `FLIR\\0`, a byte, the number of the segment and that of the last
  one; what follows in them, joined, is the container;
* the container: `FFF\\0` or `AFF\\0`, 16 bytes of text, then the version, the place and the length
  of a directory, whose entries of 32 bytes hold type, subtype, version, index, place and length;
* record 0x01: the counts. A word that is 2 in the byte order of the record, width, height; from
  byte 32 a PNG of 16 bits, or the numbers themselves;
* record 0x0E: the visible photo. The same with a 3, and from byte 32 a JPEG;
* record 0x20: constants and conditions, see `fusionlab_thermal.planck`;
* record 0x2A: how large the field of view of the photo is in that of the thermal image, and where.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionlab.imaging.formats import png_data
from fusionlab_thermal.planck import Radiometry
from fusionlab_thermal.segments import APP1, segments

SIGNATURES = (b"FFF\0", b"AFF\0")
_SEGMENT = b"FLIR\0"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_COUNTS, _PHOTO, _CAMERA, _VIEW = 0x01, 0x0E, 0x20, 0x2A
_HEADER = 32  # bytes of the records of pixels before the pixels
_ENTRY = struct.calcsize("HHIIII") + 12
_MOST_ENTRIES = 4096  # more is the directory read in the wrong byte order


@dataclass(frozen=True)
class FieldOfView:
    """Which part of the photo the thermal image shows."""

    ratio: float
    """Width of the field of view of the photo in that of the thermal image."""
    right: int
    down: int
    """How far the center of the part lies from that of the photo, in pixels of the thermal
    image."""

    def box(self, photo: tuple[int, int], thermal: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the part, within a photo of (width, height)."""
        width, height = photo[0] / self.ratio, photo[1] / self.ratio
        step = width / thermal[0]  # pixels of the photo in one of the thermal image
        left = (photo[0] - width) / 2 + self.right * step
        top = (photo[1] - height) / 2 + self.down * step
        return (
            max(0, round(left)),
            max(0, round(top)),
            min(photo[0], round(left + width)),
            min(photo[1], round(top + height)),
        )


@dataclass(frozen=True)
class Radiometric:
    """What a radiometric file holds; pixels are decoded when they are asked for."""

    width: int
    height: int
    """Of the thermal image."""
    radiometry: Radiometry | None
    """None if the file does not say, or says what is no calibration."""
    photo: bytes
    """The visible photo, a JPEG; empty if there is none."""
    photo_size: tuple[int, int]
    view: FieldOfView | None
    _pixels: bytes
    _order: str

    def counts(self) -> NDArray[np.uint16]:
        """Return the counts, `(height, width)`.

        Raises:
            ValueError: there are fewer than the file claims.
        """
        if self._pixels.startswith(_PNG):
            return _of_png(self._pixels, (self.height, self.width))
        size = 2 * self.width * self.height
        if len(self._pixels) < size:
            raise ValueError(
                f"it has {len(self._pixels)} bytes of counts, and {self.width}x{self.height} "
                f"pixels need {size}"
            )
        counts = np.frombuffer(self._pixels[:size], f"{self._order}u2").astype(np.uint16)
        return counts.reshape(self.height, self.width)


def radiometric(content: bytes) -> Radiometric | None:
    """Return what a file of FLIR holds; None if it is an image like others.

    Args:
        content: a JPEG, or a container of its own (`.fff`).

    Raises:
        ValueError: the data are damaged.
    """
    container = content if content.startswith(SIGNATURES) else _joined(content)
    if not container:
        return None
    records = _records(container)
    if _COUNTS not in records:
        return None
    order, counts = _ordered(records[_COUNTS], 2)
    width, height = struct.unpack_from(f"{order}HH", counts, 2)
    photo, photo_size = b"", (0, 0)
    if _PHOTO in records:
        photo_order, record = _ordered(records[_PHOTO], 3)
        photo, photo_size = record[_HEADER:], struct.unpack_from(f"{photo_order}HH", record, 2)
    return Radiometric(
        width,
        height,
        _radiometry(records.get(_CAMERA, b"")),
        photo if photo.startswith(_JPEG) else b"",
        photo_size,
        _view(records.get(_VIEW, b""), order),
        counts[_HEADER:],
        order,
    )


def _joined(content: bytes) -> bytes:
    """Return the container in the segments of a JPEG; empty if there is none."""
    parts = {
        payload[6]: payload[8:]
        for marker, payload in segments(content)
        if marker == APP1 and payload.startswith(_SEGMENT) and len(payload) >= 8
    }
    if sorted(parts) != list(range(len(parts))):
        raise ValueError(f"of its segments of FLIR only {sorted(parts)} are there")
    return b"".join(parts[number] for number in sorted(parts))


def _records(container: bytes) -> Mapping[int, bytes]:
    """Return the first record of each type."""
    if not container.startswith(SIGNATURES) or len(container) < 64:
        raise ValueError("its segments of FLIR hold no container of the kind FFF")
    for order in "><":
        place, count = struct.unpack_from(f"{order}II", container, 24)
        if count <= _MOST_ENTRIES:
            break
    if place + _ENTRY * count > len(container) or count > _MOST_ENTRIES:
        raise ValueError("the directory of its data of FLIR lies beyond their end")
    records: dict[int, bytes] = {}
    for entry in range(place, place + _ENTRY * count, _ENTRY):
        kind, *_, start, length = struct.unpack_from(f"{order}HHIIII", container, entry)
        if kind and length:
            if start + length > len(container):
                raise ValueError(f"its record 0x{kind:02X} of FLIR lies beyond the end of the data")
            records.setdefault(kind, container[start : start + length])
    return records


def _ordered(record: bytes, first: int) -> tuple[str, bytes]:
    """Return the byte order of a record, whose first word is known, and the record."""
    if len(record) < _HEADER:
        raise ValueError(f"a record of {len(record)} bytes is too short for an image of FLIR")
    for order in "<>":
        if struct.unpack_from(f"{order}H", record)[0] == first:
            return order, record
    raise ValueError("a record of FLIR begins with neither byte order")


def _radiometry(record: bytes) -> Radiometry | None:
    """Return what the record of the camera says, if temperatures follow from it."""
    for order in "<>":
        if len(record) >= 0x310 and struct.unpack_from(f"{order}H", record)[0] == 2:
            break
    else:
        return None

    def number(place: int, kind: str = "f") -> float:
        return float(struct.unpack_from(order + kind, record, place)[0])

    humidity = number(0x3C)
    found = Radiometry(
        emissivity=number(0x20),
        distance=number(0x24),
        reflected=number(0x28),
        air=number(0x2C),
        window=number(0x30),
        window_transmission=number(0x34),
        humidity=humidity / 100 if humidity > 2 else humidity,  # some cameras write percent
        r1=number(0x58),
        b=number(0x5C),
        f=number(0x60),
        alpha1=number(0x70),
        alpha2=number(0x74),
        beta1=number(0x78),
        beta2=number(0x7C),
        x=number(0x80),
        o=number(0x308, "i"),
        r2=number(0x30C),
    )
    return found if found.usable() else None


def _view(record: bytes, order: str) -> FieldOfView | None:
    """Return the field of view that the record 0x2A states."""
    if len(record) < 8:
        return None
    ratio, right, down = struct.unpack_from(f"{order}fhh", record)
    return FieldOfView(ratio, right, down) if 1 <= ratio <= 16 else None


def _of_png(content: bytes, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the counts of a PNG, whose two bytes most cameras swap.

    Nothing in the file says whether they did. Neighbors in a thermal image differ by little, and
    swapped they differ by multiples of 256, so the smoother of the two is the image.
    """
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        if image.size != shape[::-1] or not image.mode.startswith("I;16"):
            raise ValueError(f"its counts are a PNG of {image.size} and {image.mode}")
        png_data.frames(content)[0].check_complete()  # Pillow fills in what is missing
        stored: NDArray[Any] = np.asarray(image)
    return min(stored.byteswap(), stored, key=_roughness)


def _roughness(image: NDArray[np.uint16]) -> float:
    wide = image.astype(np.int32)
    return float(np.abs(np.diff(wide, axis=0)).sum() + np.abs(np.diff(wide, axis=1)).sum())
