"""The pixels of a DICOM file: in Hounsfield units where it says how, else as they are stored.

Only the elements that describe pixels are read; those that describe the patient are not even
parsed.

References: DICOM PS3.3, C.7.6.3 (image pixel), C.7.6.3.1.2 (photometric interpretation), C.11.1
(modality LUT), C.11.2 (window), C.7.6.16.2 (values that differ from frame to frame).
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.formats import jpeg2000, jpeg_data

if TYPE_CHECKING:
    from pydicom import Dataset

_ELEMENTS = [
    "SOPClassUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleIntercept", "RescaleSlope",
    "RescaleType", "ModalityLUTSequence", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData",
]  # fmt: skip  # a list of names

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")

_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
"""Transfer syntaxes: JPEG of 8 and of 12 bits (PS3.6, annex A)."""
_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")

_ONE_AT_A_TIME = threading.Lock()


class NotAnImage(Exception):  # noqa: N818  # not an error of the file, which may be a report
    """The file is DICOM, but holds no image, or one of another kind; the message says which."""


@dataclass(frozen=True)
class Frame:
    """One image of a file."""

    pixels: NDArray[Any]
    """`(H, W)` or `(H, W, 3)`: floats where values were rescaled, else the integers of the file."""
    unit: str
    """`"HU"`, or empty."""
    bits: int | None
    """Significant bits of unsigned integers without a window; None for others."""
    valid: NDArray[np.bool_] | None
    """`(H, W)`: False where the file holds padding; None if it has none."""
    window: tuple[float, float] | None
    """The values that its first window makes black and white, in the unit of the pixels."""


@dataclass(frozen=True)
class Images:
    """The images of a file; pixels are decoded when they are asked for."""

    width: int
    height: int
    count: int
    color: bool
    _dataset: Dataset

    def frame(self, number: int) -> Frame:
        """Decode one image, counted from 0.

        Raises:
            NotAnImage: it is neither gray nor of a known kind of color.
            RuntimeError: no decoder for its compression is installed.
            Exception: anything that pydicom raises at damaged files.
        """
        with _quiet():
            return _decoded(self._dataset, number)


def open_images(content: bytes) -> Images:
    """Open a DICOM file, with or without a preamble.

    Raises:
        NotAnImage: it holds no pixels.
        Exception: anything that pydicom raises at damaged files.
    """
    from pydicom import dcmread

    with _quiet():
        dataset = dcmread(io.BytesIO(content), force=True, specific_tags=_ELEMENTS)
        if not any(name in dataset for name in _PIXELS) or not {"Rows", "Columns"} <= {
            *dataset.dir()
        }:
            raise NotAnImage(_kind(dataset))
        return Images(
            int(dataset.Columns),
            int(dataset.Rows),
            int(dataset.get("NumberOfFrames") or 1),
            int(dataset.get("SamplesPerPixel", 1)) > 1
            or dataset.get("PhotometricInterpretation") == "PALETTE COLOR",
            dataset,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of pydicom, which quote elements that break the standard.

    One at a time: the filters of warnings are those of the process, and files are read in threads.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _kind(dataset: Dataset) -> str:
    uid = dataset.get("SOPClassUID")
    if uid is None:
        return "neither pixels nor the class of a DICOM object"
    return f"no pixels, but a DICOM object of the class {uid.name}"


def _decoded(dataset: Dataset, number: int) -> Frame:
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if kind not in (*_GRAY, *_COLOR):
        raise NotAnImage(f"pixels of the kind {kind or 'that it does not say'}")
    stored = _stored(dataset, number)
    if kind in _COLOR:
        return Frame(_color(dataset, stored), "", None, None, None)
    return _gray(dataset, number, stored)


def _stored(dataset: Dataset, number: int) -> NDArray[Any]:
    """Return the values of one frame as they are stored; YBR is RGB already."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is not None and syntax.is_compressed and not get_decoder(syntax).is_available:
        raise RuntimeError(
            f"it is compressed as {syntax.name}, and no decoder for that is installed; "
            "pip install python-gdcm"
        )
    _check_complete(dataset, syntax, number)
    try:
        stored: NDArray[Any] = pixel_array(dataset, index=number)
    except RuntimeError as error:  # of the decoders, which do not read each variant
        if syntax is None or not syntax.is_compressed:
            raise
        raise RuntimeError(
            f"it is compressed as {syntax.name}, in a way that the installed decoders do not read "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    return stored


def _check_complete(dataset: Dataset, syntax: Any, number: int) -> None:
    """Refuse a compressed frame that its decoder would complete without a word.

    Raises:
        ValueError: it is incomplete.
    """
    from pydicom.encaps import get_frame

    if syntax not in (*_JPEG, *_JPEG2000):
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(dataset.PixelData, number, number_of_frames=frames)
    if syntax in _JPEG:
        jpeg_data.check_complete(frame)
    else:
        jpeg2000.check_tiles(frame[frame.index(jpeg2000.SIZE_MARKER) :])


def _color(dataset: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    if dataset.PhotometricInterpretation != "PALETTE COLOR":
        return stored
    from pydicom.pixels.processing import apply_color_lut

    colored: NDArray[Any] = apply_color_lut(stored, dataset)
    return colored


def _gray(dataset: Dataset, number: int, stored: NDArray[Any]) -> Frame:
    functions = list(_functions(dataset, number))
    pixels, unit = _rescaled(dataset, functions, stored)
    window = _window(functions)
    bits = int(dataset.get("BitsStored", 8 * stored.dtype.itemsize))
    if stored.dtype.kind != "f" and dataset.PhotometricInterpretation == "MONOCHROME1":
        ends = _range(bits, signed=bool(dataset.get("PixelRepresentation", 0)))
        both = _rescaled(dataset, functions, np.array(ends, stored.dtype))[0].astype(np.float64)
        total = float(both.sum())
        pixels = (total - pixels).astype(pixels.dtype)
        window = window and (total - window[1], total - window[0])
    return Frame(
        pixels.astype(bool) if bits == 1 else pixels,
        unit,
        bits if window is None and bits > 1 and pixels.dtype.kind == "u" else None,
        _valid(dataset, stored),
        window,
    )


def _range(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _functions(dataset: Dataset, number: int) -> Iterator[Dataset]:
    """Yield the parts of a file that may say how the values of a frame are meant, best first."""
    groups = []
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if number < len(frames):
        groups.append(frames[number])
    groups += list(dataset.get("SharedFunctionalGroupsSequence") or ())[:1]
    for group in groups:
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            yield from list(group.get(name) or ())[:1]
    yield dataset


def _rescaled(
    dataset: Dataset, functions: list[Dataset], stored: NDArray[Any]
) -> tuple[NDArray[Any], str]:
    """Return what the modality LUT makes of stored values, and their unit."""
    from pydicom.pixels.processing import apply_modality_lut

    function = next(
        (f for f in functions if "RescaleSlope" in f or "ModalityLUTSequence" in f), None
    )
    if function is None:
        return stored, ""
    kind = str(function.get("RescaleType", "")).strip().upper()
    if "ModalityLUTSequence" in function:
        kind = str(function.ModalityLUTSequence[0].get("ModalityLUTType", "")).strip().upper()
    elif (function.RescaleSlope, function.get("RescaleIntercept")) == (1, 0):
        return stored, _unit(kind, dataset)
    # in double precision; floats of 32 bits hold what 16 bits become
    return apply_modality_lut(stored, function).astype(np.float32), _unit(kind, dataset)


def _unit(kind: str, dataset: Dataset) -> str:
    """Return HU where the file says so; a CT that says nothing means them (PS3.3, C.8.2.1)."""
    return "HU" if kind == "HU" or (not kind and dataset.get("Modality") == "CT") else ""


def _window(functions: list[Dataset]) -> tuple[float, float] | None:
    """Return the values that the first window makes black and white (PS3.3, C.11.2.1.2)."""
    function = next((f for f in functions if "WindowCenter" in f and "WindowWidth" in f), None)
    if function is None:
        return None
    center, width = (_first(function[name].value) for name in ("WindowCenter", "WindowWidth"))
    kind = str(function.get("VOILUTFunction", "LINEAR")).strip().upper() or "LINEAR"
    if kind == "LINEAR":
        center, width = center - 0.5, width - 1
    elif kind != "LINEAR_EXACT":
        return None  # a sigmoid has no black and white
    return (center - width / 2, center + width / 2) if width > 0 else None


def _first(value: Any) -> float:
    from pydicom.multival import MultiValue

    return float(value[0] if isinstance(value, MultiValue) else value)


def _valid(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where the stored values are not those of padding (PS3.3, C.7.5.1.1.2)."""
    if dataset.get("PixelPaddingValue") is None:
        return None
    ends = [int(dataset.PixelPaddingValue)]
    if dataset.get("PixelPaddingRangeLimit") is not None:
        ends.append(int(dataset.PixelPaddingRangeLimit))
    padding = (stored >= min(ends)) & (stored <= max(ends))
    return ~padding if padding.any() else None
