"""Write DICOM files of a patient who does not exist.

    python make_files.py FOLDER

writes `ct.dcm` and `mr.dcm`, a CT and an MR image of a head that was computed: bone is bright in
the one, soft tissue differs in the other.
"""

import io
import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

PATIENT = "Nobody^Nora"
_SIZE = 256


def head(size=_SIZE):
    """Return where bone, brain, liquor and a lesion are: `(size, size)`, bool."""
    y, x = (np.mgrid[:size, :size] - size / 2) / (size / 2)
    outer, inner = np.hypot(x / 0.75, y / 0.9) < 1, np.hypot(x / 0.66, y / 0.81) < 1
    liquor = (np.hypot((abs(x) - 0.15) / 0.08, y / 0.3) < 1) & inner
    lesion = np.hypot((x - 0.35) / 0.13, (y - 0.3) / 0.13) < 1
    return {"bone": outer & ~inner, "brain": inner & ~liquor, "liquor": liquor, "lesion": lesion}


def hounsfield(size=_SIZE):
    """Return the CT of the head, in Hounsfield units."""
    parts, values = head(size), np.full((size, size), -1000)
    for part, value in {"bone": 900, "brain": 35, "liquor": 5, "lesion": 40}.items():
        values[parts[part]] = value
    return values


def signal(size=_SIZE):
    """Return the MR image of the head, in 12 bits."""
    parts, values = head(size), np.zeros((size, size), int)
    for part, value in {"bone": 90, "brain": 700, "liquor": 250, "lesion": 1400}.items():
        values[parts[part]] = value
    return values


def dicom(stored, bits=16, **elements):
    """Return a DICOM file.

    Args:
        stored: `(H, W)`, `(H, W, 3)` or, with `NumberOfFrames`, `(frames, H, W)`.
        bits: bits stored.
        elements: more elements, or others than usual.
    """
    stored = np.ascontiguousarray(stored)
    color = stored.ndim == 3 and "NumberOfFrames" not in elements
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", MRImageStorage)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    rows, columns = stored.shape[:2] if color else stored.shape[-2:]
    usual = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": PATIENT,
        "Modality": "MR",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3 if color else 1,
        "PhotometricInterpretation": "RGB" if color else "MONOCHROME2",
        "BitsAllocated": 8 * stored.dtype.itemsize,
        "BitsStored": min(bits, 8 * stored.dtype.itemsize),
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
    }
    if color:
        usual["PlanarConfiguration"] = 0
    for name, value in (usual | elements).items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def ct(**elements):
    """Return a CT with the window of soft tissue, 40 +- 40 Hounsfield units."""
    settings = {
        "SOPClassUID": CTImageStorage, "Modality": "CT", "RescaleSlope": 1,
        "RescaleIntercept": -1024, "WindowCenter": [40, 500], "WindowWidth": [81, 2000],
    }  # fmt: skip
    return dicom((hounsfield() + 1024).astype(np.uint16), 12, **settings | elements)


def mr(**elements):
    """Return an MR image of 12 bits with a window of 0 to 1600."""
    settings = {"WindowCenter": 800, "WindowWidth": 1600, "VOILUTFunction": "LINEAR_EXACT"}
    return dicom(signal().astype(np.uint16), 12, **settings | elements)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ct.dcm").write_bytes(ct())
    (folder / "mr.dcm").write_bytes(mr())
