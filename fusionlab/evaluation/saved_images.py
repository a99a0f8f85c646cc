"""The images of an evaluation: where the scored image of each row and sample is kept.

`FOLDER/images/ROW/SAMPLE.png`; a "/" in the label of a row makes a sub-folder. Characters that some
file system does not allow are percent-encoded.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any, TypedDict, cast
from urllib.parse import quote, unquote

from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.depth import depth_of_array
from fusionlab.imaging.writing import encode_image, format_of
from fusionlab.runs.pairing.folder_search import images_by_stem
from fusionlab.storage.atomic import atomic_write_all, make_folder
from fusionlab.storage.journal import Journal
from fusionlab.storage.schema import mismatch

FOLDER = "images"
"""The sub-folder of the output of an evaluation."""
JOURNAL = "images.jsonl"
"""The file that says what each image was made with."""


EncodedImage = tuple[str, bytes]
"""The suffix and the content of the file of an image."""


def encoded_image(pixels: NDArray[Any], name: str) -> EncodedImage:
    """Encode an image without loss, gray or in color: floats as TIFF, all others as PNG.

    Raises:
        FusionlabError: the format cannot hold it (code `encoding`).
    """
    suffix = _suffix(depth_of_array(pixels.dtype))
    path = Path(f"{name}{suffix}")
    return suffix, cast("bytes", encode_image(pixels, path, format_of(path)))  # of an array


def image_path(output: Path, label: str, sample: str, depth: int = 8) -> Path:
    """Return the file of the scored image of a row and a sample.

    Float images are TIFF files, all others PNG.
    """
    return row_folder(output, label) / f"{sample}{_suffix(depth)}"


def _suffix(depth: int) -> str:
    return ".tif" if depth == 32 else ".png"


def row_folder(output: Path, label: str) -> Path:
    """Return the folder of the images of a row."""
    parts = label.split("/")
    if not all(parts):  # an empty part would disappear
        parts = [label]
    names = [quote(part, safe=" ,=@+()[]") for part in parts]
    # "." and ".." would leave the folder, and other names that begin with "." are hidden
    names = [f"%2E{name[1:]}" if name.startswith(".") else name for name in names]
    return output.joinpath(FOLDER, *names)


class _Line(TypedDict):
    file: str
    key: str


def _is_inside(name: str) -> bool:
    """Return whether the name of a file, from a journal, stays in the folder of images."""
    path = PureWindowsPath(name)  # which knows the separator of POSIX, too
    return not (path.drive or path.root or ".." in path.parts or "\0" in name)


class SavedImages:
    """Keeps the scored images of an evaluation in its output folder.

    A journal beside them says which settings and sources each was made with, so that a resumed run
    replaces the images for which these have changed.

    Args:
        output: the folder of the evaluation.
        resume: keep the images of the earlier run; otherwise they are removed.

    Raises:
        FusionlabError: the journal cannot be used.
    """

    def __init__(self, output: Path, *, resume: bool) -> None:
        self.output = output
        self.problem = ""
        """Why images could not be saved any more; empty if they could."""
        self._journal = Journal(output / JOURNAL)
        lines = [line for line in self._journal.read() if not mismatch(line, _Line)]
        self._keys = {line["file"]: line["key"] for line in lines if _is_inside(line["file"])}
        if lines and not resume:
            for file in self._keys:
                if (path := output / FOLDER / file).is_file():
                    path.unlink()
            self._keys = {}
            self._journal.replace([])

    def has(self, label: str, sample: str, key: str) -> bool:
        """Return whether the image of a row and a sample is kept, made as `key` says."""
        paths = [image_path(self.output, label, sample, depth) for depth in (8, 32)]
        return any(self._keys.get(self._name(path)) == key and path.is_file() for path in paths)

    def save(self, label: str, sample: str, key: str, image: EncodedImage) -> None:
        """Write the scored image of a row and a sample.

        If it cannot be written, `problem` says why.
        """
        suffix, content = image
        path = row_folder(self.output, label) / f"{sample}{suffix}"
        try:
            make_folder(path.parent)
            with atomic_write_all({path: content}):
                pass
            self._journal.append({"file": self._name(path), "key": key})
        except FusionlabError as error:
            self.problem = str(error)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.output / FOLDER).as_posix()


def saved_rows(output: Path) -> dict[str, Path]:
    """Return label -> folder of the rows whose images were kept.

    Raises:
        FusionlabError: there are none (code `no-images`).
    """
    root = output / FOLDER
    folders = sorted(folder for folder in root.rglob("*") if folder.is_dir())
    rows = {
        "/".join(map(unquote, folder.relative_to(root).parts)): folder
        for folder in folders
        if images_by_stem(folder)
    }
    if not rows:
        raise FusionlabError(
            f"there are no images in {root}; the evaluation has to save its images",
            code="no-images",
            option="save_images",
            path=root,
        )
    return rows
