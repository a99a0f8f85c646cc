"""The counts in a radiometric JPEG of DJI (R-JPEG).

As the documentation of ExifTool's DJI tags (`ThermalData`) and users of these cameras describe:
the APP3 segments of the file, joined, are the counts, unsigned integers of 16 bits whose first byte
is the lowest, row by row, without a header. The file does not say how many rows: they are those of
the image that is shown, or, where the camera enlarged that, of the sensor.

What degrees follow from the counts is not documented; the vendor's library, the DJI Thermal SDK,
computes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionlab_thermal.segments import APP3, segments

MAKER = "DJI"
_SENSOR = (640, 512)  # of the cameras that enlarge the image to 1280x1024

ONLY_COUNTS = (
    "its values are counts: what degrees they are is known to the DJI Thermal SDK alone, which is "
    "not used"
)


@dataclass(frozen=True)
class Counts:
    """The thermal image of a file."""

    width: int
    height: int
    _content: bytes

    def decode(self) -> NDArray[np.uint16]:
        """Return the counts, `(height, width)`."""
        counts = np.frombuffer(self._content, "<u2").astype(np.uint16)
        return counts.reshape(self.height, self.width)


def counts(content: bytes, size: tuple[int, int]) -> Counts | None:
    """Return the counts in a JPEG of DJI; None if it is an image like others.

    Args:
        content: of the file.
        size: width and height of the image that it shows.

    Raises:
        ValueError: there are counts, but not as many as the image or the sensor has pixels.
    """
    data = b"".join(payload for marker, payload in segments(content) if marker == APP3)
    if not data:
        return None
    for width, height in (size, _SENSOR):
        if len(data) == 2 * width * height:
            return Counts(width, height, data)
    raise ValueError(
        f"it has {len(data)} bytes of counts, which are neither those of {size[0]}x{size[1]} nor "
        f"of {_SENSOR[0]}x{_SENSOR[1]} pixels"
    )
