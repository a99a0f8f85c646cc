"""The sequences that fusionlab reads itself, a file each; `fusionlab.sequences.opening` chooses.

This module registers the formats of videos as a plugin registers its own; it imports no decoder.
Folders and files of several pages, `folder` and `stack`, are made of images, which readers of
images read. `video` opens a video, `decoding` gives its frames in order, `pixels` makes images of
them, and `ffv1` tells which of them are damaged where the decoder does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.hookspecs import hookimpl
from fusionlab.plugins.offers import SequenceReaderRef

_IMAGES = rb"avi[fs]|mif1|msf1|hei[cmsx]|hev[cx]"
"""The brands of AVIF and HEIC, which are images in boxes like those of MP4."""

_FORMATS = {
    "MP4": (
        "mov",
        "MP4 and QuickTime, of any codec.",
        (".mp4", ".mov", ".m4v", ".3gp"),
        rb".{4}(ftyp(?!" + _IMAGES + rb")|moov|mdat|wide|free|skip|pnot)",
    ),
    "Matroska": (
        "matroska",
        "Of any codec; FFV1 holds gray frames of 16 bits without loss.",
        (".mkv", ".webm"),
        rb"\x1a\x45\xdf\xa3",
    ),
    "AVI": ("avi", "Of any codec.", (".avi",), rb"RIFF.{4}AVI "),
    "MPEG-TS": (
        "mpegts",
        "Transport streams, of cameras and broadcasts.",
        (".ts", ".mts", ".m2ts"),
        rb"\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47.{191}\x47",
    ),
    "MPEG-PS": ("mpeg", "Program streams.", (".mpg", ".mpeg", ".vob"), rb"\0\0\x01\xba"),
    "ASF": (
        "asf",
        "Windows Media.",
        (".wmv", ".asf"),
        rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    ),
    "FLV": ("flv", "Flash.", (".flv",), rb"FLV\x01"),
    "Ogg": ("ogg", "Theora.", (".ogv", ".ogg"), rb"OggS"),
    "Y4M": ("yuv4mpegpipe", "Uncompressed, up to 16 bits.", (".y4m",), rb"YUV4MPEG2 "),
}
"""Name of a format -> demuxer of FFmpeg, summary, suffixes, first bytes. None of these demuxers
opens other files that a video names, as playlists do."""

DEMUXERS = {name: demuxer for name, (demuxer, *_) in _FORMATS.items()}
WITHIN = 3 * 192 + 5
"""How many bytes tell a transport stream: the beginnings of three packets."""


@hookimpl
def fusionlab_sequence_readers() -> Sequence[SequenceReaderRef]:
    """List the formats of videos that fusionlab reads itself."""
    return [
        SequenceReaderRef(
            name,
            f"{__name__}.video:open_video",
            summary,
            suffixes,
            magic,
            within=WITHIN,
            requires="fusionlab-imaging[video]",
        )
        for name, (_, summary, suffixes, magic) in _FORMATS.items()
    ]
