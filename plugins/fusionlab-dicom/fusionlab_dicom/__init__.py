"""A fusionlab plugin that reads DICOM images."""

from __future__ import annotations

from fusionlab import ReaderRef, hookimpl

_READER = f"{__name__}.reader:open_dicom"


@hookimpl
def fusionlab_readers() -> list[ReaderRef]:
    return [
        ReaderRef(
            "DICOM",
            _READER,
            "Medical images: Hounsfield units or stored values, frames, color.",
            (".dcm", ".dicom"),
            rb".{128}DICM",
        ),
        ReaderRef(
            "DICOM-bare",
            _READER,
            "DICOM files that begin with their first element.",
            (".dcm", ".dicom"),
            rb"[\x02\x08]\0.\0",
            needs_suffix=True,  # four bytes are too few to tell
        ),
    ]
