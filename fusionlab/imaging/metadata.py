"""What a file says beside its pixels, and what of it a fused image keeps.

Kept are the color profile, EXIF, the resolution, and the tags that place an image on the earth,
each from the first source that has it. Values are never converted between color profiles.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

GEO_TAGS = {
    33550: "ModelPixelScale",
    33922: "ModelTiepoint",
    34264: "ModelTransformation",
    34735: "GeoKeyDirectory",
    34736: "GeoDoubleParams",
    34737: "GeoAsciiParams",
}
"""The tags of TIFF that place an image on the earth (OGC 19-008r4, GeoTIFF 1.1)."""
ORIENTATION = 0x0112
"""The EXIF tag of the orientation."""
PARTS = {"icc": "color profile", "exif": "EXIF data", "geo": "georeference"}
"""Name of a part of `Metadata` -> what messages call it."""
SRGB = "sRGB"
MAX_RESOLUTION = 10**6
"""In pixels per inch, more than any scanner has; a damaged number may not fit into a file."""
ASCII, NUMBERS = 2, (3, 4, 5, 11, 12)
"""The types of values of TIFF that GeoTIFF uses, and those like them."""


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels."""

    icc: bytes = b""
    """The color profile (ICC.1)."""
    exif: bytes = b""
    """EXIF, as TIFF structures it, without the word `Exif` before it."""
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    geo: tuple[tuple[int, int, int, Any], ...] = ()
    """Tags of GeoTIFF: code, type, count and value of each."""

    @classmethod
    def of_pillow(cls, info: Mapping[Any, Any]) -> Metadata:
        """Return what Pillow has found in a file."""
        resolution = info.get("dpi")
        return cls(
            info.get("icc_profile") or b"",
            (info.get("exif") or b"").removeprefix(b"Exif\0\0"),
            None if not resolution else (float(resolution[0]), float(resolution[1])),
        )

    @property
    def parts(self) -> set[str]:
        """The names of what is there."""
        return {name for name, value in vars(self).items() if value}

    def only(self, names: frozenset[str]) -> Metadata:
        """Return the parts of these names."""
        nothing = {name: getattr(NOTHING, name) for name in vars(self) if name not in names}
        return replace(self, **nothing)

    def usable(self) -> Metadata:
        """Return what other files can hold: damaged parts are left out."""
        resolution = self.resolution
        if resolution and not all(0 < value <= MAX_RESOLUTION for value in resolution):
            resolution = None
        exif = self.exif
        try:
            if exif:
                upright_exif(exif)
        except Exception:  # Pillow raises anything at a damaged one
            exif = b""
        geo = self.geo if all(_is_storable(*tag) for tag in self.geo) else ()
        return replace(self, resolution=resolution, exif=exif, geo=geo)

    def reshaped(self) -> Metadata:
        """Return what is still true of an image that is turned or resized."""
        return replace(self, resolution=None, geo=())


NOTHING = Metadata()


class Described(Protocol):
    """An image with metadata."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def metadata(self) -> Metadata:
        """What its file says."""

    @property
    def is_color(self) -> bool:
        """Whether it has red, green and blue."""


def kept(images: Sequence[Described], *, color: bool) -> tuple[Metadata, list[str]]:
    """Return the metadata of a fused image, and notes about sources that differ in them.

    Args:
        images: the sources.
        color: whether the fused image has color.
    """
    notes: list[str] = []
    usable = [image.metadata.usable() for image in images]
    merged = Metadata(
        _profile(images, notes, color=color),
        next((metadata.exif for metadata in usable if metadata.exif), b""),
        next((metadata.resolution for metadata in usable if metadata.resolution), None),
        next((metadata.geo for metadata in usable if metadata.geo), ()),
    )
    placed = [image for image, metadata in zip(images, usable, strict=True) if metadata.geo]
    if other := next((image for image in placed if image.metadata.geo != merged.geo), None):
        notes.append(
            f"{other.name} lies elsewhere on the earth than {placed[0].name}, whose georeference "
            "is kept"
        )
    return merged, notes


def _is_storable(_: int, kind: int, count: int, value: Any) -> bool:
    """Return whether a tag of TIFF can be written again: ASCII, or as many numbers as it counts."""
    if kind == ASCII:
        return isinstance(value, str) and value.isascii()
    values = value if isinstance(value, tuple) else (value,)
    return (
        kind in NUMBERS
        and len(values) == count
        and all(isinstance(number, int | float) for number in values)
    )


def _profile(images: Sequence[Described], notes: list[str], *, color: bool) -> bytes:
    """Return the profile that the values of a fused image have, and note where there are two."""
    space = b"RGB " if color else b"GRAY"
    alike = [image for image in images if image.is_color == color]
    profiles = [image.metadata.icc for image in alike]
    names = [profile_name(profile) for profile in profiles]
    if color and len(set(names)) > 1:
        other = next(number for number, name in enumerate(names) if name != names[0])
        notes.append(
            f"{alike[0].name} is in {names[0]} and {alike[other].name} in {names[other]}; their "
            "values are fused as they are, so convert them to one color profile first"
        )
    return next((p for p in profiles if p[16:20] == space), b"")


def profile_name(profile: bytes) -> str:
    """Return the name of a color profile; `sRGB` where there is none, as browsers take it."""
    if not profile:
        return SRGB
    import PIL.ImageCms

    try:
        opened = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = PIL.ImageCms.getProfileDescription(opened).strip()
    except (OSError, PIL.ImageCms.PyCMSError):
        return "a damaged color profile"
    return SRGB if SRGB in name else name


def upright_exif(exif: bytes) -> bytes:
    """Return EXIF of an image that has been turned upright, without the thumbnail of its source."""
    import PIL.Image

    data = PIL.Image.Exif()
    data.load(exif)
    if ORIENTATION in data:
        data[ORIENTATION] = 1
    return data.tobytes().removeprefix(b"Exif\0\0")
