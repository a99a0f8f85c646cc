"""All of a file or nothing, and nothing overwritten unasked."""

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.files import written_beside
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.writing import FORMATS, check_writable, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0]], ids=["rgb", "gray"])
def test_what_is_written_can_be_read(tmp_path, suffix, pixels):
    path = tmp_path / f"image{suffix}"
    write_image(path, pixels)
    found = read_image(path)
    assert found.shape == pixels.shape
    if "jp" not in suffix:
        assert np.array_equal(found, pixels)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_format_is_that_of_the_suffix_in_any_case(tmp_path):
    write_image(tmp_path / "image.PNG", PIXELS)
    assert (tmp_path / "image.PNG").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_written_is_refused_beforehand(tmp_path):
    there = tmp_path / "there.png"
    there.touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to("nowhere")
    for path, message in [
        (tmp_path / "image.gif", "must end in one of .png, .jpg"),
        (tmp_path / "image", "must end in one of"),
        (tmp_path / "nowhere" / "image.png", "the folder .* does not exist"),
        (tmp_path / "folder.png", "it is there and not a file"),
        (tmp_path / "dangling.png", "it is there and not a file"),
        (tmp_path / f"{'y' * 300}.png", "File name too long"),
        (there, "exists already; choose another name or use --overwrite"),
    ]:
        with pytest.raises(FusionlabError, match=message):
            check_writable(path, overwrite=False)
    check_writable(there, overwrite=True)


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, problem):
    path = tmp_path / "image.png"
    path.write_bytes(b"old")

    def fail(beside, *args, **kwargs):
        beside.write_bytes(b"half")
        raise problem

    monkeypatch.setattr(iio, "imwrite", fail)
    expected = FusionlabError if isinstance(problem, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left|^$"):
        write_image(path, PIXELS)
    assert [p.name for p in tmp_path.iterdir()] == ["image.png"]
    assert path.read_bytes() == b"old"


def test_of_a_link_the_target_is_replaced(tmp_path):
    (tmp_path / "real.png").touch()
    (tmp_path / "link.png").symlink_to("real.png")
    check_writable(tmp_path / "link.png", overwrite=True)
    write_image(tmp_path / "link.png", PIXELS)
    assert (tmp_path / "link.png").is_symlink()
    assert np.array_equal(read_image(tmp_path / "real.png"), PIXELS)


def test_written_beside_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with written_beside(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
        assert beside.suffix == ".txt"
    assert path.read_text() == "new"
