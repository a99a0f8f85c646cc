"""A fusionlab plugin that reads the radiometric files of thermal cameras."""

from __future__ import annotations

from fusionlab import ReaderRef, hookimpl

_WITHIN = 2**17
"""The data come after the EXIF segment, which may take up 64 KiB, and that of XMP."""


@hookimpl
def fusionlab_readers() -> list[ReaderRef]:
    return [
        ReaderRef(
            "FLIR",
            f"{__name__}.reader:open_flir",
            "Radiometric JPEG of FLIR: degrees Celsius, counts, and the visible photo.",
            (".jpg", ".jpeg", ".fff"),
            rb"\xff\xd8\xff|[FA]FF\0",
            contains=(b"FLIR\0", b"FFF\0", b"AFF\0"),
            within=_WITHIN,
            priority=2,
        ),
        ReaderRef(
            "DJI",
            f"{__name__}.reader:open_dji",
            "Radiometric JPEG of DJI (R-JPEG): counts.",
            (".jpg", ".jpeg"),
            rb"\xff\xd8\xff",
            contains=(b"DJI\0",),
            within=_WITHIN,
            priority=1,
        ),
    ]
