"""Open the file of an exported model, which may be anybody's, in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, one_line
from fusionlab.exported.metadata import DTYPES, ModelMetadata
from fusionlab.storage.own_files import check_own_file

MAX_BYTES = 2**31 - 1
"""The most that a file of ONNX can hold without others."""

LOCATION = b"\x0a\x08location"
"""What every reference to a file of weights beside the model holds: its key, as protobuf has it."""

_TYPES = {
    "uint8": "tensor(uint8)",
    "uint16": "tensor(uint16)",
    "float32": "tensor(float)",
}
"""dtype -> what onnxruntime calls it."""


class Graph(NamedTuple):
    """A model that is ready to run."""

    path: Path
    sha256: str
    """Of the file."""
    metadata: ModelMetadata
    session: Any

    def run(self, sources: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Run the graph; may be called from several threads.

        Args:
            sources: `(N, 1, H, W)` each.

        Returns:
            `(N, 1, H, W)`.

        Raises:
            FusionlabError: the graph fails (code `model-failed`).
            MemoryError: memory does not suffice.
        """
        inputs = dict(zip(self.metadata.inputs, sources, strict=True))
        try:
            (result,) = self.session.run([self.metadata.output], inputs)
        except Exception as error:
            if "allocate memory" in str(error):
                raise MemoryError(one_line(error)) from error
            raise FusionlabError(
                f"the model {self.path} failed: {one_line(error)}",
                code="model-failed",
                path=self.path,
            ) from error
        fused: NDArray[Any] = result
        if fused.shape != sources[0].shape:
            raise FusionlabError(
                f"the model {self.path} returned an image of the shape {fused.shape} for sources "
                f"of {sources[0].shape}; export the method again",
                code="model-failed",
                path=self.path,
            )
        return fused


def load_graph(path: Path, threads: int) -> Graph:
    """Load the graph of a model.

    The file is read once, at most `MAX_BYTES` of it. A graph that takes weights from other files is
    refused, and no library of operators is loaded. onnxruntime computes what the graph says: how
    long that takes, and how much memory, is up to whoever made it.

    Args:
        path: of the model.
        threads: how many an operation may use where images cannot be cut into tiles, which are
            computed at the same time otherwise, each by one.

    Raises:
        FusionlabError: the file cannot be read, is no model (code `bad-model`) or not one of ours
            (code `not-our-model`); or onnxruntime is not installed (code `missing-package`).
    """
    content = _read(path)
    session = _session(content, path, 1)
    with _refused(path):  # its texts may be none
        entries = session.get_modelmeta().custom_metadata_map
        found_by = {
            "takes": {node.name: node.type for node in session.get_inputs()},
            "returns": {node.name: node.type for node in session.get_outputs()},
        }
    metadata = ModelMetadata.read(entries, path)
    if threads > 1 and not metadata.can_be_cut:
        session = _session(content, path, threads)
    dtypes = [DTYPES[depth] for depth in metadata.depths or (32,) * metadata.sources]
    expected = {name: _TYPES[dtype] for name, dtype in zip(metadata.inputs, dtypes, strict=True)}
    output = {metadata.output: _TYPES[DTYPES[max(metadata.depths or (32,))]]}
    for (what, found), names in zip(found_by.items(), (expected, output), strict=True):
        if found != names:
            raise FusionlabError(
                f"the graph of {path} {what} {_listed(found)}, where its metadata say "
                f"{_listed(names)}; export the method again",
                code="bad-model",
                path=path,
            )
    return Graph(path, sha256(content).hexdigest(), metadata, session)


def _read(path: Path) -> bytes:
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise FusionlabError(
                f"{path} is larger than a model of ONNX can be", code="bad-model", path=path
            )
        if path.exists():
            check_own_file(path, reading=True)
        content = path.read_bytes()
    except FileNotFoundError:
        raise FusionlabError(f"{path} does not exist", code="missing-file", path=path) from None
    except OSError as error:
        raise FusionlabError(
            f"cannot read {path}: {error.strerror}", code="unreadable", path=path
        ) from error
    if LOCATION in content:
        raise FusionlabError(
            f"{path} takes weights from other files, which is refused; export the method again",
            code="bad-model",
            path=path,
        )
    return content


def _session(content: bytes, path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise FusionlabError(
            "running an exported model needs onnxruntime; install it with pip install "
            "'fusionlab-imaging[onnx]'",
            code="missing-package",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what goes wrong is raised, too
    # threads that wait do not keep a core busy, which another program may need
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _refused(path):
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # to other providers, with a message on stdout
        )


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn what onnxruntime raises at a file into one sentence about it."""
    try:
        yield
    except Exception as error:
        raise FusionlabError(
            f"{path} is not a model that onnxruntime can run: {one_line(error)}",
            code="bad-model",
            path=path,
        ) from error


def _listed(types: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in types.items()) or "nothing"


def check_values(fused: NDArray[Any], graph: Graph, largest: float) -> None:
    """Refuse decoded values that are not finite, or so large that no gray levels are left in them.

    Raises:
        FusionlabError: some are (code `model-failed`).
    """
    low, high = float(np.min(fused)), float(np.max(fused))
    if low >= -largest and high <= largest:  # False for NaN
        return
    raise FusionlabError(
        f"the model {graph.path} returned values from {low:g} to {high:g}, where 0 to 1 is "
        "expected",
        code="model-failed",
        path=graph.path,
    )
