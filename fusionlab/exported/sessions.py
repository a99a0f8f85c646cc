"""Load a model that is being exported into onnxruntime, and say what of it that cannot run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fusionlab.errors import one_line

if TYPE_CHECKING:
    import onnxruntime

SILENT = 4
"""The level of the log of onnxruntime at which it prints nothing: what fails is raised, too."""

_NO_KERNEL = re.compile(r"implementation for (\w+)\(\d+\)")


class NotExportable(Exception):  # noqa: N818  # what a method is, not what went wrong
    """A method cannot be exported.

    Args:
        reason: why, as a clause.
        option: the setting that may help.
    """

    def __init__(self, reason: str, *, option: str = "") -> None:
        super().__init__(reason)
        self.option = option


def load(model: bytes | Path, folded: Path | None = None) -> onnxruntime.InferenceSession:
    """Return a model ready to run on the CPU, on as many threads as torch uses.

    Args:
        model: the model, or its file.
        folded: a file to write the model to with its constants folded, as far as every program that
            reads ONNX understands it; None: it is made as fast as possible in memory.

    Raises:
        NotExportable: onnxruntime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = SILENT
    if folded is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # one class of its own for each status
        kernel = _NO_KERNEL.search(str(error))
        what = f"has no implementation of {kernel[1]} for its types" if kernel else one_line(error)
        raise NotExportable(f"onnxruntime {what}") from error
