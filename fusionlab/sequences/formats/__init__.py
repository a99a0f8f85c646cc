"""The sequences that fusionlab reads itself, a file each; `fusionlab.sequences.opening` chooses.

This module registers the formats of videos as a plugin registers its own; it imports no decoder.
Folders and files of several pages, `folder` and `stack`, are made of images, which readers of
images read.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.hookspecs import hookimpl
from fusionlab.plugins.offers import SequenceReaderRef


@hookimpl
def fusionlab_sequence_readers() -> Sequence[SequenceReaderRef]:
    """List the formats of videos that fusionlab reads itself."""
    return []
